"""Terminal driver that survives a lost terminal: a closed window, a dropped connection."""

import contextlib
import os
import select
import signal
import threading
from typing import IO, TYPE_CHECKING, Any

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from textual.app import App


class _TolerantFile:
    """File that ignores write errors, so that Textual's writer thread survives a lost terminal.

    If the thread died, the console would wait for it forever while it saves a run in training.
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


class _HangupEvent(threading.Event):
    """Event that stops Textual's input thread, set by a hangup of the terminal too.

    Textual itself keeps reading from a lost terminal.
    """

    def __init__(self, fileno: int) -> None:
        super().__init__()
        self._poll = select.poll()
        # A hangup is reported whatever events are polled.
        self._poll.register(fileno, 0)

    def is_set(self) -> bool:
        """Whether to stop; the input thread calls this before each read."""
        if not super().is_set() and self._poll.poll(0):
            self.set()
            # The system sends SIGHUP only to the session that owns the terminal.
            os.kill(os.getpid(), signal.SIGHUP)
        return super().is_set()


class TerminalDriver(LinuxDriver):
    """Textual's driver, which outlives its terminal until the console has saved and exited."""

    def __init__(self, app: "App[Any]", **options: Any) -> None:
        super().__init__(app, **options)
        self._file: Any = _TolerantFile(self._file)
        self.exit_event = _HangupEvent(self.fileno)
