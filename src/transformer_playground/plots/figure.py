"""Loss figure: draws loss curves with matplotlib.

Uses matplotlib's objects and not pyplot, which would keep figures and may need a display.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from transformer_playground.formatting import count_text, duration_text, loss_text
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
from transformer_playground.plots.loss_curves import LossCurves, PlotRequest, PlottedNGram
from transformer_playground.runs.column_buffer import FloatArray
from transformer_playground.runs.curves import debiased_ema, decimate, split_at_gaps
from transformer_playground.runs.metrics import Axis
from transformer_playground.runs.series import Curve

_VAL_LINE: dict[str, Any] = {
    "linewidth": 2.0, "markersize": 5, "markeredgecolor": "white", "markeredgewidth": 0.7
}  # fmt: skip
_MAX_MARKERS = 24
_MAX_CROSSES = 12
_MAX_LEGEND_RUNS = 12
_MAX_NAME = 26
# With more runs the legend is below the axes.
_MAX_RUNS_INSIDE = 3
_LEGEND_ROW_INCHES = 0.19
# Labels up to this length fit into three columns.
_SHORT_LABEL = 24
_MINUTE, _HOUR = 60.0, 3600.0
# An axis shorter than this many minutes or hours uses the smaller unit.
_MAX_SMALL_UNITS = 3
_DECADE = 10.0


@dataclass(frozen=True)
class _Style:
    """Style of one run's curves; `number` is part of their SVG ids, such as `val-1`."""

    number: int
    train: str
    val: str
    marker: str


@dataclass(frozen=True)
class _Scale:
    """Scale of the horizontal axis.

    Attributes:
        unit: Positions are divided by it.
        phrase: Template for a position, such as "at step {}".
        show: Formats a position.
        tick: Formats a position in units.
    """

    label: str
    unit: float
    phrase: str
    show: Callable[[float], str]
    tick: Callable[[float], str]

    def at(self, position: float) -> str:
        return self.phrase.format(self.show(position))


def render(
    file: IO[bytes],
    kind: str,
    runs: Sequence[LossCurves],
    title: str,
    request: PlotRequest,
) -> None:
    """Draw at least one run with a finite loss into an open file.

    Args:
        kind: "svg" or "png".
        title: One line of text that is valid in XML.
        request: The options; its own title and path are not used.
    """
    save_figure(file, kind, title, lambda dpi: _draw(runs, title, request, dpi=dpi))


def _draw(runs: Sequence[LossCurves], title: str, request: PlotRequest, *, dpi: int) -> Figure:
    styles = [_style(place, alone=len(runs) == 1) for place in range(len(runs))]
    entries = _legend_entries(runs, styles, smooth=request.smooth)
    is_inside = len(runs) <= _MAX_RUNS_INSIDE
    # A legend below the axes extends the figure instead of shrinking them.
    is_short = all(len(label) <= _SHORT_LABEL for _, label in entries)
    columns = 1 if is_inside else 3 if is_short else 2
    below = 0 if is_inside else -(-len(entries) // columns) * _LEGEND_ROW_INCHES
    figure = Figure(
        figsize=(SIZE[0], SIZE[1] + below), dpi=dpi, layout="constrained", facecolor="white"
    )
    axes = figure.add_subplot()
    curves = [curve for run in runs for curve in (run.train, run.val) if curve.x.size]
    scale = _scale_for(request.x, max(float(curve.x.max()) for curve in curves))
    if request.log_y:
        axes.set_yscale("log")
    pixels = int(SIZE[0] * dpi)
    # The order of drawing is set by `zorder`.
    for run, style in zip(runs, styles, strict=True):
        _draw_train(axes, run.train, style, scale, smooth=request.smooth, columns=pixels)
        _draw_val(axes, run.val, style, scale, pixels)
        _draw_breaks(axes, run.breaks, style, scale)
    _draw_best(axes, runs, styles, scale)
    if request.ngram is not None:
        _draw_ngram(axes, request.ngram)
    _format_axes(axes, scale, log_y=request.log_y)
    set_title(axes, title)
    _add_legend(axes if is_inside else figure, entries, columns)
    return figure


def _style(place: int, *, alone: bool) -> _Style:
    if alone:
        return _Style(number=1, train=COLOURS[0], val=COLOURS[1], marker=MARKERS[0])
    colour = COLOURS[place % len(COLOURS)]
    return _Style(place + 1, train=colour, val=colour, marker=MARKERS[place % len(MARKERS)])


def _draw_train(
    axes: Axes, curve: Curve, style: _Style, scale: _Scale, *, smooth: float, columns: int
) -> None:
    measured = {"linewidth": 0.9, "alpha": 0.3} if smooth else {"linewidth": 1.0, "alpha": 0.75}
    name = f"train-{style.number}"
    _draw_line(axes, curve, scale, columns, gid=name, color=style.train, zorder=2, **measured)
    if smooth:
        average = Curve(curve.x, debiased_ema(curve.y, smooth))
        line = {"gid": f"{name}-smoothed", "color": style.train, "linewidth": 1.1, "zorder": 3}
        _draw_line(axes, average, scale, columns, **line)


def _draw_val(axes: Axes, curve: Curve, style: _Style, scale: _Scale, columns: int) -> None:
    every = max(1, -(-curve.x.size // _MAX_MARKERS))
    _draw_line(
        axes,
        curve,
        scale,
        columns,
        gid=f"val-{style.number}",
        color=style.val,
        marker=style.marker,
        markevery=every,
        zorder=4,
        **_VAL_LINE,
    )


def _draw_line(axes: Axes, curve: Curve, scale: _Scale, columns: int, **style: Any) -> None:
    if not np.isfinite(curve.y).any():
        return
    order = np.argsort(curve.x, kind="stable")
    x, y = decimate(curve.x[order] / scale.unit, curve.y[order], columns)
    axes.plot(x, y, solid_joinstyle="round", solid_capstyle="round", **style)
    # A line does not show a single point between two gaps.
    lone = [(float(a[0]), float(b[0])) for a, b in split_at_gaps(x, y) if a.size == 1]
    if lone and "marker" not in style:
        positions, values = zip(*lone, strict=True)
        shade = {key: style[key] for key in ("color", "alpha", "zorder") if key in style}
        gid = f"{style['gid']}-points"
        axes.plot(positions, values, gid=gid, linestyle="none", marker=".", markersize=3, **shade)


def _draw_markers(axes: Axes, x: FloatArray, y: FloatArray, style: _Style, **kwargs: Any) -> None:
    axes.plot(x, y, linestyle="none", markerfacecolor=style.val, mec="white", mew=1.0, **kwargs)


def _draw_breaks(axes: Axes, breaks: Curve, style: _Style, scale: _Scale) -> None:
    if not breaks.x.size:
        return
    chosen = np.unique(np.linspace(0, breaks.x.size - 1, _MAX_CROSSES).astype(int))
    x, y, gid = breaks.x[chosen] / scale.unit, breaks.y[chosen], f"breaks-{style.number}"
    _draw_markers(axes, x, y, style, gid=gid, marker="X", markersize=9, zorder=6)


def _draw_best(
    axes: Axes, runs: Sequence[LossCurves], styles: Sequence[_Style], scale: _Scale
) -> None:
    found = [
        (run.best, style, run.run_id)
        for run, style in zip(runs, styles, strict=True)
        if run.best is not None
    ]
    for best, style, _ in found:
        x, y = np.array([best.x / scale.unit]), np.array([best.loss])
        gid = f"best-{style.number}"
        _draw_markers(
            axes, x, y, style, gid=gid, marker="*", markersize=13, zorder=7, clip_on=False
        )
    if not found:
        return
    best, style, run_id = min(found, key=lambda each: each[0].loss)
    run_name = "" if len(runs) == 1 else f" ({_shortened(run_id)})"
    axes.axhline(best.loss, color=style.val, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1.5)
    # No curve is at the left below the lowest loss.
    axes.annotate(
        f"best {loss_text(best.loss)} {scale.at(best.x)}{run_name}",
        xy=(0.012, best.loss),
        xycoords=("axes fraction", "data"),
        xytext=(0, -4),
        textcoords="offset points",
        va="top",
        fontsize=8.5,
        color=INK,
        parse_math=False,
        bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1},
    )


def _draw_ngram(axes: Axes, ngram: PlottedNGram) -> None:
    axes.axhline(ngram.loss, gid="ngram", color=MUTED, linewidth=1.0, linestyle=":", zorder=1.5)
    # Curves begin high and end low: at the right above the line there is space.
    axes.annotate(
        f"{ngram.order}-gram {loss_text(ngram.loss)}",
        xy=(0.988, ngram.loss),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
        color=MUTED,
        bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1},
    )


def _add_legend(where: Figure | Axes, entries: Sequence[tuple[Line2D, str]], columns: int) -> None:
    is_inside = isinstance(where, Axes)
    legend = where.legend(
        [handle for handle, _ in entries],
        [label for _, label in entries],
        loc="best" if is_inside else "outside lower center",
        ncols=columns,
        fontsize=8.5,
        labelcolor=INK,
        frameon=is_inside,
        framealpha=0.85,
        edgecolor="none",
        handlelength=2.4,
        columnspacing=1.6,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _legend_entries(
    runs: Sequence[LossCurves], styles: Sequence[_Style], *, smooth: float
) -> list[tuple[Line2D, str]]:
    entries: list[tuple[Line2D, str]] = []
    averaged = f"training (smoothed {smooth:g})" if smooth else "training"
    if len(runs) == 1:
        train, val = _legend_lines(styles[0].train, styles[0].val, styles[0].marker)
    else:
        named = list(zip(runs, styles, strict=True))[:_MAX_LEGEND_RUNS]
        for run, style in named:
            loss = f"  {loss_text(run.best.loss)}" if run.best else ""
            _, line = _legend_lines(style.train, style.val, style.marker)
            entries.append((line, f"{_shortened(run.run_id)}{loss}"))
        train, val = _legend_lines(MUTED, MUTED, "")
        hidden = len(runs) - len(named)
        if hidden:
            entries.append((Line2D([], [], linestyle="none"), f"and {hidden} more"))
    if any(np.isfinite(run.train.y).any() for run in runs):
        entries.append((train, averaged))
    if any(np.isfinite(run.val.y).any() for run in runs):
        entries.append((val, "validation"))
    if any(run.best for run in runs):
        entries.append((_symbol("*", 11, styles), "best validation"))
    if any(run.breaks.x.size for run in runs):
        entries.append((_symbol("X", 8, styles), "curve ends: loss not finite, or run failed"))
    return entries


def _legend_lines(train: str, val: str, marker: str) -> tuple[Line2D, Line2D]:
    train_line = Line2D([], [], color=train, linewidth=1.0)
    return train_line, Line2D([], [], color=val, marker=marker, **_VAL_LINE)


def _symbol(marker: str, size: float, styles: Sequence[_Style]) -> Line2D:
    colour = styles[0].val if len(styles) == 1 else MUTED
    return Line2D(
        [], [], linestyle="none", marker=marker, markersize=size, color=colour, markeredgewidth=0
    )


def _shortened(name: str) -> str:
    if len(name) <= _MAX_NAME:
        return name
    # Ids of one experiment often differ only at their end.
    half = _MAX_NAME // 2
    return f"{name[: half - 1]}…{name[-half:]}"


def _scale_for(x: Axis, furthest: float) -> _Scale:
    if x == "step":
        return _Scale("step", 1.0, "at step {}", "{:,.0f}".format, "{:,.0f}".format)
    if x == "tokens":
        return _Scale("tokens seen", 1.0, "at {} tokens", count_text, count_text)
    unit, size = "h", _HOUR
    if furthest < _MAX_SMALL_UNITS * _MINUTE:
        unit, size = "s", 1.0
    elif furthest < _MAX_SMALL_UNITS * _HOUR:
        unit, size = "min", _MINUTE
    return _Scale(f"training time ({unit})", size, "after {}", duration_text, "{:.3g}".format)


def _format_axes(axes: Axes, scale: _Scale, *, log_y: bool) -> None:
    scaled = ", log scale" if log_y else ""
    finish_axes(axes, scale.label, f"loss (nats per token{scaled})")
    locator = MaxNLocator(8, steps=[1, 2, 2.5, 5, 10], integer=scale.label == "step", min_n_ticks=1)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: scale.tick(value)))
    if log_y:
        low, high = axes.get_ylim()
        # Within one decade there may be no power of ten to label.
        is_wide = high > _DECADE * low
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if is_wide else MaxNLocator(6))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
