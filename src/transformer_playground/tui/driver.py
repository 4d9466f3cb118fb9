"""Terminal driver that survives a lost terminal (closed window, lost connection) and a suspend."""

import asyncio
import contextlib
import os
import select
import signal
import termios
import threading
from typing import IO, TYPE_CHECKING, Any

from textual import events
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size

if TYPE_CHECKING:
    from textual.app import App
# How often a console in the background looks whether it is in the foreground again.
_FOREGROUND_SECONDS = 0.25


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

    Textual itself keeps reading from a lost terminal. Several threads ask: the input thread before
    each read, and the main thread when it suspends the console.
    """

    def __init__(self, fileno: int) -> None:
        super().__init__()
        self._fileno = fileno

    def is_set(self) -> bool:
        """Whether to stop."""
        if not super().is_set() and self._has_hung_up():
            self.set()
            # The system sends SIGHUP only to the session that owns the terminal.
            os.kill(os.getpid(), signal.SIGHUP)
        return super().is_set()

    def _has_hung_up(self) -> bool:
        # A poll object must not be shared: two polls at a time are an error.
        poll = select.poll()
        # A hangup is reported whatever events are polled.
        poll.register(self._fileno, 0)
        return bool(poll.poll(0))


class TerminalDriver(LinuxDriver):
    """Textual's driver, which outlives its terminal, and can be suspended at any moment.

    Textual's own signal handlers interrupt the main thread anywhere, for example while it holds the
    lock of the output queue, and start a second pair of threads after a SIGSTOP. Here the event
    loop handles these signals, between two of its callbacks.
    """

    def __init__(self, app: "App[Any]", **options: Any) -> None:
        super().__init__(app, **options)
        self._file: Any = _TolerantFile(self._file)
        self.exit_event = _HangupEvent(self.fileno)
        self._is_drawing = False
        self._is_suspended = False
        self._raw_mode: list[Any] | None = None
        self._foreground_check: asyncio.TimerHandle | None = None

    def start_application_mode(self) -> None:
        """Take over the terminal."""
        loop = asyncio.get_running_loop()
        # Only the main thread of a process may handle signals.
        with contextlib.suppress(ValueError, RuntimeError):
            loop.add_signal_handler(signal.SIGTSTP, self._suspend)
            loop.add_signal_handler(signal.SIGCONT, self._continue)
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self._is_drawing = True
        with contextlib.suppress(termios.error):
            self._raw_mode = termios.tcgetattr(self.fileno)

    def stop_application_mode(self) -> None:
        """Give the terminal back."""
        super().stop_application_mode()
        self._is_drawing = False

    def write(self, data: str) -> None:
        """Write to the terminal, unless the console is suspended."""
        # Without its thread, the output queue would fill and block the main thread for ever.
        if not self._is_suspended:
            super().write(data)

    def _suspend(self) -> None:
        """Give the terminal back and stop the process (Ctrl-Z, SIGTSTP)."""
        if self._is_drawing:
            self.suspend_application_mode()
            self._is_suspended = True
        os.kill(os.getpid(), signal.SIGSTOP)
        # Here the process has been continued.
        self._continue()

    def _continue(self) -> None:
        """Draw again, once the process is in the foreground."""
        if self._foreground_check is not None:
            self._foreground_check.cancel()
            self._foreground_check = None
        if not self._is_in_foreground():
            # `fg` sends no signal to a program that was continued by `bg`.
            loop = asyncio.get_running_loop()
            self._foreground_check = loop.call_later(_FOREGROUND_SECONDS, self._continue)
            return
        if self._is_suspended:
            self._is_suspended = False
            self._must_signal_resume = True
            self.resume_application_mode()
        elif self._is_drawing:
            # After a SIGSTOP nothing was given back, but the shell has used the terminal.
            self._take_back()
        else:
            return
        # The terminal may have another size now; the shell has written over what was drawn.
        size = Size(*self._get_terminal_size())
        self._app.post_message(events.Resize(size, size))
        self._app.call_later(self._app.refresh)

    def _take_back(self) -> None:
        if self._raw_mode is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self._raw_mode)
        # Alternate screen, no cursor, reports of focus.
        self.write("\x1b[?1049h\x1b[?25l\x1b[?1004h")
        self._enable_mouse_support()
        self._enable_bracketed_paste()
        self._disable_line_wrap()

    def _is_in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self.fileno) == os.getpgrp()
        except OSError:
            # Not the terminal of this session: no shell switches between its programs.
            return True
