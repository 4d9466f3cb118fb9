"""The options of `tp-tui`: the console; with `--run`, the whole job without a screen."""

from pathlib import Path
from typing import Annotated

import typer

from transformer_playground.cli.options import (
    AsJson,
    ExperimentsDir,
    Overrides,
    Resume,
    RunId,
    RunsDir,
)
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.tui.main import open_console

WEB_PORT = 8000

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
    web: Annotated[
        bool, typer.Option("--web", help="Serve the console to browsers of this machine.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help=f"Port of --web.  [default: {WEB_PORT}]"),
    ] = None,
) -> int:
    """Open the console; with --run, train an experiment from preparation to samples without it."""
    if experiment is None:
        if port is not None and not web:
            raise UsageError("--port needs --web.")
        stated = {"--set": overrides, "--run-id": run_id, "--resume": resume, "--json": json_output}
        alone = [name for name, value in stated.items() if value]
        if alone:
            raise UsageError(
                f"{alone[0]} needs --run EXP.", "Without --run the console opens and asks there."
            )
        if web:
            return _serve(experiments_dir, runs_dir, WEB_PORT if port is None else port)
        return open_console(experiments_dir, runs_dir)
    if web or port is not None:
        raise UsageError("--run works without a screen: leave out --web and --port.")
    from transformer_playground.cli.train import run_launch
    from transformer_playground.training.launch import Launch

    launch = Launch(experiment, tuple(overrides or ()), run_id, resume)
    return run_launch(launch, experiments_dir, runs_dir, json_output=json_output)


def _serve(experiments_dir: Path, runs_dir: Path, port: int) -> int:
    from transformer_playground.tui.web import serve

    folders = ["--experiments-dir", str(experiments_dir), "--runs-dir", str(runs_dir)]
    return serve(folders, port)
