"""Rendering of a plot as Textual strips: layout, plotting area, axes and legend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.color import Color, ColorParseError
from textual.strip import Strip

from transformer_playground.formatting import (
    UNKNOWN,
    VALUE_WIDTH,
    duration_text,
    fitting_text,
    position_text,
)
from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.axes import Kind, Tick
from transformer_playground.tui.charts.plot import BEST_MARK, CROSSHAIR, GRID, NONFINITE, Plot
from transformer_playground.tui.charts.series import AxisMark, Bucket, PreparedLine
from transformer_playground.tui.contrast import dimmed, readable
from transformer_playground.tui.shared.text import shorten_middle

_FAINT = 0.38
# Width of the y labels where they need no more.
LABEL_WIDTH = 5
_MAX_LABEL_WIDTH = 12
_MIN_WIDTH_WITH_LABELS = 24
_MIN_HEIGHT_WITH_AXIS, _MIN_HEIGHT_WITH_LEGEND, _MIN_HEIGHT_WITH_RULE = 4, 6, 9
_HEIGHT_PER_LEGEND_ROW = 6
_MAX_NAME_WIDTH, _MIN_NAME_WIDTH = 32, 8
_LEGEND_GAP = 3
# Glyph and the spaces around it and the value.
_ENTRY_CELLS = 2 + 1


@dataclass(frozen=True)
class Layout:
    """Sizes of a chart's parts in character cells.

    Attributes:
        legend: Rows of the legend, at the top.
        gutter: Columns of the y labels and the axis, at the left.
        axis: Rows of the x axis, at the bottom: 0, 1 (labels) or 2 (a rule and labels).
        ends: Columns of the labels at the ends of the lines, at the right.
    """

    width: int
    height: int
    legend: int
    gutter: int
    axis: int
    ends: int = 0

    @property
    def columns(self) -> int:
        return self.width - self.gutter - self.ends

    @property
    def rows(self) -> int:
        return self.height - self.legend - self.axis


def max_legend_rows(height: int) -> int:
    """How many rows the legend of a chart of this height may have."""
    if height < _MIN_HEIGHT_WITH_LEGEND:
        return 0
    return max(1, height // _HEIGHT_PER_LEGEND_ROW)


def compute_layout(
    width: int,
    height: int,
    *,
    legend_rows: int,
    label_width: int,
    ends: int = 0,
    has_x_axis: bool = True,
) -> Layout:
    """Divide a chart of any size from 1 by 1; small charts lose legend and axes, never the plot.

    Args:
        legend_rows: Rows that the whole legend needs.
        label_width: Columns that the widest y label needs.
        ends: Columns of the labels at the ends of the lines.
    """
    has_labels = width >= _MIN_WIDTH_WITH_LABELS and height >= 2
    gutter = min(label_width, _MAX_LABEL_WIDTH) + 2 if has_labels else 0
    axis = 0 if height < _MIN_HEIGHT_WITH_AXIS else 1 if height < _MIN_HEIGHT_WITH_RULE else 2
    axis = axis if has_x_axis else 0
    legend = min(max_legend_rows(height), legend_rows)
    return Layout(width, height, legend, gutter, axis, ends)


@dataclass(frozen=True)
class Palette:
    """Styles of a chart's parts; every line can be told from `background`."""

    text: Style
    muted: Style
    grid: Style
    crosshair: Style
    nonfinite: Style
    background: Color

    def line(self, line: PreparedLine, *, faint: bool = False) -> Style:
        """Style of a line; a colour that cannot be parsed falls back to the text style."""
        try:
            colour = Color.parse(line.line.colour)
        except ColorParseError:
            return self.muted if faint else self.text
        if faint:
            shown = dimmed(colour, self.background, _FAINT)
        else:
            shown = readable(colour, self.background)
        return Style(color=shown.rich_color)

    def of_owners(self, lines: Sequence[PreparedLine]) -> Mapping[int, Style]:
        """Owner of a cell -> its style."""
        styles = {GRID: self.grid, NONFINITE: self.nonfinite, CROSSHAIR: self.crosshair}
        for number, line in enumerate(lines):
            faint = self.line(line, faint=True)
            styles[2 * number + 1] = faint
            styles[2 * number] = faint if line.line.style == "dim" else self.line(line)
        return styles


def plot_strips(
    plot: Plot,
    layout: Layout,
    styles: Mapping[int, Style],
    muted: Style,
    ends: Mapping[int, Sequence[Segment]],
) -> list[Strip]:
    """The plotting area with the y axis at its left.

    Args:
        ends: Row -> label at its right, `layout.ends` wide.
    """
    no_label = [Segment(" " * layout.ends)] if layout.ends else []
    labels = {plot.row_of(tick.position): tick.label for tick in plot.y_ticks}
    strips = []
    for row in range(plot.rows):
        segments = _gutter(labels.get(row), layout.gutter, muted)
        segments += _segments(plot.characters[row], plot.owner[row], styles)
        segments += ends.get(row, no_label)
        strips.append(Strip(segments, layout.width))
    return strips


def _gutter(label: str | None, width: int, style: Style) -> list[Segment]:
    if not width:
        return []
    text = set_cell_size((label or "").rjust(width - 2), width - 2)
    return [Segment(f"{text} {'┤' if label is not None else '│'}", style)]


def _segments(
    characters: np.ndarray[tuple[int], np.dtype[np.uint32]],
    owner: np.ndarray[tuple[int], np.dtype[np.int16]],
    styles: Mapping[int, Style],
) -> list[Segment]:
    changes = np.flatnonzero(np.diff(owner)) + 1
    bounds = [0, *changes.tolist(), len(owner)]
    text = characters.astype("<u4").tobytes().decode("utf-32-le")
    return [
        Segment(text[first:last], styles.get(int(owner[first]))) for first, last in pairwise(bounds)
    ]


def axis_strips(
    plot: Plot,
    layout: Layout,
    palette: Palette,
    *,
    kind: Kind,
    label: str,
    at: float | None,
    marks: Sequence[AxisMark] = (),
    bucket: Bucket | None = None,
) -> list[Strip]:
    """The x axis: a rule with ticks and events above their labels and the crosshair's position.

    Args:
        at: Position of the crosshair.
        bucket: The thinned points there.
    """
    places = [(plot.column_of(tick.position), tick) for tick in plot.x_ticks]
    ticks = [(column, tick) for column, tick in places if column is not None]
    strips = []
    if layout.axis > 1:
        strips.append(_rule(plot, layout, palette, [column for column, _ in ticks], marks))
    if layout.axis:
        crosshair = None
        if at is not None and (column := plot.column_of(at)) is not None:
            show = duration_text if kind == "seconds" else position_text
            text = show(at) if bucket is None else f"{show(bucket.first)}–{show(bucket.last)}"
            crosshair = column, f" {text} "
        strips.append(_label_row(ticks, crosshair, label, layout, palette))
    return strips


def _rule(
    plot: Plot,
    layout: Layout,
    palette: Palette,
    ticks: Sequence[int],
    marks: Sequence[AxisMark],
) -> Strip:
    """The line between plot and labels; of several marks in one cell the last is seen."""
    glyphs = {plot.column_of(mark.x): mark.glyph for mark in marks}
    corner = "└".rjust(layout.gutter) if layout.gutter else ""
    segments = [Segment(corner, palette.muted)]
    for column in range(layout.columns):
        glyph = glyphs.get(column)
        if glyph is not None:
            segments.append(Segment(glyph, palette.text))
        else:
            segments.append(Segment("┬" if column in ticks else "─", palette.muted))
    segments.append(Segment(" " * layout.ends))
    return Strip(Segment.simplify(segments), layout.width)


def _label_row(
    ticks: Sequence[tuple[int, Tick]],
    crosshair: tuple[int, str] | None,
    label: str,
    layout: Layout,
    palette: Palette,
) -> Strip:
    """Labels centred below their ticks; the axis name is at the right end where it fits."""
    width = layout.width
    row = _TextRow(width)
    if crosshair is not None:
        column, text = crosshair
        row.put(text, layout.gutter + column - len(text) // 2, palette.text + Style(reverse=True))
    name = set_cell_size(label, min(cell_len(label), width // 3))
    row.put(name, width - cell_len(name), palette.muted + Style(italic=True))
    for column, tick in ticks:
        row.put(tick.label, layout.gutter + column - len(tick.label) // 2, palette.muted)
    return row.strip()


class _TextRow:
    """Texts in one row that never overlap; earlier ones take precedence."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._placed: list[tuple[int, str, Style]] = []

    def put(self, text: str, start: int, style: Style) -> None:
        """Place a text near `start`, unless it would touch another or does not fit."""
        start = max(0, min(start, self._width - cell_len(text)))
        end = start + cell_len(text)
        overlaps = any(
            start < begin + cell_len(other) + 1 and begin < end + 1
            for begin, other, _ in self._placed
        )
        if text and end <= self._width and not overlaps:
            self._placed.append((start, text, style))

    def strip(self) -> Strip:
        segments: list[Segment] = []
        filled = 0
        for start, text, style in sorted(self._placed, key=lambda item: item[0]):
            segments += [Segment(" " * (start - filled)), Segment(text, style)]
            filled = start + cell_len(text)
        segments.append(Segment(" " * (self._width - filled)))
        return Strip(segments, self._width)


@dataclass(frozen=True)
class LegendEntry:
    """The legend entry of one line; `style` is the line's, `short` the name for little room."""

    glyph: str
    name: str
    value: str
    best: str
    style: Style
    short: str = ""


def legend_entry(line: PreparedLine, at: float | None, style: Style) -> LegendEntry:
    """The entry of a line with its value at a position of the x axis, or its newest value.

    A thinned line that is not smoothed has the lowest and the highest value there.
    """
    point = line.newest if at is None else line.nearest(at)
    bucket = None if point is None or line.is_smoothed else line.bucket_at(point.x)
    if bucket is not None and bucket.low < bucket.high:
        ends = (fitting_text(value, line.line.show) for value in (bucket.low, bucket.high))
        value = " … ".join(ends)
    else:
        value = UNKNOWN if point is None else fitting_text(point.y, line.line.show)
    return LegendEntry(
        line.line.cell_glyph,
        visible_line(line.line.label),
        value,
        "" if line.best is None else f"{BEST_MARK} {fitting_text(line.best.y, line.line.show)}",
        style,
        visible_line(line.line.short),
    )


class Legend:
    """Glyph, name and value of each line in as many columns of fixed width as fit."""

    def __init__(
        self,
        entries: Sequence[LegendEntry],
        notes: Sequence[tuple[str, Style]],
        width: int,
        rows: int,
        value: Style,
        muted: Style,
    ) -> None:
        self._entries, self._notes = entries, notes
        self._width, self._value, self._muted = width, value, muted
        count = len(entries) + len(notes)
        longest = max((cell_len(each.name) for each in entries), default=0)
        longest = min(max(longest, _MIN_NAME_WIDTH), _MAX_NAME_WIDTH)
        best = VALUE_WIDTH + 3 if any(each.best for each in entries) else 0
        self._value_width = max([VALUE_WIDTH, *(cell_len(each.value) for each in entries)])
        entry = _ENTRY_CELLS + self._value_width
        # First everything, then without the best values, then with shorter names.
        self._best_width, self._name_width = best, longest
        across = -(-count // max(1, rows))
        space = (width + _LEGEND_GAP) // max(1, across) - _LEGEND_GAP - entry
        if space < longest + best:
            self._best_width = 0
            self._name_width = min(longest, max(space, _MIN_NAME_WIDTH))
        self._cuts_names = self._name_width < longest
        self._entry_width = entry + self._name_width + self._best_width
        self._across = max(1, (width + _LEGEND_GAP) // (self._entry_width + _LEGEND_GAP))

    @property
    def rows(self) -> int:
        return -(-(len(self._entries) + len(self._notes)) // self._across)

    def is_whole(self, rows: int) -> bool:
        """Whether so many rows hold all entries with their names in full."""
        return self.rows <= max(1, rows) and not self._cuts_names

    def strips(self, rows: int) -> list[Strip]:
        """The legend in `rows` rows; the last entry counts those that do not fit."""
        cells = [self._cell(each) for each in self._entries]
        cells += [[Segment(self._fit(text), style)] for text, style in self._notes]
        capacity = rows * self._across
        if rows and len(cells) > capacity:
            hidden = self._fit(f"+{len(cells) - capacity + 1} more")
            cells = [*cells[: capacity - 1], [Segment(hidden, self._muted)]]
        return [
            self._row(cells[row * self._across : (row + 1) * self._across]) for row in range(rows)
        ]

    def _row(self, cells: Sequence[Sequence[Segment]]) -> Strip:
        segments: list[Segment] = []
        for cell in cells:
            if segments:
                segments.append(Segment(" " * _LEGEND_GAP))
            segments.extend(cell)
        return Strip(segments).adjust_cell_length(self._width)

    def _cell(self, each: LegendEntry) -> list[Segment]:
        best = each.best.rjust(self._best_width)[: self._best_width] if self._best_width else ""
        return [
            Segment(f"{each.glyph} ", each.style),
            Segment(self._fit(each.name, self._name_width), self._muted),
            Segment(each.value.rjust(self._value_width + 1), self._value),
            Segment(best, self._muted),
        ]

    def _fit(self, text: str, width: int | None = None) -> str:
        width = self._entry_width if width is None else width
        return set_cell_size(shorten_middle(text, width), width)
