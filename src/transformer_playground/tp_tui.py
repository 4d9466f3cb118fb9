"""Entry point of `tp-tui`: open the console, or with `--run` do the whole job without it.

Typer takes as long to import as half of the console's start, so a command that names only folders
is parsed without it.
"""

import gc
import os
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from transformer_playground.cli.output import note, run_command, say
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.sweeps.folder import SWEEPS_DIR

if TYPE_CHECKING:
    import typer

    from transformer_playground.tui.core.job_queue import TrainingQueue

WEB_PORT = 8000


def parse_folders(arguments: Sequence[str]) -> tuple[Path, Path, Path] | None:
    """The folders of experiments, runs and sweeps, where the arguments name nothing else.

    Returns:
        None where Typer must parse the arguments, wrong ones included.
    """
    folders = {
        "--experiments-dir": EXPERIMENTS_DIR,
        "--runs-dir": RUNS_DIR,
        "--sweeps-dir": SWEEPS_DIR,
    }
    remaining = iter(arguments)
    for argument in remaining:
        name, is_joined, value = argument.partition("=")
        if not is_joined:
            value = next(remaining, "")
        if name not in folders or not value or value.startswith("-"):
            return None
        folders[name] = Path(value)
    return folders["--experiments-dir"], folders["--runs-dir"], folders["--sweeps-dir"]


def open_console(experiments_dir: Path, runs_dir: Path, sweeps_dir: Path) -> int:
    """Run the console in this terminal until the user quits.

    Raises:
        UsageError: There is no terminal.
    """
    # Textual draws on standard error; behind `--web` its driver talks to the browser instead.
    is_served = "TEXTUAL_DRIVER" in os.environ
    if not is_served and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "The console needs a terminal.",
            "In scripts use `tp-tui --run EXP` to train and `tp runs` to list runs.",
        )
    # Nearly everything created before the first frame stays alive: collecting would find nothing.
    gc.disable()
    from transformer_playground.tui.app import Console

    console = Console(experiments_dir, runs_dir, sweeps_dir)
    code = console.run() or 0
    if not is_served and console.context.training.ended_by_close:
        _say_what_was_saved(console.context.training, experiments_dir, runs_dir)
    return code


def _say_what_was_saved(queue: "TrainingQueue", experiments_dir: Path, runs_dir: Path) -> None:
    """Print what became of the runs that quitting has ended, and how to resume them."""
    from transformer_playground.cli.train import resume_command
    from transformer_playground.tui.core.checkpoints import newest_step
    from transformer_playground.tui.core.job_text import farewell_lines

    resume = partial(resume_command, experiments_dir=experiments_dir, runs_dir=runs_dir)
    for line in farewell_lines(queue, partial(newest_step, runs_dir), resume):
        note(line)


def serve_console(experiments_dir: Path, runs_dir: Path, sweeps_dir: Path, port: int) -> int:
    """Serve the console to browsers of this machine until Ctrl-C.

    Raises:
        UsageError: The port is taken, or not allowed.
    """
    from transformer_playground.tui import web

    web.check_port(port)
    folders = ["--experiments-dir", str(experiments_dir), "--runs-dir", str(runs_dir)]
    folders += ["--sweeps-dir", str(sweeps_dir)]
    token = web.new_token()
    say(web.address(port, token))
    note(
        f"From another machine: ssh -L {port}:{web.HOST}:{port} THIS-MACHINE, "
        "then open that address."
    )
    note("Who knows the address can train, sample and write files as you. Ctrl-C stops it.")
    web.serve(shlex.join([sys.executable, "-m", __spec__.name, *folders]), port, token)
    return 0


def application() -> "typer.Typer":
    """The Typer application of `tp-tui`."""
    import typer

    from transformer_playground.cli.options import (
        AsJson,
        ExperimentsDir,
        Overrides,
        Resume,
        RunId,
        RunsDir,
        SweepsDir,
        Version,
    )

    app = typer.Typer(
        name="tp-tui",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.command()
    def tp_tui(
        experiment: Annotated[
            str | None,
            typer.Option("--run", metavar="EXP", help="Prepare, train and sample EXP, then exit."),
        ] = None,
        overrides: Overrides = None,
        run_id: RunId = None,
        resume: Resume = None,
        experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
        runs_dir: RunsDir = RUNS_DIR,
        sweeps_dir: SweepsDir = SWEEPS_DIR,
        json_output: AsJson = False,
        web: Annotated[
            bool, typer.Option("--web", help="Serve the console to browsers of this machine.")
        ] = False,
        port: Annotated[
            int | None,
            typer.Option("--port", min=1, max=65535, help=f"Port of --web.  [default: {WEB_PORT}]"),
        ] = None,
        _version: Version = False,
    ) -> int:
        """Open the console; with --run, prepare, train and sample an experiment without it."""
        if experiment is None:
            if port is not None and not web:
                raise UsageError("--port needs --web.")
            given = {
                "--set": overrides,
                "--run-id": run_id,
                "--resume": resume,
                "--json": json_output,
            }
            needs_run = [name for name, value in given.items() if value]
            if needs_run:
                raise UsageError(
                    f"{needs_run[0]} needs --run EXP.",
                    "Without --run, settings are chosen in the console.",
                )
            if web:
                port = WEB_PORT if port is None else port
                return serve_console(experiments_dir, runs_dir, sweeps_dir, port)
            return open_console(experiments_dir, runs_dir, sweeps_dir)
        if sweeps_dir != SWEEPS_DIR:
            raise UsageError("--run trains no sweep: leave out --sweeps-dir.")
        if web or port is not None:
            raise UsageError("--run works without the console: leave out --web and --port.")
        from transformer_playground.cli.train import run_launch
        from transformer_playground.training.launch import Launch

        launch = Launch(experiment, tuple(overrides or ()), run_id, resume)
        return run_launch(launch, experiments_dir, runs_dir, json_output=json_output)

    return app


def run() -> None:
    """Run the command line in `sys.argv`, then exit."""
    arguments = sys.argv[1:]
    folders = parse_folders(arguments)
    if folders is not None:
        sys.exit(run_command(partial(open_console, *folders)))
    from transformer_playground.cli.app import run_app

    sys.exit(run_app(application(), arguments))


if __name__ == "__main__":
    run()
