"""Text dialog: edits a note, tags or a name."""

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static, TextArea
from textual.widgets.text_area import Edit, EditResult

from transformer_playground.errors import PlaygroundError
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.dialogs.base import Dialog
from transformer_playground.tui.shared.line_input import LineInput

Check = Callable[[str], object]


class TextInput(TextArea):
    """A `TextArea` that shows control characters as symbols; Enter submits it."""

    class Submitted(Message):
        """Enter was pressed."""

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self.post_message(self.Submitted())

    def edit(self, edit: Edit) -> EditResult:
        """Insert text; typing and pasting both call this method."""
        edit.text = visible(edit.text)
        return super().edit(edit)


class EditTextScreen(Dialog[str | None]):
    """Closes with the text, or None if it was cancelled.

    Args:
        value: Initial text; untrusted, as is the title.
        check: Raises a `PlaygroundError` for text that is not valid.
        hint: One line below the field.
        several_lines: Whether the text may contain line breaks.
        does: What enter does with the text.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_for("dialog"),
        *bindings_for("edit", "edit.save"),
        *bindings_for("edit", "edit.newline"),
    ]

    def __init__(
        self,
        title: str,
        value: str,
        check: Check,
        hint: str = "",
        *,
        several_lines: bool = False,
        does: str = "saves",
    ) -> None:
        super().__init__()
        self._does = does
        self._title, self._value, self._check = title, value, check
        self._hint, self._several_lines = hint, several_lines

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="write") as dialog:
            dialog.border_title = Content(visible_line(self._title[:200]))
            lines = f"{self.key_hint('edit.newline')} breaks the line · "
            dialog.border_subtitle = (
                f"enter {self._does} · {lines if self._several_lines else ''}"
                f"{self.key_hint('dialog.close')} cancels"
            )
            if self._several_lines:
                yield TextInput(visible(self._value), compact=True, id="write-text")
            else:
                yield LineInput(visible_line(self._value), id="write-line", select_on_focus=False)
            yield Static(self._hint, classes="muted", markup=False, id="write-hint")
            yield Static("", classes="error", markup=False, id="write-problem")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.action_save()

    def on_text_input_submitted(self) -> None:
        self.action_save()

    def action_newline(self) -> None:
        if self._several_lines:
            self.query_one("#write-text", TextInput).insert("\n")

    def action_dismiss_dialog(self) -> None:
        self.dismiss(None)

    def action_save(self) -> None:
        if self._several_lines:
            text = self.query_one("#write-text", TextInput).text
        else:
            text = self.query_one("#write-line", LineInput).value
        try:
            self._check(text)
        except PlaygroundError as error:
            self.query_one("#write-problem", Static).update(visible(str(error)))
            return
        self.dismiss(text)
