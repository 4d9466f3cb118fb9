"""Input for `key=value` overrides with completion, and the list of added ones."""

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.terminal import visible_line
from transformer_playground.tui.launch.completion import (
    Completion,
    complete,
    describe_key,
    is_choice,
    is_complete,
)
from transformer_playground.tui.shared.line_input import LineInput

_MOVES = {"up": "cursor_up", "down": "cursor_down", "pageup": "page_up", "pagedown": "page_down"}


class OverridesInput(Vertical):
    """Collects overrides: Enter adds, Tab completes, Backspace edits the last added one."""

    class Edited(Message):
        """The overrides or the typed text changed."""

    class AddRequested(Message):
        """Enter on an override; `confirm` adds it."""

        def __init__(self, override: str) -> None:
            super().__init__()
            self.override = override

    class Finished(Message):
        """Enter in the empty field."""

    def __init__(self, overrides: tuple[str, ...] = ()) -> None:
        super().__init__(id="overrides")
        self.overrides = list(overrides)
        self.config: ExperimentConfig | None = None
        self._completions: list[Completion] = []
        self._moved = False

    def compose(self) -> ComposeResult:
        yield OptionList(id="overrides-added", markup=False)
        with Horizontal(classes="launch-field"):
            yield Static("set", classes="launch-label")
            yield LineInput(placeholder="key=value", id="override", select_on_focus=False)
        yield Static("", id="override-note", markup=False)
        yield OptionList(id="completions", markup=False)

    def on_mount(self) -> None:
        self._list.can_focus = False
        self._show_added()
        self._suggest()

    @property
    def typed(self) -> str:
        return self._field.value.strip()

    @property
    def candidate(self) -> tuple[str, ...]:
        """The added overrides, and the typed one unless it still needs a value."""
        return (
            *self.overrides,
            *([self.typed] if "=" in self.typed and not self._no_value else []),
        )

    def confirm(self, override: str) -> None:
        key = override.partition("=")[0].strip()
        kept = [each for each in self.overrides if each.partition("=")[0].strip() != key]
        self.overrides = [*kept, override]
        self._field.value = ""
        self._show_added()
        self.post_message(self.Edited())

    def clear(self) -> None:
        self.overrides = []
        self._show_added()

    def show_note(self, text: str, *, is_error: bool) -> None:
        note = self.query_one("#override-note", Static)
        note.set_class(is_error, "error")
        note.set_class(not is_error, "muted")
        note.update(Content(text or visible_line(describe_key(self.typed))))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._moved = False
        self._suggest()
        self.post_message(self.Edited())

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if not self.typed:
            self.post_message(self.Finished())
        elif (chosen := self._chosen()) and chosen.is_key:
            self._fill(chosen)
        else:
            self.post_message(self.AddRequested(chosen.text if chosen else self.typed))

    async def on_key(self, event: events.Key) -> None:
        if self.screen.focused is self.query_one("#overrides-added"):
            self._key_in_list(event)
        elif event.key in _MOVES and self._completions:
            event.stop()
            self._moved = True
            await self._list.run_action(_MOVES[event.key])
        elif event.key == "down" and not self.typed:
            event.stop()
            self._suggest(show_all=True)
        elif event.key == "tab" and self._can_complete():
            event.stop()
            event.prevent_default()
            self._fill(self._completions[self._list.highlighted or 0])
        elif event.key == "backspace" and not self._field.value and self.overrides:
            event.stop()
            self._edit_added(len(self.overrides) - 1)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        if event.option_list is self._list:
            self._fill(self._completions[event.option_index])
        else:
            self._edit_added(event.option_index)
        self._field.focus()

    @property
    def _no_value(self) -> bool:
        """Whether the typed key is known and has no value yet."""
        return self.typed.endswith("=") and bool(describe_key(self.typed))

    @property
    def _field(self) -> LineInput:
        return self.query_one("#override", LineInput)

    @property
    def _list(self) -> OptionList:
        return self.query_one("#completions", OptionList)

    def _can_complete(self) -> bool:
        return bool(self.typed) and any(each.text != self.typed for each in self._completions)

    def _chosen(self) -> Completion | None:
        index = self._list.highlighted
        if index is None or index >= len(self._completions):
            return None
        chosen = self._completions[index]
        if self._moved or chosen.is_key or chosen.text == self.typed:
            return chosen
        # The prefix of a choice stands for the choice; a prefix of a number is a number itself.
        return chosen if is_choice(chosen.text) and is_complete(self.typed) else None

    def _fill(self, completion: Completion) -> None:
        self._field.value = completion.text
        self._field.cursor_position = len(completion.text)

    def _edit_added(self, index: int) -> None:
        text = self.overrides.pop(index)
        self._show_added()
        self._field.value = text
        self._field.cursor_position = len(text)
        self.post_message(self.Edited())

    def _key_in_list(self, event: events.Key) -> None:
        index = self.query_one("#overrides-added", OptionList).highlighted
        if event.key in {"delete", "backspace", "d"} and index is not None:
            event.stop()
            del self.overrides[index]
            self._show_added()
            if not self.overrides:
                self._field.focus()
            self.post_message(self.Edited())

    def _suggest(self, *, show_all: bool = False) -> None:
        wanted = bool(self.typed) or show_all
        self._completions = complete(self.typed, self.config) if wanted else []
        if [each.text for each in self._completions] == [self.typed]:
            self._completions = []
        shown = self._list
        shown.clear_options()
        shown.add_options(Option(_line(each)) for each in self._completions)
        shown.display = bool(self._completions)
        if self._completions and not self._no_value:
            shown.highlighted = 0

    def _show_added(self) -> None:
        added = self.query_one("#overrides-added", OptionList)
        added.clear_options()
        added.add_options(Option(Content(visible_line(text))) for text in self.overrides)
        added.display = bool(self.overrides)
        added.highlighted = len(self.overrides) - 1 if self.overrides else None


def _line(completion: Completion) -> Content:
    note = visible_line(completion.note)
    return Content.assemble(visible_line(completion.text), "  ", (note, "$text-muted"))
