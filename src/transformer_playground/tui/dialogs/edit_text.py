"""A dialog to write a line or a text: notes, tags, names."""

from collections.abc import Callable

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static, TextArea
from textual.widgets.text_area import Edit, EditResult

from transformer_playground.errors import PlaygroundError
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.dialogs.base import Dialog
from transformer_playground.tui.shared.line_input import LineInput

Check = Callable[[str], object]


class TextInput(TextArea):
    """A `TextArea` in which control characters stand as symbols, whatever is pasted."""

    def edit(self, edit: Edit) -> EditResult:
        """Put text in; every way to add text leads here."""
        edit.text = visible(edit.text)
        return super().edit(edit)


class WriteScreen(Dialog[str | None]):
    """Closes with what was written, or None.

    Args:
        title: What is written; untrusted text.
        value: What there is so far; untrusted text.
        check: Raises a `PlaygroundError` for what cannot be accepted.
        hint: One line on what to write.
        several_lines: Whether line breaks belong to it.
    """

    BINDINGS = bindings_for("dialog")

    def __init__(
        self, title: str, value: str, check: Check, hint: str = "", *, several_lines: bool = False
    ) -> None:
        super().__init__()
        self._title, self._value, self._check = title, value, check
        self._hint, self._several_lines = hint, several_lines

    def compose(self) -> ComposeResult:
        """The field above what is wrong with it."""
        with Vertical(classes="dialog", id="write") as dialog:
            dialog.border_title = Content(visible_line(self._title[:200]))
            if self._several_lines:
                dialog.border_subtitle = "ctrl+s saves · esc leaves it as it was"
                yield TextInput(visible(self._value), compact=True, id="write-text")
            else:
                dialog.border_subtitle = "enter saves · esc leaves it as it was"
                yield LineInput(visible_line(self._value), id="write-line", select_on_focus=False)
            yield Static(self._hint, classes="muted", markup=False, id="write-hint")
            yield Static("", classes="error", markup=False, id="write-problem")

    def on_key(self, event: events.Key) -> None:
        """Save a text of several lines."""
        if event.key == "ctrl+s":
            event.stop()
            self._save()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Save a line."""
        event.stop()
        self._save()

    def action_dismiss_dialog(self) -> None:
        """Close without a change."""
        self.dismiss(None)

    def _save(self) -> None:
        if self._several_lines:
            written = self.query_one("#write-text", TextInput).text
        else:
            written = self.query_one("#write-line", LineInput).value
        try:
            self._check(written)
        except PlaygroundError as error:
            self.query_one("#write-problem", Static).update(visible(str(error)))
            return
        self.dismiss(written)
