"""`tp-tui`: the console; with `--run`, the whole job without a screen."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from transformer_playground.cli.options import (
    EXPERIMENTS_DIR,
    RUNS_DIR,
    AsJson,
    ExperimentsDir,
    Overrides,
    Resume,
    RunId,
    RunsDir,
)
from transformer_playground.cli.running import run_app
from transformer_playground.errors import UsageError

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
    json_output: AsJson = False,
) -> int:
    """Open the console; with --run, train an experiment from preparation to samples without it."""
    if experiment is None:
        stated = {"--set": overrides, "--run-id": run_id, "--resume": resume, "--json": json_output}
        alone = [name for name, value in stated.items() if value]
        if alone:
            raise UsageError(
                f"{alone[0]} needs --run EXP.", "Without --run the console opens and asks there."
            )
        return _open_console(experiments_dir, runs_dir)
    from transformer_playground.cli.train import loop

    return loop(
        experiment,
        overrides=overrides,
        run_id=run_id,
        resume=resume,
        experiments_dir=experiments_dir,
        runs_dir=runs_dir,
        json_output=json_output,
    )


def _open_console(experiments_dir: Path, runs_dir: Path) -> int:
    # Textual draws on standard error.
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "The console needs a terminal.",
            "Use `tp-tui --run EXP` in scripts, and `tp runs` to look at runs.",
        )
    from transformer_playground.tui.app import Console

    return Console(experiments_dir, runs_dir).run() or 0


def run() -> None:
    """Entry point of `tp-tui`."""
    sys.exit(run_app(app, sys.argv[1:]))
