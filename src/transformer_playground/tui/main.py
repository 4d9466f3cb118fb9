"""Entry point of `tp-tui`: the console at once, or the reading of options first.

Reading options brings in a library that takes as long as half of the console's start, so a command
that names nothing but folders does without it.
"""

import gc
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from transformer_playground.cli.output import run_command
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.runs.folder import RUNS_DIR


def folders_alone(arguments: Sequence[str]) -> tuple[Path, Path] | None:
    """Folders of experiments and of runs, where the arguments say no more than these.

    Returns:
        None where the arguments need a closer look, wrong ones among them.
    """
    folders = {"--experiments-dir": EXPERIMENTS_DIR, "--runs-dir": RUNS_DIR}
    words = iter(arguments)
    for word in words:
        name, is_joined, value = word.partition("=")
        if not is_joined:
            value = next(words, "")
        if name not in folders or not value or value.startswith("-"):
            return None
        folders[name] = Path(value)
    return folders["--experiments-dir"], folders["--runs-dir"]


def open_console(experiments_dir: Path, runs_dir: Path) -> int:
    """Open the console on this terminal until the user quits.

    Raises:
        UsageError: There is no terminal.
    """
    # Textual draws on standard error; behind `--web`, its driver talks to the browser instead.
    is_served = "TEXTUAL_DRIVER" in os.environ
    if not is_served and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "The console needs a terminal.",
            "Use `tp-tui --run EXP` in scripts, and `tp runs` to look at runs.",
        )
    # Nearly all that is made before the first frame stays: looking for what can go is in vain.
    gc.disable()
    from transformer_playground.tui.app import Console

    return Console(experiments_dir, runs_dir).run() or 0


def run() -> None:
    """Open the console, or do what the options ask for."""
    arguments = sys.argv[1:]
    folders = folders_alone(arguments)
    if folders is not None:
        sys.exit(run_command(partial(open_console, *folders)))
    from transformer_playground.cli.app import run_app
    from transformer_playground.tui.options import app

    sys.exit(run_app(app, arguments))
