"""Polylines as braille dots, two by four to a character cell, drawn without a loop over points.

A line is first reduced to one vertical stretch per column of dots, from the lowest to the highest
value that falls into it, so that no extreme is lost however many points there are; then stretches
are joined as Bresenham (1965, "Algorithm for computer control of a digital plotter") joins points.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_playground.tui.charts.axes import FloatArray, Span

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

DOTS_ACROSS, DOTS_DOWN = 2, 4
BRAILLE = 0x2800
# Bit of each dot in a braille character: [column][row].
_BITS = np.array([[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]], dtype=np.uint8)
# What lies so many heights away looks the same as what lies further.
_FAR = 1e6


@dataclass(frozen=True, eq=False)
class Points:
    """What of a line can be drawn: finite points in order of x.

    Attributes:
        x: Positions.
        y: Positions, of the same length.
        starts: Indices at which a new stretch begins, ascending: the point there is not joined to
            the one before it. Index 0 is left out.
    """

    x: FloatArray
    y: FloatArray
    starts: IntArray


def drawable(x: FloatArray, y: FloatArray) -> Points:
    """The finite points of a line in order of x; where y is not finite the line has a gap."""
    placed = np.isfinite(x)
    if not placed.all():
        x, y = x[placed], y[placed]
    if len(x) > 1 and not bool(np.all(x[1:] >= x[:-1])):
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    known = np.isfinite(y)
    if known.all():
        return Points(x, y, np.empty(0, dtype=np.int64))
    kept = np.flatnonzero(known)
    starts = np.flatnonzero(np.diff(kept) > 1) + 1
    return Points(x[kept], y[kept], starts)


@dataclass(frozen=True, eq=False)
class Stretches:
    """A line reduced to columns of dots; arrays of one length, in drawing order.

    Attributes:
        column: Column of dots, from 0.
        first: y where the line enters the column.
        last: y where it leaves it.
        low: The lowest y in it.
        high: The highest y in it.
        joined: Whether it is joined to the stretch before it.
    """

    column: IntArray
    first: FloatArray
    last: FloatArray
    low: FloatArray
    high: FloatArray
    joined: BoolArray


def reduce_to_columns(points: Points, span: Span, columns: int) -> Stretches:
    """What a line does in each of `columns` columns of dots that show `span`.

    The line is cut at the ends of the span exactly. Column 0 is centred on the span's low end,
    the last one on its high end; a single column shows all of it.
    """
    x, y = points.x, points.y
    begin = int(np.searchsorted(x, span.low, side="left"))
    end = int(np.searchsorted(x, span.high, side="right"))
    inside = points.starts[(points.starts > begin) & (points.starts < end)]
    middle = _grouped(x, y, begin, end, inside, span, columns)
    parts = [
        _cut_at(points, begin, span.low, 0, joined=False),
        middle,
        _cut_at(points, end, span.high, columns - 1, joined=begin < end),
    ]
    if begin == end:
        # One segment crosses the whole span.
        parts[2].joined[:] = len(parts[0].column) > 0
    elif len(parts[0].column):
        middle.joined[0] = True
    return Stretches(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("column", "first", "last", "low", "high", "joined")
        )
    )


def _cut_at(points: Points, index: int, edge: float, column: int, *, joined: bool) -> Stretches:
    """The point where the segment that ends at `index` crosses an end of the span, if it does."""
    exists = 0 < index < len(points.x) and index not in points.starts
    if not exists:
        return _single(column, [], joined)
    x0, x1 = points.x[index - 1], points.x[index]
    y0, y1 = points.y[index - 1], points.y[index]
    share = (edge - x0) / (x1 - x0) if x1 > x0 else 0.0
    return _single(column, [y0 + (y1 - y0) * share], joined)


def _single(column: int, values: list[float], joined: bool) -> Stretches:
    y = np.array(values, dtype=np.float64)
    count = len(values)
    return Stretches(np.full(count, column), y, y, y, y, np.full(count, joined))


def _grouped(
    x: FloatArray,
    y: FloatArray,
    begin: int,
    end: int,
    starts: IntArray,
    span: Span,
    columns: int,
) -> Stretches:
    if begin == end:
        return _single(0, [], False)
    # Where one column ends and the next begins.
    edges = span.low + (np.arange(1, columns) - 0.5) / max(1, columns - 1) * span.width
    turns = begin + np.searchsorted(x[begin:end], edges, side="left")
    heads = np.unique(np.concatenate([[begin], turns, starts]))
    heads = heads[heads < end]
    tails = np.append(heads[1:], end) - 1
    column = np.searchsorted(turns, heads, side="right")
    joined = ~np.isin(heads, starts)
    joined[0] = False
    part = y[begin:end]
    return Stretches(
        column,
        y[heads],
        y[tails],
        np.minimum.reduceat(part, heads - begin),
        np.maximum.reduceat(part, heads - begin),
        joined,
    )


def draw(stretches: Stretches, span: Span, columns: int, rows: int) -> BoolArray:
    """The dots of a line.

    Args:
        stretches: The line, reduced to the same `columns`.
        span: What the rows show: the top row is centred on its high end, the bottom row on its
            low end; what lies beyond is cut off.
        columns: Columns of dots.
        rows: Rows of dots.

    Returns:
        [columns, rows], row 0 at the top.
    """
    first, last, top, bottom = (
        row_of(values, span, rows)
        for values in (stretches.first, stretches.last, stretches.high, stretches.low)
    )
    later = np.flatnonzero(stretches.joined)
    joins = _joins(
        stretches.column[later - 1], last[later - 1], stretches.column[later], first[later]
    )
    return _filled(
        np.concatenate([stretches.column, joins[0]]),
        np.concatenate([top, joins[1]]),
        np.concatenate([bottom, joins[2]]),
        columns,
        rows,
    )


def row_of(values: FloatArray, span: Span, rows: int) -> FloatArray:
    """The row of dots of each y, whole but unbounded: 0 at the span's high end."""
    with np.errstate(over="ignore"):
        share = np.clip((span.high - values) / span.width, -_FAR, _FAR)
    return np.rint(share * (rows - 1))


def _joins(
    from_column: IntArray, from_row: FloatArray, to_column: IntArray, to_row: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Column, top and bottom row of what segments cover in each column they pass."""
    across = to_column - from_column
    counts = across + 1
    which = np.repeat(np.arange(len(counts)), counts)
    step = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    rise = to_row - from_row
    slope = np.divide(rise, across, out=np.zeros(len(rise)), where=across > 0)[which]
    centre = from_row[which] + slope * step
    lowest, highest = np.minimum(from_row, to_row)[which], np.maximum(from_row, to_row)[which]
    upright = (across == 0)[which]
    steep = np.abs(slope) > 1
    before = from_row[which] + slope * (step - 0.5)
    after = from_row[which] + slope * (step + 0.5)
    # A row belongs to the column in which the line passes the row's middle.
    top = np.where(steep, np.ceil(np.minimum(before, after)), np.rint(centre))
    bottom = np.where(steep, np.ceil(np.maximum(before, after)) - 1, np.rint(centre))
    top = np.where(upright, lowest, np.maximum(top, lowest))
    bottom = np.where(upright, highest, np.minimum(bottom, highest))
    return from_column[which] + step, top, bottom


def _filled(
    column: IntArray, top: FloatArray, bottom: FloatArray, columns: int, rows: int
) -> BoolArray:
    """Dots from `top` to `bottom` in each column; what lies outside is cut off."""
    seen = (bottom >= 0) & (top <= rows - 1) & (top <= bottom)
    base = column[seen] * (rows + 1)
    begins = base + np.maximum(top[seen], 0).astype(np.int64)
    ends = base + np.minimum(bottom[seen], rows - 1).astype(np.int64) + 1
    size = columns * (rows + 1)
    change = np.bincount(begins, minlength=size) - np.bincount(ends, minlength=size)
    covered: NDArray[Any] = np.cumsum(change.reshape(columns, rows + 1), axis=1)
    return covered[:, :rows] > 0


class Canvas:
    """Character cells with braille dots, and for each the line that it belongs to.

    Args:
        columns: Cells across.
        rows: Cells down.

    Attributes:
        masks: uint8 [rows, columns]: bits of the dots in each cell.
        owner: int16 [rows, columns]: number of the topmost line in each cell, -1 where none is.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.masks = np.zeros((rows, columns), dtype=np.uint8)
        self.owner = np.full((rows, columns), -1, dtype=np.int16)

    def add(self, dots: BoolArray, owner: int, *, covers: bool = False) -> None:
        """Put a line on top.

        Args:
            dots: bool [2 x columns, 4 x rows].
            owner: The line's number.
            covers: Take away the dots of lines below in the cells it passes, instead of adding to
                them: keeps a thin line readable on a noisy one.
        """
        cells = dots.reshape(self.columns, DOTS_ACROSS, self.rows, DOTS_DOWN)
        masks = np.einsum("cirj,ij->rc", cells, _BITS, dtype=np.uint8, casting="unsafe")
        touched = masks > 0
        self.masks = np.where(touched & covers, masks, self.masks | masks)
        self.owner[touched] = owner
