"""Runs table: a virtual list that draws only its visible lines."""

import math
import time
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from transformer_playground.tui.bindings import key_hint
from transformer_playground.tui.core.context import context_of
from transformer_playground.tui.core.workspace import Workspace
from transformer_playground.tui.runs.table_columns import (
    Column,
    constant_text,
    fitting,
    header_width,
)
from transformer_playground.tui.runs.table_state import RunsTableState
from transformer_playground.tui.shared.text import shorten, shorten_name, title_lines
from transformer_playground.tui.themes import series_of

# Cells between columns of a narrow and of a wide table.
_GAPS = (1, 2)
_WIDE = 96
_MARK_CELLS = 4
_MAX_RUN_WIDTH = 44
_MIN_RUN_WIDTH = 16
# Share of a narrow table that the names may take, since they tell the settings that do not fit.
_MAX_RUN_SHARE = 0.4
# Header of a setting in one line, which is shortened to this.
_SHORT_HEADER = 10
# Rows from which a table has space for what is the same in all runs, and headers in two lines.
_HIGH, _TALL = 10, 14


class RunsTable(ScrollView, can_focus=True, inherit_bindings=False):
    """One line for each run, below what is the same in all runs and the headers."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"runs--{name}" for name in ("header", "sorted", "cursor")),
        *(f"runs--{role}" for role in ("value", "muted", "live", "good", "bad", "warn", "accent")),
    }

    class Highlighted(Message):
        """The cursor moved to another run, or to none."""

        def __init__(self, run_id: str | None) -> None:
            super().__init__()
            self.run_id = run_id

    class Opened(Message):
        """A run was double-clicked."""

    class HeaderClicked(Message):
        """The header of a column was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self, state: RunsTableState, workspace: Workspace) -> None:
        super().__init__(id="runs-table")
        self._state, self._workspace = state, workspace
        self.cursor: str | None = None
        self._row = 0
        self._first_column, self._gap = 0, _GAPS[0]
        self._layout: list[tuple[Column, int]] = []
        self._run_width = _MIN_RUN_WIDTH
        self._constant, self._header_lines = "", 1
        self._styles: dict[str, Style] = {}
        self._drawn: list[tuple[object, ...]] = []
        self._drawn_frame: tuple[object, ...] = ()

    @property
    def shown_columns(self) -> frozenset[str]:
        """Keys of the columns that have space."""
        return frozenset(column.key for column, _ in self._layout)

    @property
    def hidden_columns(self) -> tuple[int, int]:
        keys = [column.key for column in self._state.columns()]
        shown = self.shown_columns
        hidden = [number for number, key in enumerate(keys) if key not in shown]
        before = sum(number < self._first_column for number in hidden)
        return before, len(hidden) - before

    def show(self) -> None:
        """Show the current state; the cursor stays on its run."""
        order = self._state.order
        if self.cursor in order:
            self._row = order.index(self.cursor)
        else:
            # The run was removed; the cursor moves to its neighbour.
            self._row = min(self._row, max(0, len(order) - 1))
        self._set_cursor(order[self._row] if order else None)
        self._arrange()
        if self._frame() == self._drawn_frame:
            # A new snapshot changes few lines, and drawing all of them delays the next key.
            self.show_changes()
        else:
            self._redraw()
        self._show_cursor()

    @property
    def _head(self) -> int:
        """Lines above the first run."""
        return self._header_lines + bool(self._constant)

    def show_changes(self) -> None:
        drawn = self._content()
        for number, (old, new) in enumerate(zip(self._drawn, drawn, strict=False)):
            if old != new:
                self.refresh_line(self.scroll_offset.y + number + self._head)
        self._drawn = drawn

    def put_cursor(self, run_id: str) -> bool:
        """Move the cursor to a run; returns False if the table does not show it."""
        if run_id not in self._state.order:
            return False
        self._move_to(self._state.order.index(run_id))
        return True

    def move(self, by: float) -> None:
        """Move the cursor by rows; infinity moves to an end."""
        last = len(self._state.order) - 1
        target = (last if by > 0 else 0) if math.isinf(by) else self._row + int(by)
        self._move_to(min(max(target, 0), last))

    def move_page(self, by: int) -> None:
        self.move(by * max(1, self.size.height - self._head - 1))

    def shift_columns(self, by: int) -> None:
        before, beyond = self.hidden_columns
        if (by > 0 and beyond > 0) or (by < 0 and before > 0):
            self._first_column += by
            self._arrange()
            self._redraw()

    def on_resize(self) -> None:
        self._first_column = 0
        self._arrange()
        self._redraw()
        self._show_cursor()

    def on_click(self, event: events.Click) -> None:
        """Move the cursor, open a run by a double click, or sort by a header."""
        if event.y < self._head:
            key = self._column_at(event.x)
            if key is not None and event.y >= bool(self._constant):
                self.post_message(self.HeaderClicked(key))
            return
        row = event.y - self._head + self.scroll_offset.y
        if row < len(self._state.order):
            self._move_to(row)
            if event.chain > 1:
                self.post_message(self.Opened())

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._drawn, self._drawn_frame = self._content(), self._frame()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self.rich_style
        if y < self._head:
            return self._strip(self._head_line(y), base, width)
        row = y - self._head + self.scroll_offset.y
        if row >= len(self._state.order):
            is_first = row == 0 and self._state.runs
            text = f" No run matches. {self._clear_key} clears the filter." if is_first else ""
            return self._strip([(shorten(text, width), self._style("muted"))], base, width)
        run_id = self._state.order[row]
        is_current = run_id == self.cursor
        style = base + self.get_component_rich_style("runs--cursor") if is_current else base
        return self._strip(self._line(run_id, is_current), style, width)

    def _strip(self, parts: list[tuple[str, Style]], base: Style, width: int) -> Strip:
        segments = [Segment(text, base + style) for text, style in parts]
        return Strip(segments).adjust_cell_length(width, base)

    def _head_line(self, y: int) -> list[tuple[str, Style]]:
        if self._constant and y == 0:
            return [(" " + self._constant, self._style("muted"))]
        is_upper = y < self._head - 1
        cells = [("run", self._run_width, False, "run")]
        cells += [(c.header, width, c.right_aligned, c.key) for c, width in self._layout]
        parts = [(" " * _MARK_CELLS, Style())]
        for text, width, right_aligned, key in cells:
            sorted_by, downwards = self._state.sorted_by
            is_sorted = key == sorted_by
            arrow = ("↓" if downwards else "↑") if is_sorted else ""
            style = self._style("sorted" if is_sorted else "header")
            space = width - len(arrow)
            *upper, lower = title_lines(text, space) if self._header_lines > 1 else (text,)
            shown = shorten("".join(upper), width) if is_upper else shorten(lower, space) + arrow
            parts.append((_pad(shown, width, right_aligned) + " " * self._gap, style))
        return parts

    def _line(self, run_id: str, is_current: bool) -> list[tuple[str, Style]]:
        now = time.time()
        parts = self._mark(run_id, is_current)
        lines = self._state.lines(run_id)
        space = self._run_width - cell_len(lines)
        name = lines + shorten_name(self._state.short_name(run_id, space), space)
        parts.append((_pad(name, self._run_width) + " " * self._gap, self._style("value")))
        for column, width in self._layout:
            text = shorten(self._state.text(run_id, column, now), width)
            style = self._style(self._state.role(run_id, column))
            parts.append((_pad(text, width, column.right_aligned) + " " * self._gap, style))
        return parts

    def _mark(self, run_id: str, is_current: bool) -> list[tuple[str, Style]]:
        """Markers of cursor and baseline, and the glyph of a selected run."""
        workspace = self._workspace
        pointer = ("▌" if is_current else " ", self._style("accent"))
        pin = ("⌂" if workspace.baseline == run_id else " ", self._style("accent"))
        if run_id not in workspace.selected and run_id != workspace.baseline:
            return [pointer, pin, ("  ", Style())]
        series = series_of(workspace.slot(run_id))
        colour = series.colour(dark=self.app.current_theme.dark)
        return [pointer, pin, (series.glyph + " ", Style(color=colour))]

    def _name_of(self, run_id: str) -> str:
        return self._state.lines(run_id) + self._state.name(run_id)

    @property
    def _clear_key(self) -> str:
        return key_hint("runs.out", context_of(self).keymap)

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            style = self.get_component_rich_style(f"runs--{name}")
            # The line sets the background.
            self._styles[name] = Style(
                color=style.color, bold=style.bold, dim=style.dim, underline=style.underline
            )
        return self._styles[name]

    def _arrange(self) -> None:
        now = time.time()
        is_tall = self.size.height >= _TALL
        columns = [(each, self._width(each, now, is_tall)) for each in self._state.columns()]
        wanted = max((cell_len(self._name_of(each)) for each in self._state.sample()), default=3)
        self._gap = _GAPS[self.size.width >= _WIDE]
        width = self.scrollable_content_region.width
        space = width - _MARK_CELLS - self._gap
        taken = sum(width + self._gap for _, width in columns)
        least = _MIN_RUN_WIDTH
        if not self._state.has_own_columns:
            least = max(least, min(wanted, int(space * _MAX_RUN_SHARE)))
        self._run_width = min(_MAX_RUN_WIDTH, max(least, min(wanted, space - taken)))
        self._first_column = min(self._first_column, max(0, len(columns) - 1))
        space -= self._run_width
        order = self._state.sorted_by[0]
        # The order of the rows is seen, however far the columns are shifted.
        passed = [pair for pair in columns[: self._first_column] if pair[0].key == order]
        self._layout = fitting(
            [*passed, *columns[self._first_column :]],
            space,
            self._gap,
            order,
            by_weight=not self._state.has_own_columns,
        )
        is_split = any(len(title_lines(each.header, width)) > 1 for each, width in self._layout)
        self._header_lines = 1 + (is_tall and is_split)
        self._constant = ""
        if self.size.height >= _HIGH:
            self._constant = constant_text(*self._state.constants, width - 2)
        self.virtual_size = Size(width, len(self._state.order) + self._head)

    def _width(self, column: Column, now: float, is_tall: bool) -> int:
        """Width of a column with its header, which has a cell for the arrow of the order."""
        values = self._state.width(column, now)
        header = len(column.header)
        if column.field.kind == "setting":
            header = header_width(column.header) if is_tall else min(header, _SHORT_HEADER)
        return max(values, header + 1)

    def _redraw(self) -> None:
        self._drawn, self._drawn_frame = self._content(), self._frame()
        self.refresh()

    def _frame(self) -> tuple[object, ...]:
        """What is drawn besides the lines of runs, or decides where these are."""
        columns = [(column.key, column.header, width) for column, width in self._layout]
        head = (self._constant, self._header_lines, self._state.sorted_by)
        rows = len(self._state.order)
        return columns, head, self._run_width, self._gap, self.size, self.scroll_offset.y, rows

    def _content(self) -> list[tuple[object, ...]]:
        """Texts of the visible lines, to detect changes."""
        now = time.time()
        first = self.scroll_offset.y
        shown = self._state.order[first : first + max(0, self.size.height - self._head)]
        return [
            (
                run_id == self.cursor,
                self._workspace.baseline == run_id,
                self._name_of(run_id),
                *(self._state.text(run_id, column, now) for column, _ in self._layout),
            )
            for run_id in shown
        ]

    def _column_at(self, x: int) -> str | None:
        end = _MARK_CELLS + self._run_width + self._gap
        if x < end:
            return "run"
        for column, width in self._layout:
            end += width + self._gap
            if x < end:
                return column.key
        return None

    def _move_to(self, row: int) -> None:
        if not self._state.order:
            return
        before, self._row = self._row, row
        self._set_cursor(self._state.order[row])
        self.refresh_line(before + self._head)
        self.refresh_line(row + self._head)
        self._show_cursor()

    def _set_cursor(self, run_id: str | None) -> None:
        if run_id != self.cursor:
            self.cursor = run_id
            self.post_message(self.Highlighted(run_id))

    def _show_cursor(self) -> None:
        visible = self.size.height - self._head
        if visible <= 0:
            return
        top = self.scroll_offset.y
        target = min(max(top, self._row - visible + 1), self._row)
        if target != top:
            self.scroll_to(y=target, animate=False, immediate=True, force=True)


def _pad(text: str, width: int, right_aligned: bool = False) -> str:
    gap = " " * max(0, width - cell_len(text))
    return gap + text if right_aligned else text + gap
