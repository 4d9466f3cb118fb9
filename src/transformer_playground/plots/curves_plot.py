"""A plot of curves over a logarithmic axis, with bands, points and marks, as SVG or PNG."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformer_playground.errors import RunError, translate_os_errors
from transformer_playground.files import replace_file
from transformer_playground.plots.loss_plot import load_figure, plot_format


@dataclass(frozen=True)
class PlottedCurve:
    """A curve, its points and the band around it.

    Attributes:
        line: Pairs of x and y.
        points: Pairs of x and y of what was measured.
        band: Triples of x, lowest and highest y.
    """

    label: str
    line: Sequence[tuple[float, float]] = ()
    points: Sequence[tuple[float, float]] = ()
    band: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True)
class Interval:
    """A band at one x, and what was measured there."""

    label: str
    x: float
    low: float
    high: float
    measured: float | None = None
    measured_label: str = ""


@dataclass(frozen=True)
class Mark:
    """A vertical line with a label."""

    label: str
    x: float


@dataclass(frozen=True)
class CurvesPlot:
    """What a plot shows.

    Attributes:
        x_are_counts: x are numbers of things (1M), not rates (1e-3).
        y_limits: Lowest and highest y; None = all that is drawn.
    """

    title: str
    x_label: str
    y_label: str
    curves: Sequence[PlottedCurve]
    intervals: Sequence[Interval] = ()
    marks: Sequence[Mark] = ()
    x_are_counts: bool = False
    y_limits: tuple[float, float] | None = None


def write_curves_plot(out: Path, plot: CurvesPlot) -> None:
    """Draw a plot and write it atomically; the file's extension decides the format.

    Raises:
        UsageError: The extension is unknown, or it is a folder.
        RunError: matplotlib cannot be loaded, or OSError while writing.
    """
    kind = plot_format(out)
    render = load_figure("curves_figure")
    hint = "Check the disk and the folder's permissions, or choose another file."
    with translate_os_errors(RunError, f"The plot {out} could not be written", hint):
        out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, lambda file: render(file, kind, plot))
