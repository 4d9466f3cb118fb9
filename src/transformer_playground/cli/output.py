"""Console output: results to standard output, all other messages to standard error."""

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
    """Print one JSON document on one line of printable ASCII."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    # DEL is the only control character that json.dumps leaves unescaped.
    sys.stdout.write(text.replace("\x7f", "\\u007f") + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print a message to standard error, with control characters made visible."""
    sys.stderr.write(visible(text) + "\n")
    sys.stderr.flush()


def print_table(columns: Sequence[Column]) -> None:
    """Print a table, cut to the terminal's width or whole if piped."""
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
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Characters that the terminal's encoding lacks must not end the command.
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
    # Python flushes standard output again at exit, which would raise once more.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
