"""File export: a free file name, and a worker thread that notifies the user of the result."""

import itertools
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.errors import PlaygroundError
from transformer_playground.terminal import visible

if TYPE_CHECKING:
    from textual.notifications import SeverityLevel
    from textual.widget import Widget


class ExportError(PlaygroundError):
    """The file could not be written."""


def timestamped(name: str) -> str:
    """The name with the local time, for a file that must not replace an earlier one."""
    return f"{name}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"


def write_new_file(folder: Path, stem: str, suffix: str, write: Callable[[Path], object]) -> Path:
    """Write a file that does not exist yet: `stem.suffix`, else `stem-2.suffix` and so on.

    Raises:
        ExportError: OSError while writing.
    """
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    try:
        path = next(path for name in names if not (path := folder / f"{name}.{suffix}").exists())
        write(path)
    except OSError as error:
        raise ExportError(
            f"{stem}.{suffix} could not be written to {folder}: {error.strerror}.",
            "Check free disk space and the permissions of the folder.",
        ) from error
    return path


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
