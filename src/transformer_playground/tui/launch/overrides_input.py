"""Input for `key=value` overrides with completion; the added ones are shown by the table."""

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static

from transformer_playground.config.override_text import (
    full_override,
    split_overrides,
    unfinished_part,
    without_doubled_sign,
)
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.terminal import visible_line
from transformer_playground.tui.launch.completion import (
    complete,
    describe_key,
    is_choice,
    is_complete,
)
from transformer_playground.tui.shared.completion import Completion
from transformer_playground.tui.shared.completion_list import CompletionList
from transformer_playground.tui.shared.line_input import LineInput


class OverridesInput(Vertical):
    """Collects overrides: Enter adds, Tab completes, Backspace edits the last added one.

    One line may hold several overrides.
    """

    class Edited(Message):
        """The overrides or the typed text changed."""

    class AddRequested(Message):
        """Enter on overrides; `confirm` adds them."""

        def __init__(self, overrides: tuple[str, ...]) -> None:
            super().__init__()
            self.overrides = overrides

    class Left(Message):
        """Up in the empty field: to what is above."""

    class Finished(Message):
        """Enter in the empty field."""

    def __init__(self, overrides: tuple[str, ...] = ()) -> None:
        super().__init__(id="overrides")
        self.overrides = list(overrides)
        self.config: ExperimentConfig | None = None

    def compose(self) -> ComposeResult:
        with Horizontal(classes="launch-field"):
            yield Static("set", classes="launch-label")
            yield LineInput(placeholder="key=value", id="override", select_on_focus=False)
        yield Static("", id="override-note", markup=False)
        yield CompletionList("completions")

    def on_mount(self) -> None:
        self._show_added()
        self._suggest()

    @property
    def typed(self) -> str:
        return self._field.value.strip()

    @property
    def candidate(self) -> tuple[str, ...]:
        """The added overrides, and the typed ones unless the last still needs a value."""
        *before, last = self._pieces
        typed = [*before, last] if "=" in last and not self._no_value else before
        return (*self.overrides, *typed)

    def confirm(self, overrides: tuple[str, ...]) -> None:
        for override in overrides:
            kept = [each for each in self.overrides if _key_of(each) != _key_of(override)]
            self.overrides = [*kept, override]
        self._field.value = ""
        self._show_added()
        self.post_message(self.Edited())

    def type(self, text: str) -> None:
        """Focus the field and insert text at its cursor."""
        self._field.focus()
        self._field.insert_text_at_cursor(text)

    def clear(self) -> None:
        self.overrides = []
        self._show_added()

    def take_back(self, key: str) -> None:
        """Remove the override of a setting."""
        self.overrides = [each for each in self.overrides if _key_of(each) != key]
        self._show_added()
        self.post_message(self.Edited())

    def show_note(self, text: str, *, is_error: bool) -> None:
        note = self.query_one("#override-note", Static)
        note.set_class(is_error, "error")
        note.set_class(not is_error, "muted")
        shown = text or visible_line(describe_key(self._pieces[-1]))
        note.update(Content(shown))
        note.display = bool(shown)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        cleaned = without_doubled_sign(event.value)
        if len(cleaned) < len(event.value):
            at = self._field.cursor_position - 1
            self._field.value, self._field.cursor_position = cleaned, at
            return
        self._suggest()
        self.post_message(self.Edited())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not self.typed:
            self.post_message(self.Finished())
        elif (chosen := self._chosen()) and chosen.needs_value:
            self._fill(chosen)
        else:
            *before, last = self._pieces
            self.post_message(self.AddRequested((*before, chosen.text if chosen else last)))

    async def on_key(self, event: events.Key) -> None:
        if await self._list.move(event.key):
            event.stop()
        elif event.key == "up" and not self.typed:
            event.stop()
            self.post_message(self.Left())
        elif event.key == "down" and not self.typed:
            event.stop()
            self._suggest(show_all=True)
        elif event.key == "tab" and self._can_complete():
            event.stop()
            event.prevent_default()
            self._fill(self._list.chosen or self._list.completions[0])
        elif event.key == "backspace" and not self._field.value and self.overrides:
            event.stop()
            self._edit_added(len(self.overrides) - 1)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._fill(self._list.completions[event.option_index])
        self._field.focus()

    @property
    def _pieces(self) -> list[str]:
        """The typed overrides, with full keys."""
        return [full_override(each) for each in split_overrides(self.typed)]

    @property
    def _no_value(self) -> bool:
        """Whether the last typed key is known and has no value yet."""
        last = self._pieces[-1]
        return last.endswith("=") and bool(describe_key(last))

    @property
    def _unfinished(self) -> str:
        return full_override(unfinished_part(self._field.value.lstrip()))

    @property
    def _field(self) -> LineInput:
        return self.query_one("#override", LineInput)

    @property
    def _list(self) -> CompletionList:
        return self.query_one("#completions", CompletionList)

    def _can_complete(self) -> bool:
        found = self._list.completions
        return bool(self.typed) and any(each.text != self._unfinished for each in found)

    def _chosen(self) -> Completion | None:
        chosen, typed = self._list.chosen, self._unfinished
        if chosen is None:
            return None
        if self._list.has_moved or chosen.needs_value or chosen.text == typed:
            return chosen
        # The prefix of a choice stands for the choice; a prefix of a number is a number itself.
        return chosen if is_choice(chosen.text) and is_complete(typed) else None

    def _fill(self, completion: Completion) -> None:
        """Replace the unfinished end of the line."""
        line = self._field.value.lstrip()
        self._field.value = line.removesuffix(unfinished_part(line)) + completion.text
        self._field.cursor_position = len(self._field.value)

    def _edit_added(self, index: int) -> None:
        text = self.overrides.pop(index)
        self._show_added()
        self._field.value = text
        self._field.cursor_position = len(text)
        self.post_message(self.Edited())

    def _suggest(self, *, show_all: bool = False) -> None:
        unfinished = self._unfinished
        found = complete(unfinished, self.config) if unfinished or show_all else []
        if [each.text for each in found] == [unfinished]:
            found = []
        self._list.offer(found, highlight=not self._no_value)

    def _show_added(self) -> None:
        # What stands in the empty field says how to go on.
        self._field.placeholder = (
            "key=value   (enter trains, backspace edits the last one)"
            if self.overrides
            else "key=value   (enter trains)"
        )


def _key_of(override: str) -> str:
    return override.partition("=")[0].strip()
