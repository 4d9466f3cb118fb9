"""Filter of the runs table, with completion."""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol

from textual import events
from textual.binding import BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, OptionList, Static

from transformer_playground.errors import UsageError
from transformer_playground.terminal import visible
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.context import context_of
from transformer_playground.tui.shared.completion import Completion
from transformer_playground.tui.shared.completion_list import CompletionList
from transformer_playground.tui.shared.line_input import LineInput

if TYPE_CHECKING:
    from transformer_playground.runs.fields import RunInfo

_LONGEST_NAME = 60


class HasRuns(Protocol):
    """What a filter completes from: runs by id."""

    @property
    def runs(self) -> "Mapping[str, RunInfo]": ...


class FilterInput(LineInput):
    """The field; its key Enter is shown in the key bar."""

    BINDINGS = bindings_for("filter", "filter.keep")


class FilterBar(Vertical):
    """Shown while there is a filter or the user types one.

    Tab completes and never leaves the field. Enter goes to the table, and so does Down while there
    is nothing to complete. An empty field offers the saved filters.
    """

    HIDES_OTHER_KEYS = True
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_for("filter", "filter.complete"),
        *bindings_for("filter", "filter.clear"),
        *bindings_for("filter", "filter.save"),
    ]

    class Changed(Message):
        """The filter text changed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Closed(Message):
        """The user left the filter."""

    def __init__(self, state: HasRuns) -> None:
        super().__init__(id="filter")
        self._state = state
        self.display = False

    def complete(self) -> None:
        """Add the field and its completions; without them the first frame is styled sooner."""
        if not self.children:
            hint = "words, status:running|failed, val_loss<1.9, norm=rmsnorm, -tag:old"
            problem = Static("", id="filter-problem", classes="error", markup=False)
            text = FilterInput(placeholder=hint, id="filter-text")
            self.mount(text, CompletionList("filter-completions"), problem)

    def open(self) -> None:
        self.display = True
        self._input.focus()
        self._offer(None if self.text else "")

    def clear(self) -> None:
        self._input.value = ""
        self.display = False

    @property
    def text(self) -> str:
        return self._input.value

    def show_problem(self, problem: str) -> None:
        line = self.query_one("#filter-problem", Static)
        line.update(visible(problem))
        line.display = bool(problem)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._offer(event.value if self._input.has_focus else None)
        self.post_message(self.Changed(event.value))

    def _offer(self, text: str | None) -> None:
        """Offer completions of a text, or none."""
        from transformer_playground.tui.runs.filter_completion import (
            complete_filter,
            unfinished_term,
        )

        found: list[Completion] = []
        if text is not None:
            found = complete_filter(text, self._state.runs.values(), self._saved)
        term = unfinished_term(text or "")
        is_whole = any(each.text in (term, text) for each in found)
        # An empty field completes nothing by itself: Tab must not take the first saved filter.
        self._list.offer(() if is_whole else found, highlight=bool(text))

    @property
    def _saved(self) -> dict[str, str]:
        return context_of(self).settings.filters

    def action_complete_text(self) -> None:
        """Take the completion that is highlighted; the field keeps the focus."""
        if self._list.chosen is not None:
            self._fill(self._list.chosen)

    def action_clear_filter(self) -> None:
        """Remove the filter and go to the table."""
        self.clear()
        self.post_message(self.Closed())

    def action_save_filter(self) -> None:
        """Ask for a name and save the filter; a name without a filter deletes the saved one."""
        # Imported late: Textual's text area slows the start.
        from transformer_playground.tui.dialogs.edit_text import EditTextScreen

        text, saved = self.text.strip(), self._saved
        if not text:
            self._explain("Type a filter first; then this key saves it.")
            return
        known = next((name for name, query in saved.items() if query == text), "")

        def save(name: str | None) -> None:
            if name is None:
                return
            name = name.strip()
            saved.pop(known, None)
            if name:
                saved[name] = text
            done = f"Saved the filter as {name}." if name else f"Deleted the saved filter {known}."
            self._explain(done)

        hint = "Without a name it is deleted." if known else "Offered when the filter is empty."
        screen = EditTextScreen(f"Save the filter {text}", known, partial(_check, known), hint)
        self.app.push_screen(screen, save)

    def _explain(self, text: str) -> None:
        self.app.notify(visible(text), markup=False)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._list.has_moved and self._list.chosen is not None:
            self._fill(self._list.chosen)
        else:
            self._close()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._fill(self._list.completions[event.option_index])
        self._input.focus()

    async def on_key(self, event: events.Key) -> None:
        if await self._list.move(event.key):
            event.stop()
        elif event.key == "down":
            event.stop()
            self._close()

    def _close(self) -> None:
        self._list.offer(())
        self.display = bool(self.text)
        self.post_message(self.Closed())

    def _fill(self, completion: Completion) -> None:
        from transformer_playground.tui.runs.filter_completion import unfinished_term

        text = self._input.value
        kept = "" if completion.is_whole else text.removesuffix(unfinished_term(text))
        text = kept + completion.text
        # The next term starts after a space.
        self._input.value = text if completion.needs_value else f"{text} "
        self._input.cursor_position = len(self._input.value)

    @property
    def _list(self) -> CompletionList:
        return self.query_one(CompletionList)

    @property
    def _input(self) -> FilterInput:
        return self.query_one(FilterInput)


def _check(known: str, name: str) -> None:
    if not name.strip() and not known:
        raise UsageError("The filter has no name.", "Type one, such as good-ropes.")
    if len(name) > _LONGEST_NAME:
        raise UsageError("The name is too long.", f"Use up to {_LONGEST_NAME} characters.")
