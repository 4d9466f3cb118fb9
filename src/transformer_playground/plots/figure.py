"""Loss curves as a picture: what is drawn where, in which colour and stroke.

Everything goes through matplotlib's objects, never through pyplot, so there is no display, no
window and no figure that outlives its call.
"""

import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from rich.cells import cell_len

from transformer_playground.formatting import loss_text
from transformer_playground.plots.axes import Scale, label_axes, scale_for
from transformer_playground.plots.loss_curves import LossCurves
from transformer_playground.runs.curves import debiased_ema, decimate, split_at_gaps
from transformer_playground.runs.series import Axis, Curve

# Okabe & Ito (2008), "Color Universal Design": told apart with every kind of colour vision. Their
# yellow is left out, which vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# As many as colours and one less, so that pairs repeat only after 42 runs.
MARKERS = ("o", "^", "s", "D", "v", "p")

_SIZE = (8.0, 4.5)
_DPI = {"svg": 100, "png": 200}
_INK, _MUTED, _GRID = "#24292f", "#57606a", "#d8dee4"
_SHORT_TITLE = 52
_MOST_MARKERS = 24
_MOST_CROSSES = 12
_MOST_NAMED = 12
_LONGEST_NAME = 26
_NAMES_BESIDE = 3
_LEGEND_ROW = 0.19
# Up to so long labels stand in three columns.
_SHORT_LABEL = 24
# The settings of a picture are global in matplotlib: one picture at a time.
_LOCK = threading.Lock()


@dataclass(frozen=True)
class _Look:
    """How the curves of one run are drawn; `number` names them in an SVG, as in `val-1`."""

    number: int
    train: str
    val: str
    marker: str


def render(
    file: IO[bytes],
    kind: str,
    runs: Sequence[LossCurves],
    title: str,
    *,
    log_y: bool,
    smooth: float,
    x: Axis,
) -> None:
    """Draw `runs` into an open file.

    Args:
        file: Takes the picture's bytes.
        kind: "svg" or "png".
        runs: At least one run with a finite loss.
        title: One line of text that XML can hold.
        log_y: Whether the loss axis is logarithmic.
        smooth: Weight of the moving average over training losses.
        x: What the positions mean.
    """
    with _LOCK, mpl.rc_context(), warnings.catch_warnings():
        # A title may hold characters that the font lacks: in an SVG the reader's fonts have them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        # The user's own matplotlibrc must not change what a run's picture looks like.
        mpl.rcdefaults()
        # Text stays text: small, sharp, found by a search, and read aloud.
        mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "transformer-playground"})
        figure = draw(runs, title, log_y=log_y, smooth=smooth, x=x, dpi=_DPI[kind])
        # A date or a version would change a picture whose curves have not changed.
        metadata = {"Date": None, "Creator": None, "Title": title} if kind == "svg" else {}
        figure.savefig(file, format=kind, dpi=_DPI[kind], metadata=metadata)


def draw(
    runs: Sequence[LossCurves], title: str, *, log_y: bool, smooth: float, x: Axis, dpi: int
) -> Figure:
    """The figure that `render` writes; call it under matplotlib's default settings."""
    looks = [_look(place, alone=len(runs) == 1) for place in range(len(runs))]
    entries = _entries(runs, looks, smooth=smooth)
    is_beside = len(runs) <= _NAMES_BESIDE
    # Names below the curves must not take height from them.
    is_short = all(len(label) <= _SHORT_LABEL for _, label in entries)
    columns = 1 if is_beside else 3 if is_short else 2
    below = 0 if is_beside else -(-len(entries) // columns) * _LEGEND_ROW
    figure = Figure(
        figsize=(_SIZE[0], _SIZE[1] + below), dpi=dpi, layout="constrained", facecolor="white"
    )
    axes = figure.add_subplot()
    scale = scale_for(x, max(_furthest(run) for run in runs))
    if log_y:
        axes.set_yscale("log")
    pixels = int(_SIZE[0] * dpi)
    for run, look in zip(runs, looks, strict=True):
        _draw_train(axes, run.train, look, scale, smooth=smooth, columns=pixels)
    for run, look in zip(runs, looks, strict=True):
        _draw_val(axes, run.val, look, scale, pixels)
    for run, look in zip(runs, looks, strict=True):
        _draw_breaks(axes, run.breaks, look, scale)
    _draw_best(axes, runs, looks, scale)
    label_axes(axes, scale, log_y=log_y, ink=_INK, muted=_MUTED, grid=_GRID)
    axes.set_title(
        title,
        parse_math=False,
        loc="left",
        fontsize=12 if cell_len(title) <= _SHORT_TITLE else 9,
        fontweight="bold",
        color=_INK,
        pad=10,
    )
    _add_legend(axes if is_beside else figure, entries, columns)
    return figure


def _look(place: int, *, alone: bool) -> _Look:
    if alone:
        return _Look(number=1, train=COLOURS[0], val=COLOURS[1], marker=MARKERS[0])
    colour = COLOURS[place % len(COLOURS)]
    return _Look(place + 1, train=colour, val=colour, marker=MARKERS[place % len(MARKERS)])


def _furthest(run: LossCurves) -> float:
    return max(float(curve.x.max()) for curve in (run.train, run.val) if curve.x.size)


def _draw_train(
    axes: Axes, curve: Curve, look: _Look, scale: Scale, *, smooth: float, columns: int
) -> None:
    measured = {"linewidth": 0.9, "alpha": 0.3} if smooth else {"linewidth": 1.0, "alpha": 0.75}
    name = f"train-{look.number}"
    _draw_line(axes, curve, scale, columns, gid=name, color=look.train, zorder=2, **measured)
    if smooth:
        average = Curve(curve.x, debiased_ema(curve.y, smooth))
        style = {"gid": f"{name}-smoothed", "color": look.train, "linewidth": 1.1, "zorder": 3}
        _draw_line(axes, average, scale, columns, **style)


def _draw_val(axes: Axes, curve: Curve, look: _Look, scale: Scale, columns: int) -> None:
    every = max(1, -(-curve.x.size // _MOST_MARKERS))
    _draw_line(
        axes,
        curve,
        scale,
        columns,
        gid=f"val-{look.number}",
        color=look.val,
        linewidth=2.0,
        marker=look.marker,
        markersize=5,
        markeredgecolor="white",
        markeredgewidth=0.7,
        markevery=every,
        zorder=4,
    )


def _draw_line(axes: Axes, curve: Curve, scale: Scale, columns: int, **style: Any) -> None:
    if not np.isfinite(curve.y).any():
        return
    order = np.argsort(curve.x, kind="stable")
    x, y = decimate(curve.x[order] / scale.unit, curve.y[order], columns)
    axes.plot(x, y, solid_joinstyle="round", solid_capstyle="round", **style)
    # A line has no room for a point between two gaps.
    lone = [(float(a[0]), float(b[0])) for a, b in split_at_gaps(x, y) if a.size == 1]
    if lone and "marker" not in style:
        places, values = zip(*lone, strict=True)
        name = f"{style['gid']}-points"
        axes.plot(
            places, values, gid=name, linestyle="none", marker=".", markersize=3, **_shade(style)
        )


def _shade(style: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in style.items() if key in ("color", "alpha", "zorder")}


def _draw_breaks(axes: Axes, breaks: Curve, look: _Look, scale: Scale) -> None:
    if not breaks.x.size:
        return
    chosen = np.unique(np.linspace(0, breaks.x.size - 1, _MOST_CROSSES).astype(int))
    axes.plot(
        breaks.x[chosen] / scale.unit,
        breaks.y[chosen],
        gid=f"breaks-{look.number}",
        linestyle="none",
        marker="X",
        markersize=9,
        markerfacecolor=look.val,
        markeredgecolor="white",
        markeredgewidth=1.0,
        zorder=6,
    )


def _draw_best(
    axes: Axes, runs: Sequence[LossCurves], looks: Sequence[_Look], scale: Scale
) -> None:
    found = [
        (run.best, look, run.run_id)
        for run, look in zip(runs, looks, strict=True)
        if run.best is not None
    ]
    for best, look, _ in found:
        axes.plot(
            [best.x / scale.unit],
            [best.loss],
            gid=f"best-{look.number}",
            linestyle="none",
            marker="*",
            markersize=13,
            markerfacecolor=look.val,
            markeredgecolor="white",
            markeredgewidth=0.9,
            zorder=7,
            clip_on=False,
        )
    if not found:
        return
    best, look, run_id = min(found, key=lambda each: each[0].loss)
    whose = "" if len(runs) == 1 else f" ({_shortened(run_id)})"
    axes.axhline(best.loss, color=look.val, linewidth=0.9, linestyle=(0, (5, 4)), zorder=1.5)
    # On the left and below the lowest loss there is nothing else to see.
    axes.annotate(
        f"best {loss_text(best.loss)} {scale.at(best.x)}{whose}",
        xy=(0.012, best.loss),
        xycoords=("axes fraction", "data"),
        xytext=(0, -4),
        textcoords="offset points",
        va="top",
        fontsize=8.5,
        color=_INK,
        parse_math=False,
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
        labelcolor=_INK,
        frameon=is_inside,
        framealpha=0.85,
        edgecolor="none",
        handlelength=2.4,
        columnspacing=1.6,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _entries(
    runs: Sequence[LossCurves], looks: Sequence[_Look], *, smooth: float
) -> list[tuple[Line2D, str]]:
    averaged = f"training (smoothed {smooth:g})" if smooth else "training"
    if len(runs) == 1:
        train, val = _strokes(looks[0].train, looks[0].val, looks[0].marker)
        entries = []
    else:
        named = list(zip(runs, looks, strict=True))[:_MOST_NAMED]
        entries = [(_strokes(k.train, k.val, k.marker)[1], _named(run)) for run, k in named]
        train, val = _strokes(_MUTED, _MUTED, "")
        hidden = len(runs) - len(named)
        more = [(Line2D([], [], linestyle="none"), f"and {hidden} more")] if hidden else []
        entries += more
    if any(np.isfinite(run.train.y).any() for run in runs):
        entries.append((train, averaged))
    if any(np.isfinite(run.val.y).any() for run in runs):
        entries.append((val, "validation"))
    if any(run.best for run in runs):
        entries.append((_symbol("*", 11, looks), "best validation"))
    if any(run.breaks.x.size for run in runs):
        entries.append((_symbol("X", 8, looks), "breaks off: loss not finite, or failed"))
    return entries


def _strokes(train: str, val: str, marker: str) -> tuple[Line2D, Line2D]:
    return (
        Line2D([], [], color=train, linewidth=1.0),
        Line2D(
            [],
            [],
            color=val,
            linewidth=2.0,
            marker=marker,
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.7,
        ),
    )


def _symbol(marker: str, size: float, looks: Sequence[_Look]) -> Line2D:
    colour = looks[0].val if len(looks) == 1 else _MUTED
    return Line2D(
        [], [], linestyle="none", marker=marker, markersize=size, color=colour, markeredgewidth=0
    )


def _named(run: LossCurves) -> str:
    name = _shortened(run.run_id)
    return name if run.best is None else f"{name}  {loss_text(run.best.loss)}"


def _shortened(name: str) -> str:
    if len(name) <= _LONGEST_NAME:
        return name
    # Ids of one experiment differ at their end.
    half = _LONGEST_NAME // 2
    return f"{name[: half - 1]}…{name[-half:]}"
