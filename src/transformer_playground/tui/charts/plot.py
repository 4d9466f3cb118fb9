"""Plotting area of a chart: lines, glyphs, grid and crosshair in character cells."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from transformer_playground.tui.charts.axes import FloatArray, Kind, Span, Tick, fit_span, ticks
from transformer_playground.tui.charts.braille import (
    BRAILLE,
    DOTS_ACROSS,
    DOTS_DOWN,
    BrailleCanvas,
    ColumnAggregates,
    IntArray,
    LineRaster,
    Points,
    row_of,
)
from transformer_playground.tui.charts.series import DataPoint, PreparedLine

# Owners of cells without a line.
NO_OWNER, GRID, NONFINITE, CROSSHAIR = -1, -2, -3, -4
BEST_MARK, NONFINITE_MARK, GRID_MARK, CROSSHAIR_MARK = "◎", "✕", "·", "│"
_MARGIN = 0.05
# Width of the x axis of a single point.
_LEAST_EXTENT = 10.0
_GRID_SPACING = 4
# Cells between two glyphs of a line; sparse lines have a glyph on each point.
_GLYPH_SPACING = 24
_COLUMNS_PER_SPARSE_POINT = 3
_ROWS_PER_TICK = 3
# So many more ticks are tried until there are two.
_MOST_FINER = 5
# Of fewer points none is left out, of fewer than that only a start that is worth it.
_MIN_POINTS_TO_LEAVE_OUT, _MIN_POINTS_TO_LEAVE_OUT_USUALLY = 4, 6
LEFT_OUT_NOTE = "y axis: start and outliers left out"
"""Said of a chart whose `fitted_y` does not reach all points."""
# So much of the x axis is left out if it shrinks the y axis below this share.
_MOST_LEFT_OUT, _WORTH_LEAVING_OUT = 0.2, 2 / 3
# How much of the range of the others a reference may add to the y axis.
_MOST_FOR_REFERENCE = 0.25
# Lines of a higher rank cover others in shared cells; those of the same rank share the cells.
_FAINT, _THIN, _THICK = range(1, 4)


@dataclass(frozen=True, eq=False)
class Plot:
    """A rasterized plotting area.

    Attributes:
        characters: uint32 [rows, columns]: code points.
        owner: int16 [rows, columns]: twice a line's number, plus one where it is faint; or one of
            `NO_OWNER`, `GRID`, `NONFINITE`, `CROSSHAIR`.
        y: Visible range of y; logarithms on a log axis.
    """

    characters: NDArray[np.uint32]
    owner: NDArray[np.int16]
    x: Span
    y: Span
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]

    @property
    def rows(self) -> int:
        return int(self.characters.shape[0])

    @property
    def columns(self) -> int:
        return int(self.characters.shape[1])

    def column_of(self, x: float) -> int | None:
        """The cell column of a position, None outside."""
        return _column_of(x, self.x, self.columns)

    def row_of(self, y: float) -> int | None:
        """The cell row of a position on the y axis, None outside."""
        row = int(row_of(np.array([y]), self.y, self.rows * DOTS_DOWN)[0])
        return row // DOTS_DOWN if 0 <= row < self.rows * DOTS_DOWN else None

    def x_at(self, column: float) -> float:
        """The position at the centre of a cell column."""
        dots = self.columns * DOTS_ACROSS
        return self.x.at((column * DOTS_ACROSS + 0.5) / max(1, dots - 1))


def extent(lines: Sequence[PreparedLine]) -> Span | None:
    """The range of x that has data, None without any."""
    drawn = [line.raw for line in lines if len(line.raw.x)]
    if not drawn:
        return None
    low = float(min(points.x[0] for points in drawn))
    high = float(max(points.x[-1] for points in drawn))
    if low == high:
        # A curve that begins goes on to the right; no axis of steps or time goes below 0.
        return Span(low, low + max(_LEAST_EXTENT, abs(low) / 10))
    return fit_span(low, high)


def fitted_y(lines: Sequence[PreparedLine], left_out: float) -> Span | None:
    """The range of the y axis that shows all lines, but for the start of the x axis.

    Lines that end there do not count, as those of runs that failed at once, have just begun or are
    far shorter than the others, nor does the start of those. A fifth is left out where that takes a
    third off the range, of few evaluations the first one. Of lines with fewer than four points no
    part is left out. References count only where they are near the others.

    Args:
        left_out: Share of the x axis, at its start, that the range need not reach; 0 = all counts.
    """
    drawn = [line for line in lines if len(line.raw.x)]
    if not left_out or not drawn:
        return _common_y(drawn, None) if drawn else None
    measured = [line for line in drawn if not line.line.is_reference]
    span = _fitted_y(measured or drawn, left_out)
    for line in drawn:
        if line.line.is_reference:
            low, high = line.y_range(None)
            wider = Span(min(span.low, low), max(span.high, high))
            if wider.width <= (1 + _MOST_FOR_REFERENCE) * span.width:
                span = wider
    return span


def _fitted_y(drawn: Sequence[PreparedLine], left_out: float) -> Span:
    first = float(min(line.raw.x[0] for line in drawn))
    width = float(max(line.raw.x[-1] for line in drawn)) - first
    start = first + left_out * width
    lasting = [line for line in drawn if line.raw.x[-1] >= start]
    most = max(len(line.raw.x) for line in lasting)
    if most < _MIN_POINTS_TO_LEAVE_OUT:
        return _common_y(lasting, None)
    usual = _common_y(lasting, start if most >= _MIN_POINTS_TO_LEAVE_OUT_USUALLY else None)
    least = _common_y(lasting, first + _MOST_LEFT_OUT * width)
    return least if least.width < _WORTH_LEAVING_OUT * usual.width else usual


def _common_y(lines: Sequence[PreparedLine], edge: float | None) -> Span:
    ranges = [line.y_range(edge) for line in lines]
    return fit_span(min(low for low, _ in ranges), max(high for _, high in ranges), _MARGIN)


def draw_plot(
    lines: Sequence[PreparedLine],
    x: Span,
    y: Span | None,
    columns: int,
    rows: int,
    *,
    x_kind: Kind = "linear",
    y_kind: Kind = "linear",
) -> Plot:
    """Draw lines into `columns` x `rows` cells, at least 1 x 1.

    Args:
        lines: The topmost line last.
        y: Visible range of y; None fits the data within `x`.
    """
    smoothed = [(number, line) for number, line in enumerate(lines) if line.is_smoothed]
    shown = [line.raster.aggregated(x, columns) for line in lines]
    y = y or _fitting_y([*shown, *(line.raw_raster.aggregated(x, columns) for _, line in smoothed)])
    cells = _PlotCanvas(BrailleCanvas(columns, rows), x, y)
    for number, line in smoothed:
        cells.add_line(line.raw_raster, 2 * number + 1, _FAINT)
    for rank, style in ((_FAINT, "dim"), (_THIN, "points"), (_THIN, "line"), (_THICK, "thick")):
        for number, (line, part) in enumerate(zip(lines, shown, strict=True)):
            if line.line.style == style:
                owner = 2 * number + (rank == _FAINT)
                glyph = ord(line.line.cell_glyph)
                if style == "points":
                    cells.add_glyphs(_corners(part), owner, glyph)
                    continue
                cells.add_line(line.raster, owner, rank)
                if line.line.has_markers and rank != _FAINT:
                    places = _glyph_places(part, line.shown, x, columns, number, len(lines))
                    cells.add_glyphs(places, owner, glyph)
    for number, line in enumerate(lines):
        if line.line.set_back:
            continue
        cells.add_best(line.best, x, 2 * number, log=y_kind == "log")
    x_ticks = ticks(x, max(1, columns // 11), x_kind)
    y_ticks = _y_ticks(y, rows, y_kind)
    cells.add_nonfinite(lines, x)
    cells.add_grid(y_ticks)
    return Plot(cells.characters, cells.owner, x, y, x_ticks, y_ticks)


def _y_ticks(y: Span, rows: int, kind: Kind) -> Sequence[Tick]:
    """Ticks of the y axis: two at least from three rows on, because one gives no scale."""
    usual = max(1, rows // _ROWS_PER_TICK)
    if rows >= _ROWS_PER_TICK:
        for limit in range(usual, usual + _MOST_FINER):
            found = ticks(y, limit, kind)
            if len(found) > 1:
                return found if len(found) < rows else (found[0], found[-1])
    return ticks(y, usual, kind)


def with_crosshair(plot: Plot, lines: Sequence[PreparedLine], at: float, *, log: bool) -> Plot:
    """The plot with a vertical line at a position and the glyphs of lines at the points nearest."""
    characters, owner = plot.characters.copy(), plot.owner.copy()
    column = plot.column_of(at)
    if column is not None:
        free = (owner[:, column] == NO_OWNER) | (owner[:, column] == GRID)
        characters[free, column] = ord(CROSSHAIR_MARK)
        owner[free, column] = CROSSHAIR
    for number, line in enumerate(lines):
        if line.line.set_back:
            continue
        point = line.nearest(at)
        place = None if point is None else _cell_of(plot, point, log=log)
        if place is not None:
            characters[place] = ord(line.line.cell_glyph)
            owner[place] = 2 * number
    return replace(plot, characters=characters, owner=owner)


def _cell_of(plot: Plot, point: DataPoint, *, log: bool) -> tuple[int, int] | None:
    if log and point.y <= 0:
        return None
    row = plot.row_of(math.log10(point.y) if log else point.y)
    column = plot.column_of(point.x)
    return None if row is None or column is None else (row, column)


def _fitting_y(parts: Sequence[ColumnAggregates]) -> Span:
    filled = [part for part in parts if len(part.low)]
    if not filled:
        return Span(0.0, 1.0)
    low, high = min(part.low.min() for part in filled), max(part.high.max() for part in filled)
    return fit_span(float(low), float(high), _MARGIN)


def _column_of(x: float, span: Span, columns: int) -> int | None:
    dots = columns * DOTS_ACROSS
    column = round(max(-1e9, min(1e9, span.share(x) * (dots - 1))))
    return column // DOTS_ACROSS if 0 <= column < dots else None


def _corners(part: ColumnAggregates) -> tuple[IntArray, FloatArray]:
    """The four extreme points of each column of dots."""
    columns = np.tile(part.column, 4)
    return columns, np.concatenate([part.first, part.last, part.low, part.high])


def _glyph_places(
    part: ColumnAggregates, points: Points, span: Span, columns: int, number: int, count: int
) -> tuple[IntArray, FloatArray]:
    """Positions of a line's glyphs: each point of a sparse line, else evenly spaced.

    Lines have them at different positions, so that coinciding lines can be told apart.
    """
    begin = int(np.searchsorted(points.x, span.low, side="left"))
    end = int(np.searchsorted(points.x, span.high, side="right"))
    if end - begin <= columns // _COLUMNS_PER_SPARSE_POINT:
        dots = columns * DOTS_ACROSS
        share = (points.x[begin:end] - span.low) / span.width
        return np.rint(share * (dots - 1)).astype(np.int64), points.y[begin:end]
    first = _GLYPH_SPACING * (number + 1) / (count + 1)
    targets = np.arange(first, columns, _GLYPH_SPACING) * DOTS_ACROSS
    chosen = np.minimum(np.searchsorted(part.column, targets), len(part.column) - 1)
    near = np.abs(part.column[chosen] - targets) < DOTS_ACROSS * 4
    return part.column[chosen[near]], part.first[chosen[near]]


class _PlotCanvas:
    """Character cells of a plot; later drawings cover earlier ones."""

    def __init__(self, canvas: BrailleCanvas, x: Span, y: Span) -> None:
        self._canvas, self._x, self._y = canvas, x, y
        self._glyphs = np.zeros((canvas.rows, canvas.columns), dtype=np.uint32)
        self._special = np.full((canvas.rows, canvas.columns), NO_OWNER, dtype=np.int16)
        self._rank = np.zeros((canvas.rows, canvas.columns), dtype=np.int8)

    @property
    def owner(self) -> NDArray[np.int16]:
        return np.where(self._special != NO_OWNER, self._special, self._canvas.owner)

    @property
    def characters(self) -> NDArray[np.uint32]:
        masks = self._canvas.masks
        braille = np.where(masks > 0, np.uint32(BRAILLE) + masks, np.uint32(ord(" ")))
        return np.where(self._glyphs > 0, self._glyphs, braille).astype(np.uint32)

    def add_line(self, line: LineRaster, owner: int, rank: int) -> None:
        canvas = self._canvas
        if not len(line.aggregated(self._x, canvas.columns).column):
            return
        masks = line.masks(self._x, self._y, canvas.columns, canvas.rows, is_thick=rank == _THICK)
        touched = canvas.add(masks, owner, covers=self._rank < rank)
        self._rank[touched] = rank
        self._glyphs[touched] = 0

    def add_glyphs(self, places: tuple[IntArray, FloatArray], owner: int, glyph: int) -> None:
        column, y = places
        down = self._canvas.rows * DOTS_DOWN
        row = row_of(y, self._y, down).astype(np.int64)
        inside = (row >= 0) & (row < down)
        cells = (row[inside] // DOTS_DOWN, column[inside] // DOTS_ACROSS)
        self._glyphs[cells] = glyph
        self._canvas.owner[cells] = owner

    def add_best(self, best: DataPoint | None, x: Span, owner: int, *, log: bool) -> None:
        column = None if best is None else _column_of(best.x, x, self._canvas.columns)
        if best is None or column is None:
            return
        y = math.log10(best.y) if log else best.y
        self.add_glyphs((np.array([column * DOTS_ACROSS]), np.array([y])), owner, ord(BEST_MARK))

    def add_nonfinite(self, lines: Sequence[PreparedLine], x: Span) -> None:
        columns = self._canvas.columns
        for line in lines:
            nonfinite = line.nonfinite
            inside = nonfinite[(nonfinite >= x.low) & (nonfinite <= x.high)]
            share = (inside - x.low) / x.width
            column = np.rint(share * (columns * DOTS_ACROSS - 1)).astype(np.int64) // DOTS_ACROSS
            self._glyphs[-1, column] = ord(NONFINITE_MARK)
            self._special[-1, column] = NONFINITE

    def add_grid(self, y_ticks: Sequence[Tick]) -> None:
        """Faint dots at the height of each tick, in free cells only."""
        canvas = self._canvas
        down = canvas.rows * DOTS_DOWN
        for tick in y_ticks:
            row = int(row_of(np.array([tick.position]), self._y, down)[0]) // DOTS_DOWN
            columns = np.arange(_GRID_SPACING - 1, canvas.columns, _GRID_SPACING)
            free = (canvas.masks[row, columns] == 0) & (self._glyphs[row, columns] == 0)
            self._glyphs[row, columns[free]] = ord(GRID_MARK)
            self._special[row, columns[free]] = GRID
