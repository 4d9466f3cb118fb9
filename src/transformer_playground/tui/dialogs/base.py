"""What asks the user something over a view."""

from collections.abc import Sequence
from typing import TypeVar

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from transformer_playground.terminal import visible
from transformer_playground.tui.bindings import bindings_for

_Result = TypeVar("_Result")


class Dialog(ModalScreen[_Result]):
    """A question over a view; it closes with the answer."""

    CSS_PATH = "../dialogs/dialogs.tcss"


class ConfirmScreen(Dialog[str | None]):
    """Asks, and closes with the key of the answer, or None for "neither".

    Args:
        question: One or two sentences.
        answers: (key, label) of each button; the first has the focus.
    """

    BINDINGS = bindings_for("dialog")

    def __init__(self, question: str, answers: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._question, self._answers = question, answers

    def compose(self) -> ComposeResult:
        """The question above its buttons."""
        with Vertical(classes="dialog"):
            yield Static(visible(self._question), markup=False, id="question")
            with Horizontal(id="answers"):
                for key, label in self._answers:
                    yield Button(label, id=f"answer-{key}", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Close with the answer."""
        self.dismiss((event.button.id or "").removeprefix("answer-"))

    def action_dismiss_dialog(self) -> None:
        """Close without an answer."""
        self.dismiss(None)
