"""A command at a terminal of its own."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

from builders.commands import PATIENCE_SECONDS, TP, Project


class AtTerminal:
    """A `tp` command whose three streams are a terminal, while it runs.

    Args:
        project: In whose folder it runs.
        words: The command.
        columns: Width of the terminal.
        program: `tp`, or another program.
        config: The user's config folder, instead of the real one.
    """

    def __init__(
        self,
        project: Project,
        *words: str,
        columns: int = 80,
        program: Path = TP,
        config: Path | None = None,
    ) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._child = subprocess.Popen(
            [str(program), *words],
            cwd=project.root,
            # A size in the environment would win over the terminal's own.
            env={key: os.environ[key] for key in os.environ.keys() - {"COLUMNS", "LINES"}}
            | {"TERM": "xterm-256color"}
            | ({"TRANSFORMER_PLAYGROUND_CONFIG_DIR": str(config)} if config else {}),
            # Of its own session, as at a real terminal: its window can close.
            start_new_session=True,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._output = b""

    @property
    def output(self) -> str:
        """What it has written so far, with the terminal's line ends."""
        # The last character may have come in part only.
        return self._output.decode(errors="replace")

    def read_until(self, size: int, *, after: str) -> None:
        """Wait until so many characters have come after the first `after`."""
        while len(self.output.partition(after)[2]) < size:
            if not self._read():
                raise AssertionError(f"it ended too early: {self.output}")

    def type(self, text: str) -> None:
        """Type on its keyboard."""
        os.write(self._ours, text.encode())

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self._child.send_signal(signal.SIGINT)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._child.send_signal(number)

    def wait_until_stopped(self) -> None:
        """Wait until a signal has stopped it, reading what it writes before."""
        state = Path(f"/proc/{self._child.pid}/stat")
        while state.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "T":
            self.read_what_is_there()

    def close_window(self, *, is_told: bool = True) -> None:
        """Do what closing a terminal's window does: a hangup, and nobody there any more.

        Args:
            is_told: Whether the system says so by a signal; it does in a session of its own only.
        """
        os.close(self._ours)
        if is_told:
            self._child.send_signal(signal.SIGHUP)

    def wait_for_end(self) -> int:
        """Exit code of a command whose window is closed."""
        return self._child.wait(PATIENCE_SECONDS)

    def read_what_is_there(self) -> None:
        """Take what it writes within a tenth of a second."""
        if select.select([self._ours], [], [], 0.1)[0]:
            self._read()

    def read_while(self, condition: Callable[[], bool]) -> None:
        """Take what it writes as long as the condition holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while condition():
            assert time.monotonic() < deadline, self.output
            self.read_what_is_there()

    def wait(self) -> tuple[int, str]:
        """Exit code and raw output, once it has ended."""
        while self._read():
            pass
        os.close(self._ours)
        return self._child.wait(PATIENCE_SECONDS), self.output

    def _read(self) -> bool:
        try:
            chunk = os.read(self._ours, 1 << 16)
        except OSError:
            # Linux reports the end of a terminal as an error.
            return False
        self._output += chunk
        return bool(chunk)
