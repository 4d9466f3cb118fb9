"""Entry point of the processes that `tp train --processes` starts: `python -m … COMMAND`."""

import os
import sys

from transformer_playground.cli.output import run_command
from transformer_playground.cli.train import train_as_rank
from transformer_playground.errors import UsageError
from transformer_playground.training.process_group import Place
from transformer_playground.training.processes import RankCommand


def main() -> int:
    """Do what the first argument says, as the rank that the environment says.

    Raises:
        UsageError: Nothing has started this process as one of several.
    """
    place = Place.of(os.environ)
    if place is None or len(sys.argv) != 2:
        raise UsageError("This is started by `tp train --processes`.", "Run that instead.")
    return train_as_rank(RankCommand.parse(sys.argv[1]), place)


if __name__ == "__main__":
    sys.exit(run_command(main))
