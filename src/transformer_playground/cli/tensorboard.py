"""`tp tensorboard`."""

import os
import sys
from typing import Annotated

import typer

from transformer_playground.cli.options import RunsDir
from transformer_playground.cli.output import note
from transformer_playground.errors import RunError
from transformer_playground.runs.finding import find_run
from transformer_playground.runs.folder import RUNS_DIR


def tensorboard(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="Show only this run.")] = None,
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=1, max=65535, help="Port to listen on.")
    ] = 6006,
    runs_dir: RunsDir = RUNS_DIR,
) -> None:
    """Show training curves in TensorBoard, on 127.0.0.1.

    TensorBoard answers requests to any host name: web pages that you open meanwhile can read
    the curves.
    """
    folder = find_run(runs_dir, run).tensorboard if run else runs_dir
    if not folder.is_dir():
        raise RunError(f"{folder} does not exist.", "Train a run first.")
    note(f"TensorBoard on http://127.0.0.1:{port}")
    arguments = ["--logdir", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    # exec: TensorBoard receives Ctrl-C and sets the exit code itself.
    os.execv(sys.executable, [sys.executable, "-m", "tensorboard.main", *arguments])
