"""Console output: results to standard output, all other messages to standard error."""

import io
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_playground.errors import PlaygroundError, UsageError
from transformer_playground.jsonvalues import ascii_json
from transformer_playground.terminal import visible

if TYPE_CHECKING:
    from transformer_playground.tables import Column

INTERRUPTED = 128 + signal.SIGINT


def say(text: str) -> None:
    """Print a result, with control characters made visible."""
    sys.stdout.write(visible(text) + "\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """Print one JSON document on one line of printable ASCII."""
    sys.stdout.write(ascii_json(value) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print something about the work, not its result; one that cannot be written is dropped."""
    try:
        sys.stderr.write(visible(text) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        raise
    except OSError:
        pass


def print_table(columns: "Sequence[Column]") -> None:
    """Print a table, cut to the terminal's width or whole if piped."""
    from transformer_playground.tables import table_lines

    width = shutil.get_terminal_size().columns if is_terminal() else None
    for line in table_lines(columns, width):
        say(line)


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def run_command(command: Callable[[], int]) -> int:
    """Run a command and return its exit code.

    `PlaygroundError` and OSError print a message; Ctrl-C exits with 130; a closed pipe
    (`tp runs | head`) is not an error.
    """
    is_closed = sys.stdout is None
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the terminal's encoding lacks is shown by its code instead of ending the command.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        if is_closed:
            raise UsageError(
                "Standard output is closed, so nothing was done.",
                "Leave it open, or send it to a file or to /dev/null.",
            )
        code = command()
        sys.stdout.flush()
        return code
    except PlaygroundError as error:
        note(f"error: {error.message}")
        if error.hint:
            note(error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        note("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return 0
    except OSError as error:
        note(f"error: {error}.")
        _discard_output()
        return 1


def _open_closed_streams() -> None:
    """Connect closed standard streams to the null device.

    Otherwise a file opened later gets the number of a closed stream, and what a library prints is
    written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number: those below were opened before.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115


def _discard_output() -> None:
    # Python flushes standard output again at exit, which would raise once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
