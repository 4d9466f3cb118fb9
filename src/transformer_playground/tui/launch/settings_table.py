"""Settings table of the launch form: every setting a row, changed in place."""

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input, OptionList, Static

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.terminal import visible_line
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.launch.completion import complete, is_choice
from transformer_playground.tui.launch.settings_state import (
    SettingRow,
    edited_text,
    group_of,
    next_choice,
)
from transformer_playground.tui.shared.completion_list import CompletionList
from transformer_playground.tui.shared.line_input import LineInput
from transformer_playground.tui.shared.text import shorten

_GAP = 2
_TITLES = ("setting", "new", "was", "default", "what it is")
# Shares of the width for label, new, was and default; the rest is for the description.
_SHARES = (0.26, 0.17, 0.13, 0.13)
_LEAST = (16, 10, 7, 7)
_FOLDED, _UNFOLDED = "▸", "▾"


class SettingsTable(ScrollView, can_focus=True, inherit_bindings=False):
    """Rows with a cursor; which groups are open is up to its owner."""

    ALLOW_SELECT = False
    BINDINGS = bindings_for("settings")
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"settings--{name}" for name in ("title", "heading", "muted", "changed", "value", "row")
    }

    class Edit(Message):
        """The row under the cursor is to be changed in place."""

    class Take(Message):
        """The setting under the cursor takes this value."""

        def __init__(self, key: str, text: str) -> None:
            super().__init__()
            self.key, self.text = key, text

    class TakeBack(Message):
        """The setting under the cursor is no longer changed."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Fold(Message):
        """A group is to be opened or closed; None turns it."""

        def __init__(self, group: str, *, is_open: bool | None) -> None:
            super().__init__()
            self.group, self.is_open = group, is_open

    class Moved(Message):
        """Another row is under the cursor, or another text in it."""

    def __init__(self) -> None:
        super().__init__(id="launch-settings")
        self.rows: Sequence[SettingRow] = ()
        self._row = 0

    @property
    def current(self) -> SettingRow | None:
        """The row under the cursor."""
        return self.rows[self._row] if self._row < len(self.rows) else None

    @property
    def cell(self) -> tuple[int, int, int]:
        """Column, line and width of the new value under the cursor, inside the table."""
        label, new, *_ = self._widths()
        return label + _GAP, 1 + self._row - self.scroll_offset.y, new

    def show(self, rows: Sequence[SettingRow]) -> None:
        """Show rows; the cursor stays on its setting, in its group if that is possible."""
        before = self.current
        same = [
            place
            for place, row in enumerate(rows)
            if before is not None and (row.key, row.is_heading) == (before.key, before.is_heading)
        ]
        self.rows = rows
        nearest = min(same, key=lambda place: abs(place - self._row), default=self._row)
        self.virtual_size = Size(self.size.width, len(rows) + 1)
        self._move(nearest)

    def action_step(self, by: int) -> None:
        """Go up or down."""
        self._move(self._row + by)

    def action_page(self, by: int) -> None:
        """Go up or down one page."""
        self._move(self._row + by * max(1, self.size.height - 2))

    def action_end(self, by: int) -> None:
        """Go to the first or last row."""
        self._move(len(self.rows) if by > 0 else 0)

    def action_edit(self) -> None:
        """Change the value in place, or open or close a group."""
        row = self.current
        if row is not None and row.is_heading:
            self.post_message(self.Fold(row.key, is_open=None))
        elif row is not None:
            self.post_message(self.Edit())

    def action_default(self) -> None:
        """Take the schema's default."""
        row = self.current
        if row is not None and not row.is_heading:
            self.post_message(self.Take(row.key, row.default))

    def action_take_back(self) -> None:
        """Take the change back."""
        row = self.current
        if row is not None and row.is_changed:
            self.post_message(self.TakeBack(row.key))

    def action_turn(self, by: int) -> None:
        """Take the next choice, or open or close a group."""
        row = self.current
        if row is None:
            return
        if row.is_heading:
            self.post_message(self.Fold(row.key, is_open=by > 0))
        elif (choice := next_choice(row, by)) is not None:
            self.post_message(self.Take(row.key, choice))
        elif by < 0 and (group := group_of(self.rows, self._row)) is not None:
            self.post_message(self.Fold(group, is_open=False))

    def on_resize(self) -> None:
        self._move(self._row)

    def on_click(self, event: events.Click) -> None:
        line = event.y - 1
        if line >= 0:
            is_same = self._row == line + self.scroll_offset.y
            self._move(line + self.scroll_offset.y)
            if is_same:
                self.action_edit()

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.rich_style
        place = y - 1 + self.scroll_offset.y
        if y == 0:
            style = self._style("title")
            parts = zip(_TITLES, self._widths(), strict=True)
            segments = [Segment(_cell(text, size) + " " * _GAP, style) for text, size in parts]
        elif place < len(self.rows):
            segments = self._line(place)
        else:
            return Strip.blank(width, base)
        return Strip(segments).apply_style(base).adjust_cell_length(width, base)

    def _move(self, row: int) -> None:
        self._row = min(max(0, row), max(0, len(self.rows) - 1))
        top, height = self.scroll_offset.y, max(1, self.size.height - 1)
        if self._row < top:
            self.scroll_to(y=self._row, animate=False, immediate=True)
        elif self._row >= top + height:
            self.scroll_to(y=self._row - height + 1, animate=False, immediate=True)
        self.refresh()
        self.post_message(self.Moved())

    def _widths(self) -> tuple[int, int, int, int, int]:
        width = self.scrollable_content_region.width
        label, new, was, default = (
            max(least, int(width * share)) for least, share in zip(_LEAST, _SHARES, strict=True)
        )
        used = label + new + was + default + 4 * _GAP
        return label, new, was, default, max(0, width - used)

    def _line(self, place: int) -> list[Segment]:
        row = self.rows[place]
        is_current = place == self._row
        under = self._style("row") if is_current and self.has_focus else Style()
        edge = "▌" if is_current else " "
        label, new, was, default, rest = self._widths()
        if row.is_heading:
            arrow = _UNFOLDED if row.is_open else _FOLDED
            name = f"{edge}{arrow} {visible_line(row.key)}"
            space = max(0, self.scrollable_content_region.width - cell_len(name) - _GAP)
            summary = _cell(visible_line(row.help), space)
            return [
                Segment(name + " " * _GAP, under + self._style("heading")),
                Segment(summary, under + self._style("muted")),
            ]
        value = self._style("changed" if row.is_changed and row.new != row.was else "value")
        mark = "*" if row.is_changed else " "
        muted = under + self._style("muted")
        name = visible_line(row.label)
        if cell_len(name) > label - 2:
            # The last part of a key says most.
            name = shorten(name.rpartition(".")[2], label - 2)
        return [
            Segment(edge + mark + set_cell_size(name, label - 2), under + value),
            Segment(" " * _GAP + _cell(visible_line(row.new), new), under + value),
            Segment(" " * _GAP + _cell(visible_line(row.was), was), muted),
            Segment(" " * _GAP + _cell(visible_line(row.default), default), muted),
            Segment(" " * _GAP + _cell(visible_line(row.help), rest), muted),
        ]

    def _style(self, name: str) -> Style:
        style = self.get_component_rich_style(f"settings--{name}")
        if name == "row":
            return Style(bgcolor=style.bgcolor)
        return Style(color=style.color, bold=style.bold)


def _cell(text: str, width: int) -> str:
    return set_cell_size(shorten(text, width), width)


class SettingsPane(Vertical):
    """The table, and a field with completions over the value that is being changed."""

    class Submitted(Message):
        """Enter on a value; `close` ends the change."""

        def __init__(self, key: str, text: str) -> None:
            super().__init__()
            self.key, self.text = key, text

    class Typing(Message):
        """The value in the field changed, or the field was opened or closed."""

    def __init__(self) -> None:
        super().__init__(id="settings-pane")
        self.config: ExperimentConfig | None = None
        self._key: str | None = None
        self._opened_with = ""

    def compose(self) -> ComposeResult:
        yield SettingsTable()
        yield Static(id="settings-help", markup=False)
        yield CompletionList("cell-completions")
        field = LineInput(id="cell-input", select_on_focus=True)
        field.display = False
        yield field

    @property
    def table(self) -> SettingsTable:
        """The table."""
        return self.query_one(SettingsTable)

    @property
    def candidate(self) -> str | None:
        """The `key=value` that is being typed; None if nothing is, or without a value."""
        text = self._field.value.strip()
        return f"{self._key}={text}" if self._key is not None and text else None

    @property
    def is_editing(self) -> bool:
        """Whether a value is being changed."""
        return self._key is not None

    def close(self) -> None:
        """Close the field; the table has the focus again."""
        if self._key is None:
            return
        self._key = None
        self._field.display = False
        self._list.offer([])
        self.table.focus()
        self.post_message(self.Typing())

    def on_settings_table_moved(self, event: SettingsTable.Moved) -> None:
        """The whole text of the row under the cursor, which the table cuts."""
        event.stop()
        row = self.table.current
        text = visible_line(row.help) if row is not None and not row.is_heading else ""
        self.query_one("#settings-help", Static).update(text)

    def on_settings_table_edit(self) -> None:
        row = self.table.current
        if row is None:
            return
        self._key = row.key
        left, top, width = self.table.cell
        field = self._field
        field.styles.offset = (left, top)
        field.styles.width = max(width, min(40, self.size.width - left))
        field.display = True
        self._opened_with = field.value = edited_text(row)
        field.cursor_position = len(field.value)
        field.focus()
        self._suggest(is_typed=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self._key is not None:
            # All choices are offered until something is typed.
            self._suggest(is_typed=self._field.value != self._opened_with)
            self.post_message(self.Typing())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._key is not None:
            self.post_message(self.Submitted(self._key, self._chosen()))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._fill(self._list.completions[event.option_index].text)
        self._field.focus()

    async def on_key(self, event: events.Key) -> None:
        if self._key is None:
            return
        if await self._list.move(event.key):
            event.stop()
        elif event.key == "tab":
            event.stop()
            event.prevent_default()
            if self._list.completions:
                self._fill((self._list.chosen or self._list.completions[0]).text)
        elif event.key == "escape":
            event.stop()
            self.close()

    def on_descendant_blur(self) -> None:
        # A click elsewhere gives the change up.
        if self._key is not None and not self._field.has_focus and self.screen.focused is not None:
            self.call_after_refresh(self._close_unfocused)

    def _close_unfocused(self) -> None:
        if self._key is not None and self.screen.focused is not self._field:
            focused = self.screen.focused
            self.close()
            if focused is not None:
                focused.focus()

    @property
    def _field(self) -> LineInput:
        return self.query_one("#cell-input", LineInput)

    @property
    def _list(self) -> CompletionList:
        return self.query_one("#cell-completions", CompletionList)

    def _suggest(self, *, is_typed: bool) -> None:
        text = self._field.value.strip()
        # The key is in the row already.
        found = [
            each._replace(text=each.text.partition("=")[2])
            for each in complete(f"{self._key}={text if is_typed else ''}", self.config)
        ]
        if [each.text for each in found] == [text]:
            found = []
        self._list.offer(found, highlight=False)

    def _chosen(self) -> str:
        """The typed text, or the completion that the user moved to or began to type."""
        text, chosen = self._field.value.strip(), self._list.chosen
        completions = [each.text for each in self._list.completions]
        if self._list.has_moved and chosen is not None:
            return chosen.text
        # The prefix of a choice stands for the choice.
        if text and len(completions) == 1 and is_choice(f"{self._key}={completions[0]}"):
            return completions[0]
        return text

    def _fill(self, completion: str) -> None:
        self._field.value = completion
        self._field.cursor_position = len(self._field.value)
