"""Comparison table: runs as columns, with fixed row labels and horizontal scrolling."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.compare.table_state import MAX_WIDTH, SIGNS, Line
from transformer_playground.tui.shared.text import shorten_middle, shorten_start

_GAP = 2
_MIN_WIDTH = 12
# Maximum column width for a name; values may be wider.
_MAX_NAME = 22
# Width of the longest metric name; names of settings may be longer.
_SHORT_LABEL = 17
_MAX_NARROW_TEXT = 16
_SIGN = 2


@dataclass(frozen=True)
class Heading:
    """Heading of a column.

    Attributes:
        name: Safe to display.
        is_pinned: Whether the user set it as the baseline.
    """

    key: str
    name: str
    glyph: str
    colour: str
    is_pinned: bool


class ComparisonTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Table with a cursor cell; the cursor follows the keys of its row and column."""

    ALLOW_SELECT = False
    BINDINGS = bindings_for("comparison")
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"comparison--{name}" for name in ("label", "value", "delta", "heading")),
        *(f"comparison--{verdict}" for verdict in SIGNS),
        *(f"comparison--{name}" for name in ("row", "column", "cursor")),
    }

    def __init__(self) -> None:
        super().__init__(id="compare-table")
        self.headings: tuple[Heading, ...] = ()
        self.lines: tuple[Line, ...] = ()
        self._widths: list[int] = []
        self._label_width = 0
        self._row = self._column = self._first = 0

    @property
    def column_key(self) -> str | None:
        return self.headings[self._column].key if self.headings else None

    def show(self, headings: Sequence[Heading], lines: Sequence[Line]) -> None:
        """Show new content; the cursor stays on its row and column if they still exist."""
        row = self.lines[self._row].key if self.lines else None
        column = self.column_key
        self.headings, self.lines = tuple(headings), tuple(lines)
        self._row = _index_of([line.key for line in lines], row, self._row)
        self._column = _index_of([heading.key for heading in headings], column, self._column)
        self._arrange()

    def action_step(self, by: int) -> None:
        self._move(self._row + by, self._column)

    def action_page(self, by: int) -> None:
        self._move(self._row + by * max(1, self.size.height - 2), self._column)

    def action_end(self, by: int) -> None:
        self._move(len(self.lines) if by > 0 else 0, self._column)

    def action_turn(self, by: int) -> None:
        self._move(self._row, self._column + by)

    def on_resize(self) -> None:
        self._arrange()

    def on_click(self, event: events.Click) -> None:
        column, left = self._column, self._label_width
        for number in self._visible():
            left += _GAP + self._widths[number]
            if event.x < left:
                column = number if event.x > self._label_width else self._column
                break
        row = self._row if event.y == 0 else event.y - 1 + self.scroll_offset.y
        self._move(row, column)

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.rich_style
        if y == 0:
            segments = self._heading_row()
        else:
            row = y - 1 + self.scroll_offset.y
            if row >= len(self.lines):
                return Strip.blank(width, base)
            segments = self._line(row)
        return Strip(segments).apply_style(base).adjust_cell_length(width, base)

    def _move(self, row: int, column: int) -> None:
        if not self.headings:
            return
        self._row = min(max(0, row), len(self.lines) - 1)
        self._column = min(max(0, column), len(self.headings) - 1)
        self._show_cursor()
        self.refresh()

    def _arrange(self) -> None:
        labels = max((cell_len(line.label) for line in self.lines), default=0)
        self._label_width = min(labels, max(_SHORT_LABEL, self.size.width // 3))
        self._widths = [self._width(number) for number in range(len(self.headings))]
        if self._label_width + sum(_GAP + width for width in self._widths) > self.size.width:
            self._label_width = min(labels, _SHORT_LABEL)
            self._widths = [
                self._width(number, is_narrow=True) for number in range(len(self.headings))
            ]
            self._widen_for_names()
        self.virtual_size = Size(self.size.width, len(self.lines) + 1)
        self._show_cursor()
        self.refresh()

    def _widen_for_names(self) -> None:
        spare = self.size.width - self._label_width - sum(_GAP + width for width in self._widths)
        for number, heading in enumerate(self.headings):
            wanted = min(cell_len(_title(heading)), _MAX_NAME) + (_SIGN if number else 0)
            extra = min(max(0, wanted - self._widths[number]), max(0, spare))
            self._widths[number] += extra
            spare -= extra

    def _width(self, number: int, *, is_narrow: bool = False) -> int:
        max_name, max_text = (0, _MAX_NARROW_TEXT) if is_narrow else (_MAX_NAME, MAX_WIDTH)
        name = min(cell_len(_title(self.headings[number])), max_name)
        cells = [
            min(cell_len(line.cells[number].text), max_text if line.kind == "text" else MAX_WIDTH)
            + (_SIGN if number else 0)
            for line in self.lines
            if line.cells
        ]
        space = max(_MIN_WIDTH, self.size.width - self._label_width - _GAP)
        return min(max(_MIN_WIDTH, name, *cells), space)

    def _visible(self) -> range:
        space = self.size.width - self._label_width
        last = self._first
        while last < len(self._widths):
            space -= _GAP + self._widths[last]
            if space < 0 and last > self._first:
                break
            last += 1
        return range(self._first, last)

    def _show_cursor(self) -> None:
        if not self.headings or not self.size.width:
            return
        self._first = min(self._first, self._column)
        # Scroll right as little as needed, and back left as far as possible.
        while self._column not in self._visible() and self._first < self._column:
            self._first += 1
        while self._first and len(self.headings) - 1 in range(*self._ends(self._first - 1)):
            self._first -= 1
        top, height = self.scroll_offset.y, max(1, self.size.height - 1)
        if self._row < top:
            # Show the heading above its first row too.
            is_first = self._row > 0 and self.lines[self._row - 1].kind == "heading"
            self.scroll_to(y=self._row - is_first, animate=False, immediate=True)
        elif self._row >= top + height:
            self.scroll_to(y=self._row - height + 1, animate=False, immediate=True)

    def _ends(self, first: int) -> tuple[int, int]:
        kept, self._first = self._first, first
        visible = self._visible()
        self._first = kept
        return visible.start, visible.stop

    def _heading_row(self) -> list[Segment]:
        visible = self._visible()
        before, beyond = visible.start, len(self.headings) - visible.stop
        hidden = f"{f'‹ {before} ' if before else ''}{f'{beyond} ›' if beyond else ''}"
        segments = [Segment(set_cell_size(hidden, self._label_width), self._style("label"))]
        for number in visible:
            heading, width = self.headings[number], self._widths[number]
            name = shorten_middle(_title(heading), width - (_SIGN if number else 0))
            style = Style(color=heading.colour)
            if number == self._column:
                style += self._style("cursor" if self.has_focus else "column")
            segments.append(Segment(" " * _GAP))
            padding = width - cell_len(name) - (_SIGN if number else 0)
            segments += [Segment(" " * padding), Segment(name, style)]
            segments.append(Segment(" " * (_SIGN if number else 0)))
        return segments

    def _line(self, row: int) -> list[Segment]:
        line = self.lines[row]
        is_current = row == self._row and self.has_focus
        under = self._style("row") if is_current else Style()
        if line.kind == "heading":
            text = set_cell_size(line.label, self.size.width)
            return [Segment(text, under + self._style("heading"))]
        label = set_cell_size(shorten_start(line.label, self._label_width), self._label_width)
        segments = [Segment(label, under + self._style("label"))]
        for number in self._visible():
            cell, width = line.cells[number], self._widths[number]
            space = width - (_SIGN if number else 0)
            text = shorten_middle(cell.text, space)
            style = under + self._style(
                cell.verdict or ("delta" if line.kind == "delta" else "value")
            )
            if is_current and number == self._column:
                style += self._style("cursor")
            segments.append(Segment(" " * (_GAP + space - cell_len(text)), under))
            segments.append(Segment(text, style))
            if number:
                sign = SIGNS[cell.verdict] if cell.verdict else " "
                segments.append(Segment(f" {sign}", under + self._style(cell.verdict or "value")))
        if is_current:
            used = sum(segment.cell_length for segment in segments)
            segments.append(Segment(" " * max(0, self.size.width - used), under))
        return segments

    def _style(self, name: str) -> Style:
        style = self.get_component_rich_style(f"comparison--{name}")
        # The cell sets the colour, the cursor sets the background.
        if name in ("row", "cursor"):
            return Style(bgcolor=style.bgcolor, bold=style.bold)
        return Style(color=style.color, bold=style.bold, underline=style.underline)


def _title(heading: Heading) -> str:
    return f"{'⌂ ' if heading.is_pinned else ''}{heading.glyph} {heading.name}"


def _index_of(keys: Sequence[str], key: str | None, before: int) -> int:
    """Index of `key`, else the previous index within range."""
    if key is not None and key in keys:
        return list(keys).index(key)
    return min(before, max(0, len(keys) - 1))
