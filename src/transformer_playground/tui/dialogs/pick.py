"""Pickers: a list to choose one item or several from; typing filters it."""

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.dialogs.base import Dialog
from transformer_playground.tui.shared.completion_list import MOVES
from transformer_playground.tui.shared.line_input import LineInput

_Result = TypeVar("_Result")


def take_spaces(field: Input) -> tuple[int, str]:
    """Remove the spaces from a field; return their number, of a burst of keys too, and the rest."""
    typed = field.value.replace(" ", "")
    spaces = len(field.value) - len(typed)
    if spaces:
        field.value = typed
    return spaces, typed


class FilteredListScreen(Dialog[_Result]):
    """One input above one list; the input keeps the focus while the arrow keys move in the list."""

    BINDINGS = bindings_for("dialog")

    async def on_key(self, event: events.Key) -> None:
        """Move in the list while the input keeps the focus."""
        action = MOVES.get(event.key)
        if action is not None:
            event.stop()
            await self._list.run_action(action)

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)


class _OptionsScreen(FilteredListScreen[_Result]):
    """A list of options with a highlighted one.

    Args:
        options: (id, text) of each.
        current: Id of the option to highlight first.
    """

    BINDINGS = bindings_for("dialog")
    HINT: ClassVar[str]

    def __init__(
        self, title: str, options: Sequence[tuple[str, Content]], current: str | None
    ) -> None:
        super().__init__()
        self._heading, self._options, self._current = title, options, current

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="pick") as dialog:
            dialog.border_title = Content(self._heading)
            dialog.border_subtitle = f"{self.HINT} · {self.key_hint('dialog.close')} closes"
            yield LineInput(placeholder="type to narrow", id="pick-query")
            yield OptionList(id="pick-list")

    def on_mount(self) -> None:
        self.query_one("#pick-list").can_focus = False
        self._filter("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._narrow(event.input)

    def _narrow(self, field: Input) -> None:
        self._filter(field.value)

    def action_dismiss_dialog(self) -> None:
        self.dismiss(None)

    def _shown(self, name: str, text: Content) -> Content:
        return text

    def _filter(self, query: str) -> None:
        wanted = query.casefold().split()
        kept = [
            (name, text)
            for name, text in self._options
            if all(word in f"{name} {text.plain}".casefold() for word in wanted)
        ]
        self._list.clear_options()
        self._list.add_options(Option(self._shown(name, text), id=name) for name, text in kept)
        names = [name for name, _ in kept]
        if not names:
            self._list.add_option(Option("No entry matches.", disabled=True))
        else:
            self._list.highlighted = names.index(self._current) if self._current in names else 0


class PickScreen(_OptionsScreen[str | None]):
    """Closes with the id of the chosen option, or None."""

    HINT = "enter chooses"

    def on_input_submitted(self) -> None:
        highlighted = self._list.highlighted_option
        if highlighted is not None:
            self.dismiss(highlighted.id)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)


class PickSeveralScreen(_OptionsScreen[tuple[str, ...] | None]):
    """Closes with the ids of the marked options, else of the highlighted one, or None.

    Args:
        most: Largest number of options that can be marked.
    """

    HINT = "space marks several · enter chooses"

    def __init__(
        self, title: str, options: Sequence[tuple[str, Content]], current: str | None, most: int
    ) -> None:
        super().__init__(title, options, current)
        self._marked: list[str] = []
        self._most = most
        self._query = ""

    def _narrow(self, field: Input) -> None:
        """Narrow the list; a space marks an option."""
        spaces, typed = take_spaces(field)
        for _ in range(spaces):
            self._mark()
        if typed != self._query:
            self._query = typed
            self._filter(typed)

    def on_input_submitted(self) -> None:
        highlighted = self._list.highlighted_option
        if self._marked:
            self.dismiss(tuple(name for name, _ in self._options if name in self._marked))
        elif highlighted is not None and highlighted.id is not None:
            self.dismiss((highlighted.id,))

    def on_option_list_option_selected(self) -> None:
        self._mark()

    def _mark(self) -> None:
        highlighted = self._list.highlighted_option
        if highlighted is None or highlighted.id is None:
            return
        name = highlighted.id
        if name in self._marked:
            self._marked.remove(name)
        elif len(self._marked) < self._most:
            self._marked.append(name)
        else:
            self.query_one("#pick").border_subtitle = f"at most {self._most} at a time"
            return
        text = dict(self._options)[name]
        self._list.replace_option_prompt(name, self._shown(name, text))
        if (
            self._list.highlighted is not None
            and self._list.highlighted < self._list.option_count - 1
        ):
            self._list.highlighted += 1

    def _shown(self, name: str, text: Content) -> Content:
        mark = ("✓ ", "$accent") if name in self._marked else ("  ", "")
        return Content.assemble(mark, text)
