"""Pictures of a sweep with matplotlib: the views of `views.py`."""

from collections.abc import Sequence
from typing import IO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from transformer_playground.formatting import loss_text
from transformer_playground.plots.drawing import (
    COLOURS,
    INK,
    MARKERS,
    MUTED,
    SIZE,
    finish_axes,
    save_figure,
    set_labels,
    set_title,
)
from transformer_playground.sweeps.figures import HeatMap, ParallelAxis, ParallelLine
from transformer_playground.sweeps.group_curves import GroupCurve
from transformer_playground.sweeps.results import Combination, Effect, values_text

# From the blue of `COLOURS` for the best to nearly white.
_SHADES = LinearSegmentedColormap.from_list("losses", ["#0072B2", "#56B4E9", "#cfe6f5", "#f2f7fb"])
# White has more contrast than black on shares below this, and either at least 4.5:1.
_DARK = 0.05
_LOSS = "best validation loss (nats per token)"
_DIFFERENCE = "difference to the best value (nats per token)"
_ROW_INCHES = 0.28
_MOST_ROWS = 24
_MOST_CURVES = 14


def draw_best(file: IO[bytes], kind: str, title: str, combinations: Sequence[Combination]) -> None:
    """Combinations with a loss as points with their standard errors, the best at the top."""
    shown = [each for each in combinations if each.loss.mean is not None][:_MOST_ROWS]
    names = [values_text(each.values) or "all" for each in shown]
    points = [(each.loss.mean or 0.0, each.loss.standard_error or 0.0) for each in shown]

    def draw(dpi: int) -> Figure:
        figure = _figure(dpi, 1.4 + _ROW_INCHES * len(shown))
        axes = figure.add_subplot()
        _points(axes, names, points, _LOSS)
        set_title(axes, title)
        return figure

    save_figure(file, kind, title, draw)


def draw_effects(file: IO[bytes], kind: str, title: str, effects: Sequence[Effect]) -> None:
    """The difference of each value of a setting to its best one, with its standard error."""
    rows = sum(len(effect.levels) for effect in effects)

    def draw(dpi: int) -> Figure:
        figure = _figure(dpi, 1.4 + _ROW_INCHES * rows + 0.5 * len(effects))
        heights = [len(effect.levels) for effect in effects]
        found = figure.subplots(len(effects), sharex=True, squeeze=False, height_ratios=heights)
        for axes, effect in zip(found[:, 0], effects, strict=True):
            values = [level.value for level in effect.levels]
            _points(axes, values, _differences(effect), _DIFFERENCE if axes is found[-1, 0] else "")
            axes.axvline(0.0, color=MUTED, linewidth=0.9, zorder=1.5)
            axes.set_title(effect.key, loc="left", fontsize=9, color=INK, parse_math=False, pad=3)
        figure.suptitle(
            title, x=0.01, ha="left", fontsize=12, fontweight="bold", color=INK, parse_math=False
        )
        return figure

    save_figure(file, kind, title, draw)


def draw_heat_map(file: IO[bytes], kind: str, title: str, found: HeatMap) -> None:
    """A cell for each pair of values; the darker, the better."""
    shares = [[np.nan if cell.share is None else cell.share for cell in row] for row in found.cells]

    def draw(dpi: int) -> Figure:
        figure = _figure(dpi, max(SIZE[1], 1.6 + 0.36 * len(found.rows)))
        axes = figure.add_subplot()
        axes.imshow(shares, cmap=_SHADES, vmin=0.0, vmax=1.0, aspect="auto")
        for row, cells in enumerate(found.cells):
            for column, cell in enumerate(cells):
                mean = cell.loss.mean
                text = (cell.state or "") if mean is None else loss_text(mean)
                is_dark = cell.share is not None and cell.share < _DARK
                axes.text(
                    column,
                    row,
                    f"★ {text}" if cell.is_best else text,
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if is_dark else "black",
                    parse_math=False,
                )
        _ticks(axes.xaxis, range(len(found.columns)), found.columns)
        _ticks(axes.yaxis, range(len(found.rows)), found.rows)
        if sum(map(len, found.columns)) > 80:
            axes.tick_params("x", rotation=30)
        axes.tick_params(length=0, labelsize=8.5, labelcolor=MUTED)
        axes.spines[:].set_visible(False)
        set_labels(axes, found.keys[1], found.keys[0])
        set_title(axes, title)
        return figure

    save_figure(file, kind, title, draw)


def draw_parallel(
    file: IO[bytes],
    kind: str,
    title: str,
    coordinates: tuple[Sequence[ParallelAxis], Sequence[ParallelLine]],
) -> None:
    """A line for each run across all axes; the best quarter is coloured."""
    columns, lines = coordinates

    def draw(dpi: int) -> Figure:
        figure = _figure(dpi, SIZE[1])
        axes = figure.add_subplot()
        others = len(lines) - max(1, len(lines) // 4)
        for place, line in enumerate(lines):
            is_best = place >= others
            known = [(at, spot) for at, spot in enumerate(line.places) if spot is not None]
            axes.plot(
                *zip(*known, strict=True),
                color=COLOURS[0] if is_best else MUTED,
                linewidth=2.4 if place == len(lines) - 1 else 1.4 if is_best else 0.8,
                alpha=0.9 if is_best else 0.35,
                gid=f"line-{len(lines) - place}",
                zorder=3 if is_best else 2,
            )
        for place, column in enumerate(columns):
            axes.axvline(place, color=INK, linewidth=0.8, zorder=1.5)
            for spot, text in column.ticks:
                axes.annotate(
                    text,
                    (place, spot),
                    xytext=(4, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=8,
                    color=INK,
                    parse_math=False,
                    zorder=5,
                    bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1},
                )
        _ticks(axes.xaxis, range(len(columns)), [column.title for column in columns])
        axes.set_yticks([])
        axes.set_ylim(-0.06, 1.06)
        axes.margins(x=0.08)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, labelsize=9, labelcolor=INK)
        set_title(axes, title)
        return figure

    save_figure(file, kind, title, draw)


def draw_curves(file: IO[bytes], kind: str, title: str, curves: Sequence[GroupCurve]) -> None:
    """Mean validation loss by step, with the band of its standard error over seeds."""
    shown = curves[:_MOST_CURVES]

    def draw(dpi: int) -> Figure:
        figure = _figure(dpi, SIZE[1])
        axes = figure.add_subplot()
        for place, curve in enumerate(shown):
            colour = COLOURS[place % len(COLOURS)]
            axes.plot(
                curve.steps,
                curve.mean,
                color=colour,
                marker=MARKERS[place % len(MARKERS)],
                markersize=4,
                markevery=max(1, len(curve.steps) // 12),
                linewidth=1.8,
                label=curve.label,
                gid=f"mean-{place + 1}",
                zorder=3,
            )
            if np.isfinite(curve.error).any():
                axes.fill_between(
                    curve.steps,
                    curve.mean - curve.error,
                    curve.mean + curve.error,
                    color=colour,
                    alpha=0.2,
                    linewidth=0,
                    gid=f"band-{place + 1}",
                )
        finish_axes(axes, "step", "validation loss (nats per token)")
        set_title(axes, title)
        legend = axes.legend(fontsize=8.5, labelcolor=INK, framealpha=0.85, edgecolor="none")
        for text in legend.get_texts():
            text.set_parse_math(False)
        return figure

    save_figure(file, kind, title, draw)


def _figure(dpi: int, height: float) -> Figure:
    return Figure(figsize=(SIZE[0], height), dpi=dpi, layout="constrained", facecolor="white")


def _points(
    axes: Axes, names: Sequence[str], points: Sequence[tuple[float, float]], x_label: str
) -> None:
    means, errors = zip(*points, strict=True)
    rows = range(len(points))
    axes.errorbar(
        means, rows, xerr=errors, fmt="o", color=COLOURS[0], ecolor=MUTED, markersize=5, capsize=3
    )
    finish_axes(axes, x_label, "")
    _ticks(axes.yaxis, rows, names)
    axes.set_ylim(len(points) - 0.5, -0.5)


def _differences(effect: Effect) -> list[tuple[float, float]]:
    return [
        (level.difference.mean or 0.0, level.difference.standard_error or 0.0)
        if level.difference is not None
        else (0.0, 0.0)
        for level in effect.levels
    ]


def _ticks(axis: Axis, places: Sequence[int], texts: Sequence[str]) -> None:
    axis.set_ticks(list(places), list(texts), parse_math=False)
