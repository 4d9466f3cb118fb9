"""What asks the user something over a view."""

from typing import TypeVar

from textual.screen import ModalScreen

_Result = TypeVar("_Result")


class Dialog(ModalScreen[_Result]):
    """A question over a view; it closes with the answer."""

    CSS_PATH = "../styles/dialogs.tcss"
