"""`tp-tui`: with `--run`, the whole job without a screen."""

import sys
from typing import Annotated

import typer

from transformer_playground.cli.main import run_app
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
from transformer_playground.cli.train import loop

app = typer.Typer(
    name="tp-tui",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def tp_tui(
    experiment: Annotated[
        str, typer.Option("--run", metavar="EXP", help="Prepare, train and sample EXP, then exit.")
    ],
    overrides: Overrides = None,
    run_id: RunId = None,
    resume: Resume = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> int:
    """Train an experiment from preparation to samples, without a screen."""
    return loop(
        experiment,
        overrides=overrides,
        run_id=run_id,
        resume=resume,
        experiments_dir=experiments_dir,
        runs_dir=runs_dir,
        json_output=json_output,
    )


def run() -> None:
    """Entry point of `tp-tui`."""
    sys.exit(run_app(app, sys.argv[1:]))
