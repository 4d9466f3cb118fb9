"""Rasterization of polylines into braille dots, 2 x 4 per character cell, without a Python loop.

A line is first aggregated to first, last, lowest and highest value per column of dots (M4: Jugel
et al. 2014, "M4: A Visualization-Oriented Time Series Data Aggregation"), so that no extreme is
lost; the columns are then joined as Bresenham (1965, "Algorithm for computer control of a digital
plotter") joins points.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_playground.tui.charts.axes import FloatArray, Span

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Masks = NDArray[np.uint8]

DOTS_ACROSS, DOTS_DOWN = 2, 4
BRAILLE = 0x2800
# Bit of each dot in a braille character: [column][row].
_BITS = np.array([[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]], dtype=np.uint8)
# Rows further away, in plot heights, are clipped.
_MAX_DISTANCE = 1e6


@dataclass(frozen=True, eq=False)
class Points:
    """The finite points of a line, sorted by x.

    Attributes:
        starts: Ascending indices after a gap: the point there is not joined to the one before it.
            Index 0 is left out.
    """

    x: FloatArray
    y: FloatArray
    starts: IntArray


def finite_points(x: FloatArray, y: FloatArray) -> Points:
    """The finite points of a line, sorted by x; a y that is not finite makes a gap."""
    has_x = np.isfinite(x)
    if not has_x.all():
        x, y = x[has_x], y[has_x]
    if len(x) > 1 and not bool(np.all(x[1:] >= x[:-1])):
        order = np.argsort(x, kind="stable")
        x, y = x[order], y[order]
    is_finite = np.isfinite(y)
    if is_finite.all():
        return Points(x, y, np.empty(0, dtype=np.int64))
    kept = np.flatnonzero(is_finite)
    starts = np.flatnonzero(np.diff(kept) > 1) + 1
    return Points(x[kept], y[kept], starts)


@dataclass(frozen=True, eq=False)
class ColumnAggregates:
    """A line aggregated by columns of dots; arrays of one length, in drawing order.

    Attributes:
        column: Column of dots, from 0.
        joined: Whether it is joined to the element before it.
    """

    column: IntArray
    first: FloatArray
    last: FloatArray
    low: FloatArray
    high: FloatArray
    joined: BoolArray


def aggregate_columns(points: Points, span: Span, columns: int) -> ColumnAggregates:
    """Aggregate a line over `columns` columns of dots that show `span`.

    The line is clipped exactly at the ends of the span. Column 0 is centred on the low end, the
    last column on the high end; a single column shows everything.
    """
    x, y = points.x, points.y
    begin = int(np.searchsorted(x, span.low, side="left"))
    end = int(np.searchsorted(x, span.high, side="right"))
    inside = points.starts[(points.starts > begin) & (points.starts < end)]
    middle = _aggregate(x, y, begin, end, inside, span, columns)
    parts = [
        _clip_at(points, begin, span.low, 0, joined=False),
        middle,
        _clip_at(points, end, span.high, columns - 1, joined=begin < end),
    ]
    if begin == end:
        # One segment crosses the whole span.
        parts[2].joined[:] = len(parts[0].column) > 0
    elif len(parts[0].column):
        middle.joined[0] = True
    return ColumnAggregates(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("column", "first", "last", "low", "high", "joined")
        )
    )


def _clip_at(
    points: Points, index: int, edge: float, column: int, *, joined: bool
) -> ColumnAggregates:
    """The point where the segment that ends at `index` crosses an end of the span, if any."""
    exists = 0 < index < len(points.x) and index not in points.starts
    if not exists:
        return _at_column(column, [], joined)
    x0, x1 = points.x[index - 1], points.x[index]
    y0, y1 = points.y[index - 1], points.y[index]
    share = (edge - x0) / (x1 - x0) if x1 > x0 else 0.0
    return _at_column(column, [y0 + (y1 - y0) * share], joined)


def _at_column(column: int, values: list[float], joined: bool) -> ColumnAggregates:
    y = np.array(values, dtype=np.float64)
    count = len(values)
    return ColumnAggregates(np.full(count, column), y, y, y, y, np.full(count, joined))


def _aggregate(
    x: FloatArray,
    y: FloatArray,
    begin: int,
    end: int,
    starts: IntArray,
    span: Span,
    columns: int,
) -> ColumnAggregates:
    if begin == end:
        return _at_column(0, [], False)
    # Where one column ends and the next begins.
    edges = span.low + (np.arange(1, columns) - 0.5) / max(1, columns - 1) * span.width
    bounds = begin + np.searchsorted(x[begin:end], edges, side="left")
    heads = np.unique(np.concatenate([[begin], bounds, starts]))
    heads = heads[heads < end]
    tails = np.append(heads[1:], end) - 1
    column = np.searchsorted(bounds, heads, side="right")
    joined = ~np.isin(heads, starts)
    joined[0] = False
    part = y[begin:end]
    return ColumnAggregates(
        column,
        y[heads],
        y[tails],
        np.minimum.reduceat(part, heads - begin),
        np.maximum.reduceat(part, heads - begin),
        joined,
    )


def rasterize(line: ColumnAggregates, span: Span, columns: int, rows: int) -> BoolArray:
    """The dots of a line as [columns, rows], row 0 at the top.

    Args:
        line: The line, aggregated over the same `columns`.
        span: Visible range of y: the top row is centred on its high end, the bottom row on its
            low end; the line is clipped beyond.
    """
    first, last, top, bottom = row_of(
        np.stack([line.first, line.last, line.high, line.low]), span, rows
    )
    later = np.flatnonzero(line.joined)
    joins = _connections(line.column[later - 1], last[later - 1], line.column[later], first[later])
    return _fill(
        np.concatenate([line.column, joins[0]]),
        np.concatenate([top, joins[1]]),
        np.concatenate([bottom, joins[2]]),
        columns,
        rows,
    )


def row_of(values: FloatArray, span: Span, rows: int) -> FloatArray:
    """The row of dots of each y: 0 at the high end of the span, not clipped to the plot."""
    with np.errstate(over="ignore"):
        share = np.clip((span.high - values) / span.width, -_MAX_DISTANCE, _MAX_DISTANCE)
    return np.rint(share * (rows - 1))


def _connections(
    from_column: IntArray, from_row: FloatArray, to_column: IntArray, to_row: FloatArray
) -> tuple[IntArray, FloatArray, FloatArray]:
    """Column, top row and bottom row that segments cover in each column they cross."""
    across = to_column - from_column
    counts = across + 1
    which = np.repeat(np.arange(len(counts)), counts)
    step = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    rise = to_row - from_row
    slope = np.divide(rise, across, out=np.zeros(len(rise)), where=across > 0)[which]
    centre = from_row[which] + slope * step
    lowest, highest = np.minimum(from_row, to_row)[which], np.maximum(from_row, to_row)[which]
    vertical = (across == 0)[which]
    steep = np.abs(slope) > 1
    before = from_row[which] + slope * (step - 0.5)
    after = from_row[which] + slope * (step + 0.5)
    # A row belongs to the column in which the line passes the row's middle.
    top = np.where(steep, np.ceil(np.minimum(before, after)), np.rint(centre))
    bottom = np.where(steep, np.ceil(np.maximum(before, after)) - 1, np.rint(centre))
    top = np.where(vertical, lowest, np.maximum(top, lowest))
    bottom = np.where(vertical, highest, np.minimum(bottom, highest))
    return from_column[which] + step, top, bottom


def _fill(
    column: IntArray, top: FloatArray, bottom: FloatArray, columns: int, rows: int
) -> BoolArray:
    """Dots from `top` to `bottom` in each column, clipped to the plot."""
    inside = (bottom >= 0) & (top <= rows - 1) & (top <= bottom)
    base = column[inside] * (rows + 1)
    begins = base + np.maximum(top[inside], 0).astype(np.int64)
    ends = base + np.minimum(bottom[inside], rows - 1).astype(np.int64) + 1
    size = columns * (rows + 1)
    change = np.bincount(begins, minlength=size) - np.bincount(ends, minlength=size)
    covered: NDArray[Any] = np.cumsum(change.reshape(columns, rows + 1), axis=1)
    return covered[:, :rows] > 0


def masks_of(dots: BoolArray) -> Masks:
    """The dots of each cell as bits, uint8 [rows, columns].

    Args:
        dots: bool [2 x columns, 4 x rows].
    """
    columns, rows = dots.shape[0] // DOTS_ACROSS, dots.shape[1] // DOTS_DOWN
    cells = dots.reshape(columns, DOTS_ACROSS, rows, DOTS_DOWN)
    masks: Masks = np.einsum("cirj,ij->rc", cells, _BITS, dtype=np.uint8, casting="unsafe")
    return masks


class LineRaster:
    """A line in the cells of a plot.

    The last result is kept: of many runs in one chart few have new points when it is drawn again.
    """

    def __init__(self, points: Points) -> None:
        self._points = points
        self._aggregated: tuple[object, ColumnAggregates] | None = None
        self._masks: tuple[object, Masks] | None = None

    def aggregated(self, x: Span, columns: int) -> ColumnAggregates:
        """The line over `columns` columns of cells that show `x`."""
        wanted = x, columns
        if self._aggregated is None or self._aggregated[0] != wanted:
            dots = columns * DOTS_ACROSS
            self._aggregated = wanted, aggregate_columns(self._points, x, dots)
        return self._aggregated[1]

    def masks(self, x: Span, y: Span, columns: int, rows: int, *, is_thick: bool) -> Masks:
        """Its dots in each cell, uint8 [rows, columns]."""
        wanted = x, y, columns, rows, is_thick
        if self._masks is None or self._masks[0] != wanted:
            part = self.aggregated(x, columns)
            dots = rasterize(part, y, columns * DOTS_ACROSS, rows * DOTS_DOWN)
            if is_thick:
                dots[:, 1:] |= dots[:, :-1].copy()
            self._masks = wanted, masks_of(dots)
        return self._masks[1]


class BrailleCanvas:
    """Character cells with braille dots, each with the line that owns it.

    Attributes:
        masks: uint8 [rows, columns]: bits of the dots in each cell.
        owner: int16 [rows, columns]: number of the topmost line in each cell, -1 where none is.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.masks = np.zeros((rows, columns), dtype=np.uint8)
        self.owner = np.full((rows, columns), -1, dtype=np.int16)

    def add(self, masks: Masks, owner: int, *, covers: BoolArray | bool = False) -> BoolArray:
        """Put a line on top; returns the cells that it touches.

        Args:
            masks: uint8 [rows, columns]: bits of its dots in each cell.
            covers: In which cells it replaces the dots of other lines instead of adding to them:
                keeps a line readable on a noisy one.
        """
        touched: BoolArray = masks > 0
        self.masks = np.where(touched & covers, masks, self.masks | masks)
        self.owner[touched] = owner
        return touched
