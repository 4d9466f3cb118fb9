"""A command at a terminal of its own."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import termios

from builders.commands import PATIENCE_SECONDS, TP, Project


class AtTerminal:
    """A `tp` command whose three streams are a terminal, while it runs.

    Args:
        project: In whose folder it runs.
        words: The command.
        columns: Width of the terminal.
    """

    def __init__(self, project: Project, *words: str, columns: int = 80) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._child = subprocess.Popen(
            [str(TP), *words],
            cwd=project.root,
            # A size in the environment would win over the terminal's own.
            env={key: os.environ[key] for key in os.environ.keys() - {"COLUMNS", "LINES"}}
            | {"TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        self._output = b""

    @property
    def output(self) -> str:
        """What it has written so far, with the terminal's line ends."""
        return self._output.decode()

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
