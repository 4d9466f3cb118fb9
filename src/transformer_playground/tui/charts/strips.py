"""Rendering of a plot as Textual strips: layout, plotting area and legend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.color import Color, ColorParseError
from textual.strip import Strip

from transformer_playground.formatting import UNKNOWN, VALUE_WIDTH, fitting_text
from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.plot import BEST_MARK, CROSSHAIR, GRID, NONFINITE, Plot
from transformer_playground.tui.charts.series import PreparedLine
from transformer_playground.tui.contrast import dimmed, readable
from transformer_playground.tui.shared.text import shorten_name

_FAINT = 0.38
# Width of the y labels where they need no more.
LABEL_WIDTH = 5
_MAX_LABEL_WIDTH = 12
_MIN_WIDTH_WITH_LABELS = 24
_MIN_HEIGHT_WITH_AXIS, _MIN_HEIGHT_WITH_LEGEND, _MIN_HEIGHT_WITH_RULE = 4, 6, 9
_HEIGHT_PER_LEGEND_ROW = 6
_MAX_NAME_WIDTH, _MIN_NAME_WIDTH = 32, 8
_LEGEND_GAP = 3
FOCUS_MARK = "▸"
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


@dataclass(frozen=True)
class LegendEntry:
    """The legend entry of one line.

    Attributes:
        style: That of the line.
        short: The name for little room; empty for the whole one.
        is_marked: Whether it is marked as the one in focus.
        is_kept: Whether it is shown even where there is no room for all.
    """

    glyph: str
    name: str
    value: str
    best: str
    style: Style
    short: str = ""
    is_marked: bool = False
    is_kept: bool = False

    @property
    def sign(self) -> str:
        """Glyph and mark in two cells."""
        return f"{self.glyph}{FOCUS_MARK if self.is_marked else ' '}"

    def name_style(self, muted: Style, text: Style) -> Style:
        """Style of the name."""
        return text + Style(bold=True) if self.is_marked else muted


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
        line.line.in_focus,
        line.line.on_top,
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
        """The legend in `rows` rows; the last one counts those that do not fit."""
        cells = [self._cell(each) for each in self._entries]
        cells += [[Segment(self._fit(text), style)] for text, style in self._notes]
        capacity = rows * self._across
        if rows and len(cells) > capacity:
            hidden = self._fit(f"+{len(cells) - capacity + 1} more")
            kept = [entry.is_kept for entry in self._entries] + [False] * len(self._notes)
            first = sorted(range(len(cells)), key=lambda place: not kept[place])[: capacity - 1]
            cells = [cells[place] for place in sorted(first)]
            cells.append([Segment(hidden, self._muted)])
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
            Segment(each.sign, each.style),
            Segment(
                self._fit(each.name, self._name_width, each.short),
                each.name_style(self._muted, self._value),
            ),
            Segment(each.value.rjust(self._value_width + 1), self._value),
            Segment(best, self._muted),
        ]

    def _fit(self, text: str, width: int | None = None, short: str = "") -> str:
        width = self._entry_width if width is None else width
        shown = short if short and cell_len(text) > width else text
        return set_cell_size(shorten_name(shown, width), width)
