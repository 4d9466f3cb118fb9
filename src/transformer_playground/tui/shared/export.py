"""Export in a worker thread with a notification of the result."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.errors import PlaygroundError
from transformer_playground.terminal import visible

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel
    from textual.widget import Widget


def export_in_worker(owner: "Widget", export: Callable[[], Path]) -> None:
    """Run `export` in a worker thread and show the path or the error as a notification."""

    def work() -> None:
        severity: SeverityLevel = "information"
        try:
            text = f"Wrote {export()}"
        except PlaygroundError as error:
            text, severity = str(error), "error"
        except OSError as error:
            text, severity = f"The file could not be written: {error.strerror}.", "error"
        notify = partial(owner.notify, visible(text), severity=severity, markup=False)
        owner.app.call_from_thread(notify)

    owner.run_worker(work, group="export", thread=True, exit_on_error=False)
