"""How commands speak: results to standard output, everything else to standard error."""

import io
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from transformer_playground.errors import PlaygroundError
from transformer_playground.tables import Column, table_lines
from transformer_playground.terminal import visible

INTERRUPTED = 128 + signal.SIGINT


def say(text: str) -> None:
    """Print a result, with control characters made visible."""
    sys.stdout.write(visible(text) + "\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """Print one JSON document on one line, of printable ASCII only."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    # JSON leaves DEL as it is, and nothing else that a terminal obeys.
    sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print something about the work, not its result."""
    sys.stderr.write(visible(text) + "\n")
    sys.stderr.flush()


def print_table(columns: Sequence[Column]) -> None:
    """Print a table; at a terminal so that each row is one line, elsewhere in full."""
    width = shutil.get_terminal_size().columns if is_terminal() else None
    for line in table_lines(columns, width):
        say(line)


def is_terminal() -> bool:
    """Whether a person watches standard output."""
    return sys.stdout.isatty()


def run_command(command: Callable[[], int]) -> int:
    """Run a command and turn the ends it may come to into exit codes.

    A `PlaygroundError` becomes its sentence, and so does a disk that refuses; Ctrl-C becomes 130;
    a closed pipe (`tp runs | head`) is the reader's choice and no error.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What the terminal's encoding lacks is shown by its code instead of ending the command.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
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


def _discard_output() -> None:
    # Python flushes standard output once more at exit and would complain there.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
