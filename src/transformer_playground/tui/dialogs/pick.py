"""Picker: a list to choose one item from; typing filters it."""

from collections.abc import Sequence
from typing import TypeVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.dialogs.base import Dialog
from transformer_playground.tui.shared.line_input import LineInput

_MOVES = {"up": "cursor_up", "down": "cursor_down", "pageup": "page_up", "pagedown": "page_down"}
_Result = TypeVar("_Result")


class FilteredListScreen(Dialog[_Result]):
    """One input above one list; the input keeps the focus while the arrow keys move in the list."""

    BINDINGS = bindings_for("dialog")

    async def on_key(self, event: events.Key) -> None:
        """Move in the list while the input keeps the focus."""
        action = _MOVES.get(event.key)
        if action is not None:
            event.stop()
            await self._list.run_action(action)

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)


class PickScreen(FilteredListScreen[str | None]):
    """Closes with the id of the chosen option, or None.

    Args:
        options: (id, text) of each.
        current: Id of the option to highlight first.
    """

    def __init__(
        self, title: str, options: Sequence[tuple[str, Content]], current: str | None
    ) -> None:
        super().__init__()
        self._heading, self._options, self._current = title, options, current

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="pick") as dialog:
            dialog.border_title = Content(self._heading)
            dialog.border_subtitle = f"enter chooses · {self.key_hint('dialog.close')} closes"
            yield LineInput(placeholder="type to narrow", id="pick-query")
            yield OptionList(id="pick-list")

    def on_mount(self) -> None:
        self.query_one("#pick-list").can_focus = False
        self._filter("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._filter(event.value)

    def on_input_submitted(self) -> None:
        highlighted = self._list.highlighted_option
        if highlighted is not None:
            self.dismiss(highlighted.id)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)

    def action_dismiss_dialog(self) -> None:
        self.dismiss(None)

    def _filter(self, query: str) -> None:
        wanted = query.casefold().split()
        kept = [
            (name, shown)
            for name, shown in self._options
            if all(word in shown.plain.casefold() for word in wanted)
        ]
        self._list.clear_options()
        self._list.add_options(Option(shown, id=name) for name, shown in kept)
        names = [name for name, _ in kept]
        if names:
            self._list.highlighted = names.index(self._current) if self._current in names else 0
