"""`tp lr-find`."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transformer_playground.cli.options import (
    AsJson,
    ConfigPath,
    ExperimentsDir,
    OptionalExperiment,
    Overrides,
    RunsDir,
    check_out,
    finite,
)
from transformer_playground.cli.output import is_terminal, note, say, say_json
from transformer_playground.cli.preparation import PreparationDisplay
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import EXPERIMENTS_DIR
from transformer_playground.formatting import learning_rate_text, loss_text
from transformer_playground.runs.folder import RUNS_DIR
from transformer_playground.training.launch import Launch, resolve_launch

if TYPE_CHECKING:
    from transformer_playground.training.lr_range import RangeTest

_HEIGHT = 12
_WIDTH = 76
_REPORTS = 10


def lr_find(
    experiment: OptionalExperiment = None,
    start: Annotated[
        float,
        typer.Option(
            "--start", metavar="RATE", callback=finite, help="Learning rate of the first step."
        ),
    ] = 1e-6,
    end: Annotated[
        float,
        typer.Option(
            "--end", metavar="RATE", callback=finite, help="Learning rate of the last step."
        ),
    ] = 1.0,
    steps: Annotated[
        int,
        typer.Option(
            "--steps", metavar="N", min=10, max=10_000, help="Steps from --start to --end."
        ),
    ] = 100,
    config: ConfigPath = None,
    overrides: Overrides = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Draw a figure, .svg or .png.")
    ] = None,
    experiments_dir: ExperimentsDir = EXPERIMENTS_DIR,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Find a learning rate by a range test.

    The rate grows by the same factor each step, on a model that is thrown away, until the loss
    diverges. No run is made or changed.
    """
    from transformer_playground.training.lr_range import RangeSettings

    if not 0 < start < end:
        raise UsageError(
            f"--start {start:g} and --end {end:g} are no range of rates.",
            "Give a positive start below the end.",
        )
    if out is not None:
        from transformer_playground.plots.loss_plot import plot_format

        check_out(out)
        plot_format(out)
    launch = Launch(experiment or "", tuple(overrides or ()), config=config)
    resolved = resolve_launch(experiments_dir, runs_dir, launch)
    with PreparationDisplay() as display:
        resolved.prepare(display.note, display.progress)
    every = max(1, steps // _REPORTS)

    def show(step: int, rate: float, loss: float) -> None:
        if step % every == 0:
            rate_text = learning_rate_text(rate)
            note(f"step {step} of {steps}: rate {rate_text}, loss {loss_text(loss)}")

    test = resolved.range_test(RangeSettings(start, end, steps), note, show)
    name = resolved.experiment.name
    if out is not None:
        from transformer_playground.plots.curves_plot import write_curves_plot
        from transformer_playground.training.lr_range_text import figure

        write_curves_plot(out, figure(test, name))
    if json_output:
        path = None if out is None else str(out)
        say_json({**test.as_json(), "experiment": name, "figure": path})
        return
    _print(test)
    if out is not None:
        say(f"plot: {out}")


def _print(test: "RangeTest") -> None:
    from transformer_playground.training.lr_range_text import chart, explanation

    width = min(_WIDTH, shutil.get_terminal_size().columns) if is_terminal() else _WIDTH
    for line in (*chart(test, width=width, height=_HEIGHT), "", *explanation(test)):
        say(line)
    for text in test.notes:
        note(text)
    if test.overrides:
        say("Next: tp train … " + " ".join(f"--set {each}" for each in test.overrides))
