"""A terminal that may go away: its window closed, its connection lost."""

import contextlib
import os
import select
import signal
import threading
from typing import IO, TYPE_CHECKING, Any

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from textual.app import App


class _PatientFile:
    """Takes what a lost terminal refuses, so that the thread that writes lives to the end.

    If it died, the console would wait for it forever while saving what trains.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()


class _UntilGone(threading.Event):
    """Ends the reading of keys; also when the terminal has gone, which the toolkit reads on from.

    Args:
        fileno: The terminal.
    """

    def __init__(self, fileno: int) -> None:
        super().__init__()
        self._poll = select.poll()
        # A hangup is reported whatever one asks for.
        self._poll.register(fileno, 0)

    def is_set(self) -> bool:
        """Asked before each reading."""
        if not super().is_set() and self._poll.poll(0):
            self.set()
            # Where the terminal is not the session's own, the system tells nobody.
            os.kill(os.getpid(), signal.SIGHUP)
        return super().is_set()


class TerminalDriver(LinuxDriver):
    """Textual's driver, which outlives its terminal for as long as it takes to save and end."""

    def __init__(self, app: "App[Any]", **options: Any) -> None:
        super().__init__(app, **options)
        self._file: Any = _PatientFile(self._file)
        self.exit_event = _UntilGone(self.fileno)
