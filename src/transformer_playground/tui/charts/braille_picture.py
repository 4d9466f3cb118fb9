"""What stands in the character cells of a chart's plotting area."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from transformer_playground.tui.charts.axes import FloatArray, Kind, Span, Tick, fitted, ticks
from transformer_playground.tui.charts.braille import (
    BRAILLE,
    DOTS_ACROSS,
    DOTS_DOWN,
    Canvas,
    IntArray,
    Points,
    Stretches,
    draw,
    reduce_to_columns,
    row_of,
)
from transformer_playground.tui.charts.series import PreparedLine, Reading

# Owners of cells that belong to no line.
NOBODY, GRID, BROKEN, CROSSHAIR = -1, -2, -3, -4
BEST_MARK, BROKEN_MARK, GRID_MARK, CROSSHAIR_MARK = "◎", "✕", "·", "│"
_AIR = 0.05
_GRID_EVERY = 4
# A glyph stands on a line every so many cells; where points are few, on each of them.
_GLYPH_EVERY = 24
_FEW_SHARE = 3
_ROWS_A_TICK = 3


@dataclass(frozen=True, eq=False)
class Picture:
    """A drawn plotting area.

    Attributes:
        characters: uint32 [rows, columns]: code points.
        owner: int16 [rows, columns]: twice a line's number, plus one where it is faint; or one of
            `NOBODY`, `GRID`, `BROKEN`, `CROSSHAIR`.
        x: What is on show across.
        y: What is on show from bottom to top; logarithms on a log axis.
        x_ticks: Ticks across.
        y_ticks: Ticks from bottom to top.
    """

    characters: NDArray[np.uint32]
    owner: NDArray[np.int16]
    x: Span
    y: Span
    x_ticks: Sequence[Tick]
    y_ticks: Sequence[Tick]

    @property
    def rows(self) -> int:
        """Cells down."""
        return int(self.characters.shape[0])

    @property
    def columns(self) -> int:
        """Cells across."""
        return int(self.characters.shape[1])

    def column_of(self, x: float) -> int | None:
        """The cell column of a position; None outside."""
        return _column_of(x, self.x, self.columns)

    def row_of(self, y: float) -> int | None:
        """The cell row of a position on the y axis; None outside."""
        row = int(row_of(np.array([y]), self.y, self.rows * DOTS_DOWN)[0])
        return row // DOTS_DOWN if 0 <= row < self.rows * DOTS_DOWN else None

    def x_at(self, column: float) -> float:
        """The position in the middle of a cell column."""
        dots = self.columns * DOTS_ACROSS
        return self.x.at((column * DOTS_ACROSS + 0.5) / max(1, dots - 1))


def extent(lines: Sequence[PreparedLine]) -> Span | None:
    """All positions across at which there is something to draw; None if there is nothing."""
    drawn = [line.raw for line in lines if len(line.raw.x)]
    if not drawn:
        return None
    low, high = min(points.x[0] for points in drawn), max(points.x[-1] for points in drawn)
    return fitted(float(low), float(high))


def draw_picture(
    lines: Sequence[PreparedLine],
    x: Span,
    y: Span | None,
    columns: int,
    rows: int,
    *,
    x_kind: Kind = "linear",
    y_kind: Kind = "linear",
) -> Picture:
    """Draw lines into `columns` by `rows` cells.

    Args:
        lines: From the lowest to the topmost.
        x: What to show across.
        y: What to show from bottom to top; None fits all that is on show across.
        columns: Cells across, at least 1.
        rows: Cells down, at least 1.
        x_kind: What the x axis shows.
        y_kind: What the y axis shows.
    """
    dots = columns * DOTS_ACROSS
    shown = [reduce_to_columns(line.shown, x, dots) for line in lines]
    raw = [reduce_to_columns(line.raw, x, dots) if line.is_smoothed else None for line in lines]
    y = y or _fitting_y([*shown, *(part for part in raw if part is not None)])
    painter = _Painter(Canvas(columns, rows), y)
    for number, part in enumerate(raw):
        if part is not None:
            painter.add_line(part, 2 * number + 1)
    for number, (line, part) in enumerate(zip(lines, shown, strict=True)):
        if line.line.style == "dim":
            painter.add_line(part, 2 * number + 1)
    for number, (line, part) in enumerate(zip(lines, shown, strict=True)):
        if line.line.style == "points":
            painter.add_signs(_corners(part), 2 * number, ord(line.line.sign))
        elif line.line.style == "line":
            painter.add_line(part, 2 * number)
            glyphs = _glyph_places(part, line.shown, x, columns, number, len(lines))
            painter.add_signs(glyphs, 2 * number, ord(line.line.sign))
    for number, line in enumerate(lines):
        painter.add_best(line.best, x, 2 * number, log=y_kind == "log")
    x_ticks = ticks(x, max(1, columns // 11), x_kind)
    y_ticks = ticks(y, max(1, rows // _ROWS_A_TICK), y_kind)
    painter.add_broken(lines, x)
    painter.add_grid(y_ticks)
    return Picture(painter.characters, painter.owner, x, y, x_ticks, y_ticks)


def with_crosshair(
    picture: Picture, lines: Sequence[PreparedLine], at: float, *, log: bool
) -> Picture:
    """The picture with a vertical line at a position, and each line's glyph where it is read."""
    characters, owner = picture.characters.copy(), picture.owner.copy()
    column = picture.column_of(at)
    if column is not None:
        free = (owner[:, column] == NOBODY) | (owner[:, column] == GRID)
        characters[free, column] = ord(CROSSHAIR_MARK)
        owner[free, column] = CROSSHAIR
    for number, line in enumerate(lines):
        reading = line.nearest(at)
        place = None if reading is None else _cell_of(picture, reading, log=log)
        if place is not None:
            characters[place] = ord(line.line.sign)
            owner[place] = 2 * number
    return replace(picture, characters=characters, owner=owner)


def _cell_of(picture: Picture, reading: Reading, *, log: bool) -> tuple[int, int] | None:
    if log and reading.y <= 0:
        return None
    row = picture.row_of(math.log10(reading.y) if log else reading.y)
    column = picture.column_of(reading.x)
    return None if row is None or column is None else (row, column)


def _fitting_y(parts: Sequence[Stretches]) -> Span:
    filled = [part for part in parts if len(part.low)]
    if not filled:
        return Span(0.0, 1.0)
    low, high = min(part.low.min() for part in filled), max(part.high.max() for part in filled)
    return fitted(float(low), float(high), _AIR)


def _column_of(x: float, span: Span, columns: int) -> int | None:
    dots = columns * DOTS_ACROSS
    column = round(max(-1e9, min(1e9, span.share(x) * (dots - 1))))
    return column // DOTS_ACROSS if 0 <= column < dots else None


def _corners(part: Stretches) -> tuple[IntArray, FloatArray]:
    """Every outermost point of each column of dots."""
    columns = np.tile(part.column, 4)
    return columns, np.concatenate([part.first, part.last, part.low, part.high])


def _glyph_places(
    part: Stretches, points: Points, span: Span, columns: int, number: int, count: int
) -> tuple[IntArray, FloatArray]:
    """Where a line carries its glyph: on each of few points, else at even distances.

    Lines carry them at different places, so that lines which coincide can be told apart.
    """
    begin = int(np.searchsorted(points.x, span.low, side="left"))
    end = int(np.searchsorted(points.x, span.high, side="right"))
    if end - begin <= columns // _FEW_SHARE:
        dots = columns * DOTS_ACROSS
        share = (points.x[begin:end] - span.low) / span.width
        return np.rint(share * (dots - 1)).astype(np.int64), points.y[begin:end]
    first = _GLYPH_EVERY * (number + 1) / (count + 1)
    targets = np.arange(first, columns, _GLYPH_EVERY) * DOTS_ACROSS
    chosen = np.minimum(np.searchsorted(part.column, targets), len(part.column) - 1)
    near = np.abs(part.column[chosen] - targets) < DOTS_ACROSS * 4
    return part.column[chosen[near]], part.first[chosen[near]]


class _Painter:
    """Puts things into cells, later ones over earlier ones."""

    def __init__(self, canvas: Canvas, y: Span) -> None:
        self._canvas, self._y = canvas, y
        self._signs = np.zeros((canvas.rows, canvas.columns), dtype=np.uint32)
        self._special = np.full((canvas.rows, canvas.columns), NOBODY, dtype=np.int16)

    @property
    def owner(self) -> NDArray[np.int16]:
        return np.where(self._special != NOBODY, self._special, self._canvas.owner)

    @property
    def characters(self) -> NDArray[np.uint32]:
        masks = self._canvas.masks
        braille = np.where(masks > 0, np.uint32(BRAILLE) + masks, np.uint32(ord(" ")))
        return np.where(self._signs > 0, self._signs, braille).astype(np.uint32)

    def add_line(self, part: Stretches, owner: int) -> None:
        if not len(part.column):
            return
        canvas = self._canvas
        across, down = canvas.columns * DOTS_ACROSS, canvas.rows * DOTS_DOWN
        dots = draw(part, self._y, across, down)
        canvas.add(dots, owner, covers=owner % 2 == 0)
        cells = dots.reshape(canvas.columns, DOTS_ACROSS, canvas.rows, DOTS_DOWN)
        self._signs[cells.any(axis=(1, 3)).T] = 0

    def add_signs(self, places: tuple[IntArray, FloatArray], owner: int, sign: int) -> None:
        column, y = places
        down = self._canvas.rows * DOTS_DOWN
        row = row_of(y, self._y, down).astype(np.int64)
        inside = (row >= 0) & (row < down)
        cells = (row[inside] // DOTS_DOWN, column[inside] // DOTS_ACROSS)
        self._signs[cells] = sign
        self._canvas.owner[cells] = owner

    def add_best(self, best: Reading | None, x: Span, owner: int, *, log: bool) -> None:
        column = None if best is None else _column_of(best.x, x, self._canvas.columns)
        if best is None or column is None:
            return
        y = math.log10(best.y) if log else best.y
        self.add_signs((np.array([column * DOTS_ACROSS]), np.array([y])), owner, ord(BEST_MARK))

    def add_broken(self, lines: Sequence[PreparedLine], x: Span) -> None:
        """Mark on the bottom row where values were not numbers."""
        columns = self._canvas.columns
        for line in lines:
            broken = line.broken
            inside = broken[(broken >= x.low) & (broken <= x.high)]
            share = (inside - x.low) / x.width
            column = np.rint(share * (columns * DOTS_ACROSS - 1)).astype(np.int64) // DOTS_ACROSS
            self._signs[-1, column] = ord(BROKEN_MARK)
            self._special[-1, column] = BROKEN

    def add_grid(self, y_ticks: Sequence[Tick]) -> None:
        """Faint dots at the height of each tick, where nothing else stands."""
        canvas = self._canvas
        down = canvas.rows * DOTS_DOWN
        for tick in y_ticks:
            row = int(row_of(np.array([tick.position]), self._y, down)[0]) // DOTS_DOWN
            columns = np.arange(_GRID_EVERY - 1, canvas.columns, _GRID_EVERY)
            free = (canvas.masks[row, columns] == 0) & (self._signs[row, columns] == 0)
            self._signs[row, columns[free]] = ord(GRID_MARK)
            self._special[row, columns[free]] = GRID


# Width of the y labels where they need no more.
LABEL_WIDTH = 5
_WIDEST_LABEL = 12
_NARROWEST_WITH_LABELS = 24
_LOWEST_WITH_AXIS, _LOWEST_WITH_LEGEND, _LOWEST_WITH_RULE = 4, 6, 9
_ROWS_A_LEGEND_LINE = 6


@dataclass(frozen=True)
class Layout:
    """Sizes in character cells.

    Attributes:
        width: Of everything.
        height: Of everything.
        legend: Rows of the legend, at the top.
        gutter: Columns of the y labels and the axis, at the left.
        axis: Rows of the x axis, at the bottom: none, its labels, or a rule and its labels.
    """

    width: int
    height: int
    legend: int
    gutter: int
    axis: int

    @property
    def columns(self) -> int:
        """Columns of the plotting area."""
        return self.width - self.gutter

    @property
    def rows(self) -> int:
        """Rows of the plotting area."""
        return self.height - self.legend - self.axis


def most_legend_lines(height: int) -> int:
    """How many rows a legend may have in a room of this height."""
    return max(1, height // _ROWS_A_LEGEND_LINE) if height >= _LOWEST_WITH_LEGEND else 0


def arrange(width: int, height: int, *, legend_lines: int, label_width: int) -> Layout:
    """Divide a room of any size from 1 by 1; what does not fit is left out, the lines never are.

    Args:
        width: Columns of the room.
        height: Rows of the room.
        legend_lines: Rows that the whole legend needs.
        label_width: Columns that the widest y label needs.
    """
    has_labels = width >= _NARROWEST_WITH_LABELS and height >= 2
    gutter = min(label_width, _WIDEST_LABEL) + 2 if has_labels else 0
    axis = 0 if height < _LOWEST_WITH_AXIS else 1 if height < _LOWEST_WITH_RULE else 2
    return Layout(width, height, min(most_legend_lines(height), legend_lines), gutter, axis)
