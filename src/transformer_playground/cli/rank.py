"""Entry point of a run of several processes: `… COMMAND`, as their launcher or as one of them."""

import os
import sys
from functools import partial

from transformer_playground.cli.output import run_command
from transformer_playground.cli.train import run_rank_command
from transformer_playground.training.process_group import Place, end_with_launcher
from transformer_playground.training.processes import RankCommand


def run() -> None:
    """Do what the first argument says, then exit.

    Where the environment names a rank, this is one of the processes; otherwise it starts them.
    """
    if Place.of(os.environ) is not None:
        end_with_launcher()
    command = RankCommand.parse(sys.argv[1])
    sys.exit(run_command(partial(run_rank_command, command)))


if __name__ == "__main__":
    run()
