"""Question before the code of an experiment runs for the first time on this machine."""

from collections.abc import Callable
from pathlib import Path

from transformer_playground.files import display_path
from transformer_playground.formatting import size_text
from transformer_playground.terminal import visible, visible_line
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.dialogs.base import ConfirmScreen


def confirm_preparer(context: AppContext, preparer: Path | None, then: Callable[[], None]) -> None:
    """Call `then`, after a confirmation if `preparer` is a file that is not known."""
    if preparer is None:
        then()
        return

    def on_answer(answer: str | None) -> None:
        if answer != "run":
            context.app.notify("Nothing was started.", markup=False)
            return
        try:
            context.known_preparers.allow(preparer)
        except OSError as error:
            text = f"The answer cannot be saved: {error.strerror}."
            context.app.notify(visible(text), severity="warning", markup=False)
        then()

    # Enter, typed once too often, must not run unknown code.
    answers = (("cancel", "Cancel"), ("run", "Run it"))
    context.app.push_screen(ConfirmScreen(_question(preparer), answers), on_answer)


def _question(preparer: Path) -> str:
    size = size_text(preparer.stat().st_size)
    return (
        f"Preparing the data runs the Python code of {visible_line(display_path(preparer))}"
        f" ({size}), which is new on this machine. It can do whatever you can do."
        " Read it first if you do not know where it comes from."
    )
