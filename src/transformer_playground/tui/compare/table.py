"""Comparison table: runs as rows, with fixed names and horizontal scrolling."""

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from transformer_playground.comparison.leaderboard import SIGNS, Leaderboard
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.compare.table_state import (
    CURVE_KEY,
    GAP,
    Row,
    RowCell,
    TableColumn,
    columns_of,
    name_width,
)
from transformer_playground.tui.shared.text import shorten, shorten_middle

_NO_BOARD = Leaderboard((), ())
_CURSOR = "▌"


class ComparisonTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Table with a cursor cell; the cursor follows the keys of its row and column."""

    ALLOW_SELECT = False
    BINDINGS = bindings_for("comparison")
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"comparison--{name}" for name in ("label", "value", "delta", "mean", "mark")),
        *(f"comparison--{sign}" for sign in SIGNS),
        *(f"comparison--{name}" for name in ("row", "cursor")),
    }

    class Moved(Message):
        """The cursor moved to another cell, or the content changed."""

    def __init__(self) -> None:
        super().__init__(id="compare-table")
        self.rows: tuple[Row, ...] = ()
        self.columns: list[TableColumn] = []
        self._board = _NO_BOARD
        self._curves: Sequence[str] = ()
        self._name_width = 0
        self._row = self._column = self._first = 0
        self._column_key = "best_val_loss"

    @property
    def row_key(self) -> str | None:
        """Id of the run under the cursor."""
        return self.rows[self._row].key if self.rows else None

    @property
    def cursor_cell(self) -> tuple[Row, TableColumn, RowCell] | None:
        """Row, column and cell under the cursor; None for a curve."""
        if not self.rows or self._column >= len(self.columns):
            return None
        row, column = self.rows[self._row], self.columns[self._column]
        return None if column.key == CURVE_KEY else (row, column, row.cells[column.place])

    @property
    def header_height(self) -> int:
        """Lines of the titles."""
        return max((len(column.lines) for column in self.columns), default=1)

    def show(self, board: Leaderboard, rows: Sequence[Row], curves: Sequence[str]) -> None:
        """Show new content; the cursor stays on its row and column if they still exist.

        Args:
            board: The leaderboard.
            rows: Its rows as displayed.
            curves: The curve of each row as text.
        """
        row = (self.row_key, self.rows[self._row].is_mean) if self.rows else None
        self._board, self.rows, self._curves = board, tuple(rows), curves
        self._row = _index_of([(each.key, each.is_mean) for each in rows], row, self._row)
        self._arrange()
        self._move(self._row, self._column)

    def action_step(self, by: int) -> None:
        """Go up or down."""
        self._move(self._row + by, self._column)

    def action_page(self, by: int) -> None:
        """Go up or down one page."""
        self._move(self._row + by * max(1, self._visible_rows - 1), self._column)

    def action_end(self, by: int) -> None:
        """Go to the first or last row."""
        self._move(len(self.rows) if by > 0 else 0, self._column)

    def action_turn(self, by: int) -> None:
        """Go to the column on the left or right."""
        self._move(self._row, self._column + by)

    def on_resize(self) -> None:
        self._arrange()
        self._show_cursor()

    def on_click(self, event: events.Click) -> None:
        column, left = self._column, self._name_width
        for number in self._visible():
            left += self.columns[number].total
            if event.x < left:
                column = number if event.x > self._name_width else self._column
                break
        line = event.y - self.header_height
        self._move(self._row if line < 0 else line + self.scroll_offset.y, column)

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.rich_style
        if y < self.header_height:
            segments = self._title_row(y)
        else:
            row = y - self.header_height + self.scroll_offset.y
            if row >= len(self.rows):
                return Strip.blank(width, base)
            segments = self._line(row)
        return Strip(segments).apply_style(base).adjust_cell_length(width, base)

    @property
    def _visible_rows(self) -> int:
        return max(1, self.size.height - self.header_height)

    def _move(self, row: int, column: int) -> None:
        if not self.rows:
            return
        self._row = min(max(0, row), len(self.rows) - 1)
        self._column = min(max(0, column), len(self.columns) - 1)
        self._column_key = self.columns[self._column].key
        self._show_cursor()
        self.post_message(self.Moved())
        self.refresh()

    def _arrange(self) -> None:
        self.columns = columns_of(self._board, self.rows, self.size.width) if self.rows else []
        # Their order depends on the width.
        keys = [column.key for column in self.columns]
        self._column = _index_of(keys, self._column_key, self._column)
        self._name_width = name_width(self.rows, self.size.width)
        self.virtual_size = Size(self.size.width, len(self.rows) + self.header_height)
        self.refresh()

    def _visible(self) -> range:
        space = self.size.width - self._name_width
        last = self._first
        while last < len(self.columns):
            space -= self.columns[last].total
            if space < 0 and last > self._first:
                break
            last += 1
        return range(self._first, last)

    def _show_cursor(self) -> None:
        if not self.rows or not self.size.width:
            return
        self._first = min(self._first, self._column)
        # Scroll right as little as needed, and back left as far as possible.
        while self._column not in self._visible() and self._first < self._column:
            self._first += 1
        while self._first and len(self.columns) - 1 in range(*self._ends(self._first - 1)):
            self._first -= 1
        top, height = self.scroll_offset.y, self._visible_rows
        if self._row < top:
            self.scroll_to(y=self._row, animate=False, immediate=True)
        elif self._row >= top + height:
            self.scroll_to(y=self._row - height + 1, animate=False, immediate=True)

    def _ends(self, first: int) -> tuple[int, int]:
        kept, self._first = self._first, first
        visible = self._visible()
        self._first = kept
        return visible.start, visible.stop

    def _title_row(self, y: int) -> list[Segment]:
        visible, label = self._visible(), self._style("label")
        before, beyond = visible.start, len(self.columns) - visible.stop
        hidden = f"{f'← {before} ' if before else ''}{f'{beyond} more →' if beyond else ''}"
        is_last = y == self.header_height - 1
        segments = [Segment(set_cell_size(hidden if is_last else "", self._name_width), label)]
        for number in visible:
            column = self.columns[number]
            place = y - (self.header_height - len(column.lines))
            text = column.lines[place] if place >= 0 else ""
            width = column.total - GAP
            shown = shorten(text, width)
            padding = " " * (width - cell_len(shown))
            # A number's title ends where its values end.
            after = " " * (1 + column.shift) if column.shift else ""
            if column.is_number and cell_len(shown) <= column.width:
                shown = " " * (column.width - cell_len(shown)) + shown + after
            else:
                shown += padding
            segments.append(Segment(" " * GAP + shown, label))
        return segments

    def _line(self, number: int) -> list[Segment]:
        row = self.rows[number]
        is_current = number == self._row
        under = self._style("row") if is_current and self.has_focus else Style()
        pin = "⌂ " if row.is_pinned else ""
        name = shorten(row.name, self._name_width - 3 - len(pin))
        edge = _CURSOR if is_current else " "
        text = set_cell_size(f"{pin}{name}", self._name_width - 3)
        value = self._style("mean" if row.is_mean else "value")
        segments = [
            Segment(edge, under + self._style("mark")),
            Segment(f"{row.glyph or ' '} ", under + Style(color=row.colour or None)),
            Segment(text, under + value),
        ]
        for place in self._visible():
            column = self.columns[place]
            has_cursor = is_current and self.has_focus and place == self._column
            style = under + (self._style("cursor") if has_cursor else Style())
            segments.append(Segment(" " * GAP, under))
            if column.key == CURVE_KEY:
                segments.append(Segment(set_cell_size(self._curves[number], column.width), style))
                continue
            segments += self._cell(row.cells[column.place], column, style + value, style)
        used = sum(segment.cell_length for segment in segments)
        segments.append(Segment(" " * max(0, self.size.width - used), under))
        return segments

    def _cell(
        self, cell: RowCell, column: TableColumn, value: Style, under: Style
    ) -> list[Segment]:
        text = shorten_middle(cell.value(error=column.errors), column.width)
        padding = " " * (column.width - cell_len(text))
        shown = padding + text if column.is_number else text + padding
        segments = [Segment(shown, value)]
        if column.shift:
            style = under + self._style(cell.sign or "delta")
            segments.append(Segment(" " + cell.shift.rjust(column.shift), style))
        return segments

    def _style(self, name: str) -> Style:
        style = self.get_component_rich_style(f"comparison--{name}")
        # The cell sets the colour, the cursor sets the background.
        if name in ("row", "cursor"):
            return Style(bgcolor=style.bgcolor, bold=style.bold)
        return Style(color=style.color, bold=style.bold, italic=style.italic)


def _index_of(keys: Sequence[object], key: object | None, before: int) -> int:
    """Index of `key`, else the previous index within range."""
    if key is not None and key in keys:
        return list(keys).index(key)
    return min(before, max(0, len(keys) - 1))
