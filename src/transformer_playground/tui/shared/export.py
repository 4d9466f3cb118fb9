"""Export in a worker thread with a notification of the result."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.errors import PlaygroundError
from transformer_playground.terminal import visible
from transformer_playground.tui.shared.work import answer_in_thread

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel
    from textual.widget import Widget


def export_in_worker(owner: "Widget", export: Callable[[], Path]) -> None:
    """Run `export` in a worker thread and show the path or the error as a notification."""

    def show(found: Path | PlaygroundError) -> None:
        is_error = isinstance(found, PlaygroundError)
        text = str(found) if is_error else f"Wrote {found}"
        severity: SeverityLevel = "error" if is_error else "information"
        owner.notify(visible(text), severity=severity, markup=False)

    answer_in_thread(owner, "Writing the file", export, show, group="export")
