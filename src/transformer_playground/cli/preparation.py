"""Display of a preparation on standard error: its notes, and one line of progress."""

import shutil
import sys
import time
from typing import TYPE_CHECKING, Self

from transformer_playground.cli.output import note

if TYPE_CHECKING:
    from transformer_playground.data.progress import Progress

# On a terminal the line is redrawn in place; a log gets a new line now and then.
_REDRAW_SECONDS = 0.1
_FIRST_SECONDS = 0.5
_LOG_SECONDS = 10.0
_CLEAR_LINE = "\r\x1b[2K"


class PreparationDisplay:
    """Context manager; the line of progress is removed at its end."""

    def __init__(self) -> None:
        self._in_place = sys.stderr.isatty()
        self._is_drawn = False
        # A line that is gone at once would only flicker; a log has few lines.
        self._due = time.monotonic() + (_FIRST_SECONDS if self._in_place else _LOG_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._clear()

    def note(self, text: str) -> None:
        """Print a line above the progress."""
        self._clear()
        note(text)

    def progress(self, progress: "Progress") -> None:
        """Show the progress, unless it was shown a moment ago."""
        now = time.monotonic()
        if now < self._due:
            return
        if not self._in_place:
            self._due = now + _LOG_SECONDS
            note(str(progress))
            return
        self._due = now + _REDRAW_SECONDS
        self._is_drawn = True
        # A longer line would leave its first part behind when it is redrawn.
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(_CLEAR_LINE + str(progress)[:width])
        sys.stderr.flush()

    def _clear(self) -> None:
        if self._is_drawn:
            sys.stderr.write(_CLEAR_LINE)
            sys.stderr.flush()
            self._is_drawn = False
