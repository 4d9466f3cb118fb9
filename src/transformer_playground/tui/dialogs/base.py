"""Base of modal dialogs, and the confirmation dialog."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from transformer_playground.terminal import visible
from transformer_playground.tui.bindings import bindings_for, key_hint
from transformer_playground.tui.core.context import context_of
from transformer_playground.tui.shared.key_bar import KeyBar

CssPath = str | PurePath | list[str | PurePath] | None
_Result = TypeVar("_Result")


class Dialog(ModalScreen[_Result]):
    """A modal screen over a view that closes with a result, with a key bar of its own."""

    CSS_PATH: ClassVar[CssPath] = "../dialogs/dialogs.tcss"

    def on_mount(self) -> None:
        self.mount(KeyBar())

    def key_hint(self, binding_id: str) -> str:
        """The key of a binding as a hint shows it, with the user's keymap applied."""
        return key_hint(binding_id, context_of(self).keymap)


class ConfirmScreen(Dialog[str | None]):
    """Confirmation: closes with the key of the chosen button, or None if dismissed.

    Args:
        answers: (key, label) of each button; the first has the focus.
    """

    BINDINGS = bindings_for("dialog")

    def __init__(self, question: str, answers: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._question, self._answers = question, answers

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(visible(self._question), markup=False, id="question")
            with Horizontal(id="answers"):
                for key, label in self._answers:
                    yield Button(label, id=f"answer-{key}", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss((event.button.id or "").removeprefix("answer-"))

    def action_dismiss_dialog(self) -> None:
        self.dismiss(None)
