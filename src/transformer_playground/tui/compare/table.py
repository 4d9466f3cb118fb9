"""Runs side by side: a table whose labels stay in place while its columns scroll."""

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
from transformer_playground.tui.compare.table_state import SIGNS, WIDEST, Line, ending, shortened

_GAP = 2
_NARROWEST = 12
# Names make a column no wider than this; values may.
_WIDEST_NAME = 22
# As wide as the names of numbers are; those of settings may be longer.
_SHORT_LABEL = 17
_TIGHT_WORD = 16
_SIGN = 2


@dataclass(frozen=True)
class Heading:
    """What stands over a column.

    Attributes:
        key: Tells the column from the others: the id of a run.
        name: Safe to show.
        glyph: The run's glyph.
        colour: The run's colour.
        is_pinned: Whether it was pinned as the baseline.
    """

    key: str
    name: str
    glyph: str
    colour: str
    is_pinned: bool


class ComparisonTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Lines and columns with a cursor on one of each; the cursor keeps to their keys."""

    ALLOW_SELECT = False
    BINDINGS = bindings_for("comparison")
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"comparison--{name}" for name in ("label", "value", "delta", "heading")),
        *(f"comparison--{verdict}" for verdict in SIGNS),
        *(f"comparison--{name}" for name in ("row", "column", "cursor")),
    }

    def __init__(self) -> None:
        super().__init__(id="compare-table")
        self._headings: tuple[Heading, ...] = ()
        self._lines: tuple[Line, ...] = ()
        self._widths: list[int] = []
        self._label_width = 0
        self._row = self._column = self._first = 0

    @property
    def headings(self) -> tuple[Heading, ...]:
        """The columns."""
        return self._headings

    @property
    def lines(self) -> tuple[Line, ...]:
        """What the table says, line by line."""
        return self._lines

    @property
    def column_key(self) -> str | None:
        """Key of the column under the cursor."""
        return self._headings[self._column].key if self._headings else None

    def show(self, headings: Sequence[Heading], lines: Sequence[Line]) -> None:
        """Show this; the cursor stays on its line and column as long as they are there."""
        row = self._lines[self._row].key if self._lines else None
        column = self.column_key
        self._headings, self._lines = tuple(headings), tuple(lines)
        self._row = _place([line.key for line in lines], row, self._row)
        self._column = _place([heading.key for heading in headings], column, self._column)
        self._arrange()

    def action_step(self, by: int) -> None:
        """Move the cursor by lines."""
        self._move(self._row + by, self._column)

    def action_page(self, by: int) -> None:
        """Move the cursor by a page."""
        self._move(self._row + by * max(1, self.size.height - 2), self._column)

    def action_end(self, by: int) -> None:
        """Move the cursor to the first line or the last one."""
        self._move(len(self._lines) if by > 0 else 0, self._column)

    def action_turn(self, by: int) -> None:
        """Move the cursor by columns."""
        self._move(self._row, self._column + by)

    def on_resize(self) -> None:
        """Lay the columns out anew."""
        self._arrange()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor where the click was."""
        column, left = self._column, self._label_width
        for number in self._shown():
            left += _GAP + self._widths[number]
            if event.x < left:
                column = number if event.x > self._label_width else self._column
                break
        row = self._row if event.y == 0 else event.y - 1 + self.scroll_offset.y
        self._move(row, column)

    def render_line(self, y: int) -> Strip:
        """The names, or a line."""
        width, base = self.size.width, self.rich_style
        if y == 0:
            segments = self._names()
        else:
            row = y - 1 + self.scroll_offset.y
            if row >= len(self._lines):
                return Strip.blank(width, base)
            segments = self._line(row)
        return Strip(segments).apply_style(base).adjust_cell_length(width, base)

    def _move(self, row: int, column: int) -> None:
        if not self._headings:
            return
        self._row = min(max(0, row), len(self._lines) - 1)
        self._column = min(max(0, column), len(self._headings) - 1)
        self._show_cursor()
        self.refresh()

    def _arrange(self) -> None:
        """Find the width of each column, and how much there is to scroll."""
        labels = max((cell_len(line.label) for line in self._lines), default=0)
        self._label_width = min(labels, max(_SHORT_LABEL, self.size.width // 3))
        self._widths = [self._width(number) for number in range(len(self._headings))]
        if self._label_width + sum(_GAP + width for width in self._widths) > self.size.width:
            self._label_width = min(labels, _SHORT_LABEL)
            self._widths = [
                self._width(number, is_tight=True) for number in range(len(self._headings))
            ]
            self._widen_for_names()
        self.virtual_size = Size(self.size.width, len(self._lines) + 1)
        self._show_cursor()
        self.refresh()

    def _widen_for_names(self) -> None:
        """Give what room is left to names that were cut."""
        spare = self.size.width - self._label_width - sum(_GAP + width for width in self._widths)
        for number, heading in enumerate(self._headings):
            wanted = min(cell_len(_title(heading)), _WIDEST_NAME) + (_SIGN if number else 0)
            given = min(max(0, wanted - self._widths[number]), max(0, spare))
            self._widths[number] += given
            spare -= given

    def _width(self, number: int, *, is_tight: bool = False) -> int:
        """Numbers are never cut as long as the table has room for them; words may be."""
        widest_name, widest_word = (0, _TIGHT_WORD) if is_tight else (_WIDEST_NAME, WIDEST)
        name = min(cell_len(_title(self._headings[number])), widest_name)
        cells = [
            min(cell_len(line.cells[number].text), widest_word if line.kind == "word" else WIDEST)
            + (_SIGN if number else 0)
            for line in self._lines
            if line.cells
        ]
        room = max(_NARROWEST, self.size.width - self._label_width - _GAP)
        return min(max(_NARROWEST, name, *cells), room)

    def _shown(self) -> range:
        """The columns that fit, at least one."""
        room = self.size.width - self._label_width
        last = self._first
        while last < len(self._widths):
            room -= _GAP + self._widths[last]
            if room < 0 and last > self._first:
                break
            last += 1
        return range(self._first, last)

    def _show_cursor(self) -> None:
        if not self._headings or not self.size.width:
            return
        self._first = min(self._first, self._column)
        # What is beyond the right edge comes in; no more than that is pushed out at the left.
        while self._column not in self._shown() and self._first < self._column:
            self._first += 1
        while self._first and len(self._headings) - 1 in range(*self._ends(self._first - 1)):
            self._first -= 1
        top, height = self.scroll_offset.y, max(1, self.size.height - 1)
        if self._row < top:
            # The heading above comes with its first line.
            is_first = self._row > 0 and self._lines[self._row - 1].kind == "heading"
            self.scroll_to(y=self._row - is_first, animate=False, immediate=True)
        elif self._row >= top + height:
            self.scroll_to(y=self._row - height + 1, animate=False, immediate=True)

    def _ends(self, first: int) -> tuple[int, int]:
        """First column and the end, if the first one shown were another."""
        kept, self._first = self._first, first
        shown = self._shown()
        self._first = kept
        return shown.start, shown.stop

    def _names(self) -> list[Segment]:
        shown = self._shown()
        before, beyond = shown.start, len(self._headings) - shown.stop
        hidden = f"{f'‹ {before} ' if before else ''}{f'{beyond} ›' if beyond else ''}"
        segments = [Segment(set_cell_size(hidden, self._label_width), self._of("label"))]
        for number in shown:
            heading, width = self._headings[number], self._widths[number]
            name = shortened(_title(heading), width - (_SIGN if number else 0))
            style = Style(color=heading.colour)
            if number == self._column:
                style += self._of("cursor" if self.has_focus else "column")
            segments.append(Segment(" " * _GAP))
            padding = width - cell_len(name) - (_SIGN if number else 0)
            segments += [Segment(" " * padding), Segment(name, style)]
            segments.append(Segment(" " * (_SIGN if number else 0)))
        return segments

    def _line(self, row: int) -> list[Segment]:
        line = self._lines[row]
        is_current = row == self._row and self.has_focus
        under = self._of("row") if is_current else Style()
        if line.kind == "heading":
            text = set_cell_size(line.label, self.size.width)
            return [Segment(text, under + self._of("heading"))]
        label = set_cell_size(ending(line.label, self._label_width), self._label_width)
        segments = [Segment(label, under + self._of("label"))]
        for number in self._shown():
            cell, width = line.cells[number], self._widths[number]
            room = width - (_SIGN if number else 0)
            text = shortened(cell.text, room)
            style = under + self._of(cell.verdict or ("delta" if line.kind == "delta" else "value"))
            if is_current and number == self._column:
                style += self._of("cursor")
            segments.append(Segment(" " * (_GAP + room - cell_len(text)), under))
            segments.append(Segment(text, style))
            if number:
                sign = SIGNS[cell.verdict] if cell.verdict else " "
                segments.append(Segment(f" {sign}", under + self._of(cell.verdict or "value")))
        if is_current:
            used = sum(segment.cell_length for segment in segments)
            segments.append(Segment(" " * max(0, self.size.width - used), under))
        return segments

    def _of(self, name: str) -> Style:
        style = self.get_component_rich_style(f"comparison--{name}")
        # Colours come from what a cell says, the background from where the cursor is.
        if name in ("row", "cursor"):
            return Style(bgcolor=style.bgcolor, bold=style.bold)
        return Style(color=style.color, bold=style.bold, underline=style.underline)


def _title(heading: Heading) -> str:
    return f"{'⌂ ' if heading.is_pinned else ''}{heading.glyph} {heading.name}"


def _place(keys: Sequence[str], key: str | None, before: int) -> int:
    """Where `key` is now; else about where it was before."""
    if key is not None and key in keys:
        return list(keys).index(key)
    return min(before, max(0, len(keys) - 1))
