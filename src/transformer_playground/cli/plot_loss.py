"""`tp plot-loss`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transformer_playground.cli.options import (
    RUN_HELP,
    AsJson,
    ExperimentsDir,
    RunsDir,
    finite,
    refuse_unread,
)
from transformer_playground.cli.output import note, say, say_json
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.formatting import loss_text
from transformer_playground.jsonvalues import to_jsonable
from transformer_playground.runs.finding import find_runs
from transformer_playground.runs.folder import RUNS_DIR, reports_folder
from transformer_playground.runs.metrics import Axis
from transformer_playground.terminal import visible_line

if TYPE_CHECKING:
    from transformer_playground.plots.loss_curves import LossCurves, PlotRequest
    from transformer_playground.plots.loss_plot import PlotResult

_SCHEMA_VERSION = 1


def plot_loss(
    context: typer.Context,
    run_id: Annotated[
        str,
        typer.Option(
            "--run-id",
            metavar="ID[,ID…]",
            help=f"{RUN_HELP} Several runs share one plot.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Output file, .svg or .png; default: loss-curve.svg in the run's reports folder, "
            "or in the current folder for several runs.",
        ),
    ] = None,
    title: Annotated[
        str | None, typer.Option("--title", help="Title; default: the run ID.")
    ] = None,
    log_y: Annotated[bool, typer.Option("--log-y", help="Use a logarithmic loss axis.")] = False,
    smooth: Annotated[
        float,
        typer.Option(
            "--smooth",
            metavar="WEIGHT",
            callback=finite,
            help="Smoothing of the training loss by a moving average, in [0, 1); 0 = off.",
        ),
    ] = 0.0,
    x: Annotated[
        Axis, typer.Option("--x", help="Horizontal axis: steps, tokens seen or training time.")
    ] = "step",
    ngram: Annotated[
        int | None,
        typer.Option(
            "--ngram",
            metavar="N",
            min=1,
            max=16,
            help="Draw the loss of N-grams of the training text as a line; they are counted once "
            "and kept beside the dataset.",
        ),
    ] = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Plot training and validation loss as SVG or PNG.

    An existing file is replaced.
    """
    runs = find_runs(runs_dir, run_id)

    refuse_unread(context, {} if ngram else {"experiments_dir": "without --ngram"})
    from transformer_playground.plots.baseline import baseline_of
    from transformer_playground.plots.loss_curves import PlotRequest, PlottedNGram
    from transformer_playground.plots.loss_plot import FILE_NAME
    from transformer_playground.plots.loss_plot import plot_loss as plot

    if out is None:
        out = (reports_folder(runs[0]) if len(runs) == 1 else Path()) / FILE_NAME
    line = None
    if ngram is not None:
        line = PlottedNGram.of(baseline_of(runs, experiments_dir, ngram), ngram)
    request = PlotRequest(out=out, title=title, log_y=log_y, smooth=smooth, x=x, ngram=line)
    result = plot(runs, request)
    for skipped in result.skipped:
        along = "" if x == "step" else f" whose {x} is known"
        note(visible_line(f"left out {skipped}: it has no finite loss{along}"))
    if json_output:
        say_json(_document(request, result))
        return
    for curves in result.shown:
        say(visible_line(f"{curves.run_id}: {_best_text(curves)}"))
    if line is not None:
        say(f"{line.order}-gram: loss {loss_text(line.loss)}, whole validation split")
    say(visible_line(f"plot: {result.path}"))


def _best_text(curves: "LossCurves") -> str:
    if curves.best is None:
        return "not evaluated yet"
    return f"best val loss {loss_text(curves.best.loss)} at step {curves.best.step:,}"


def _document(request: "PlotRequest", result: "PlotResult") -> dict[str, Any]:
    return {
        "schema_version": _SCHEMA_VERSION,
        "path": str(result.path),
        "format": result.format,
        "x": request.x,
        "log_y": request.log_y,
        "smooth": request.smooth,
        "ngram": to_jsonable(request.ngram),
        "runs": [_run_entry(curves) for curves in result.shown],
        "skipped": list(result.skipped),
    }


def _run_entry(curves: "LossCurves") -> dict[str, Any]:
    import numpy as np

    return {
        "run_id": curves.run_id,
        "train_points": int(np.isfinite(curves.train.y).sum()),
        "val_points": int(np.isfinite(curves.val.y).sum()),
        "breaks": len(curves.breaks.x),
        "best_val_loss": curves.best.loss if curves.best else None,
        "best_step": curves.best.step if curves.best else None,
    }
