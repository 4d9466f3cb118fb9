"""Figure of curves with bands, points and marks, drawn with matplotlib."""

from typing import IO

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from transformer_playground.formatting import count_text, power_text
from transformer_playground.plots.curves_plot import CurvesPlot
from transformer_playground.plots.drawing import (
    COLOURS,
    INK,
    MARKERS,
    MUTED,
    SIZE,
    finish_axes,
    save_figure,
    set_title,
)

_FEW_POINTS = 40


def render(file: IO[bytes], kind: str, plot: CurvesPlot) -> None:
    """Draw a plot into an open file; `kind` is "svg" or "png"."""
    save_figure(file, kind, plot.title, lambda dpi: _draw(plot, dpi))


def _draw(plot: CurvesPlot, dpi: int) -> Figure:
    figure = Figure(figsize=SIZE, dpi=dpi, layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    axes.set_xscale("log")
    for place, curve in enumerate(plot.curves):
        colour, marker = COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]
        if curve.line:
            xs, ys = zip(*curve.line, strict=True)
            axes.plot(xs, ys, color=colour, linewidth=1.6, zorder=2, gid=f"line-{place + 1}")
        if curve.band:
            xs, lows, highs = zip(*curve.band, strict=True)
            axes.fill_between(xs, lows, highs, color=colour, alpha=0.15, linewidth=0, zorder=1)
        if curve.points:
            xs, ys = zip(*curve.points, strict=True)
            size = 6.0 if len(xs) <= _FEW_POINTS else 2.5
            axes.plot(
                xs,
                ys,
                marker,
                color=colour,
                markersize=size,
                markeredgewidth=0,
                alpha=1.0 if len(xs) <= _FEW_POINTS else 0.5,
                zorder=3,
                gid=f"points-{place + 1}",
            )
        shown = marker if curve.points else ""
        axes.plot([], [], marker=shown, color=colour, label=curve.label)
    for place, bar in enumerate(plot.intervals):
        axes.plot([bar.x, bar.x], [bar.low, bar.high], color=INK, linewidth=1.4, zorder=3.5)
        axes.plot([], [], color=INK, label=bar.label)
        if bar.measured is not None:
            axes.plot(
                [bar.x], [bar.measured], "*", color=INK, markersize=11, zorder=4,
                gid=f"held-out-{place + 1}", label=bar.measured_label,
            )  # fmt: skip
    for place, mark in enumerate(plot.marks):
        axes.axvline(mark.x, color=MUTED, linestyle=":", linewidth=1.2, zorder=1.5)
        axes.annotate(
            mark.label,
            (mark.x, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(4, -10 - 12 * place),
            textcoords="offset points",
            fontsize=8.5,
            color=MUTED,
        )
    if plot.y_limits is not None:
        axes.set_ylim(*plot.y_limits)
    finish_axes(axes, plot.x_label, plot.y_label)
    show = count_text if plot.x_are_counts else power_text
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if plot.x_are_counts else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: show(float(f"{value:.3g}"))))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(MaxNLocator(7))
    set_title(axes, plot.title)
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)
    return figure
