"""A `tp` command in a process of its own, so that the console neither loads torch nor waits."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_RUN_TP = "from transformer_playground.cli.main import run; run()"
_ERROR = "error: "
# Seconds between the request to stop and the end of a process that does not heed it.
_GRACE_SECONDS = 5.0


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Exit code; negative for the number of a signal.
        output: Standard output.
        notes: Lines of standard error that are not empty.
    """

    code: int
    output: str
    notes: tuple[str, ...]

    @property
    def has_error(self) -> bool:
        """Whether the command has printed an error message."""
        return any(line.startswith(_ERROR) for line in self.notes)

    @property
    def problem(self) -> str:
        """The error message; otherwise the signal or the last line; empty if there is none."""
        errors = [line.removeprefix(_ERROR) for line in self.notes if line.startswith(_ERROR)]
        if errors:
            return errors[-1]
        if self.code < 0:
            return f"The process was ended by {_signal_name(-self.code)}."
        return self.notes[-1] if self.notes else ""

    @property
    def hint(self) -> str:
        """What the command says after its error message: how to fix it."""
        places = [place for place, line in enumerate(self.notes) if line.startswith(_ERROR)]
        return " ".join(self.notes[places[-1] + 1 :]) if places else ""


def tp_command(arguments: Sequence[str]) -> list[str]:
    """The program and its arguments that run a `tp` command; `arguments` are those after `tp`."""
    # Without -P a file of the working folder could take the place of a library.
    return [sys.executable, "-P", "-c", _RUN_TP, *arguments]


class TpProcess:
    """One `tp` command; another thread may stop it.

    Args:
        arguments: Those after `tp`.
        threads: Number of CPU threads for computing; None = the default.
    """

    def __init__(self, arguments: Sequence[str], *, threads: int | None = None) -> None:
        self._command = tp_command(arguments)
        self._threads = threads
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self.is_stopped = False

    def run(self, on_note: Callable[[str], object] = lambda _: None) -> Ended | None:
        """Run the command to its end; None if it was stopped before it began.

        Args:
            on_note: Called with each line of standard error as it is written.

        Raises:
            OSError: No process can be started.
        """
        notes: list[str] = []
        # A file instead of a second pipe: one that nobody reads would block the command.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
            process = self._start(output.fileno())
            if process is None:
                return None
            with process:
                assert process.stderr is not None
                for line in process.stderr:
                    if text := line.strip():
                        notes.append(text)
                        on_note(text)
            output.seek(0)
            return Ended(process.returncode, output.read(), tuple(notes))

    def _start(self, output: int) -> subprocess.Popen[str] | None:
        environ = None if self._threads is None else {"OMP_NUM_THREADS": str(self._threads)}
        with self._lock:
            if self.is_stopped:
                return None
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=environ and {**os.environ, **environ},
            )
            return self._process

    def interrupt(self) -> None:
        """Ask the command to clean up and end, as Ctrl-C does; one that does not is killed."""
        if self._send(signal.SIGINT):
            timer = threading.Timer(_GRACE_SECONDS, self.kill)
            # The console need not wait for it.
            timer.daemon = True
            timer.start()

    def kill(self) -> None:
        """End the process at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> bool:
        """Send a signal; return whether there is a process that gets it."""
        with self._lock:
            self.is_stopped = True
            if self._process is None or self._process.poll() is not None:
                return False
            self._process.send_signal(number)
            return True


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
