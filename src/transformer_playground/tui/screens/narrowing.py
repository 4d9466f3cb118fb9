"""A dialog with a list that typing narrows."""

from typing import TypeVar

from textual import events
from textual.widgets import OptionList

from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.screens.dialog import Dialog

_MOVES = {"up": "cursor_up", "down": "cursor_down", "pageup": "page_up", "pagedown": "page_down"}
_Result = TypeVar("_Result")


class NarrowingScreen(Dialog[_Result]):
    """Has one input and one list; the input keeps the focus while keys move in the list."""

    BINDINGS = bindings_for("dialog")

    async def on_key(self, event: events.Key) -> None:
        """Move in the list while the words keep the focus."""
        action = _MOVES.get(event.key)
        if action is not None:
            event.stop()
            await self._list.run_action(action)

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)
