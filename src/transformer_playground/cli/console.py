"""How commands speak: results to standard output, everything else to standard error."""

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from transformer_playground.errors import PlaygroundError
from transformer_playground.terminal import visible

INTERRUPTED = 128 + signal.SIGINT


def say(text: str) -> None:
    """Print a result, with control characters made visible."""
    sys.stdout.write(visible(text) + "\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """Print one JSON document on one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True, allow_nan=False) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print something about the work, not its result."""
    sys.stderr.write(visible(text) + "\n")
    sys.stderr.flush()


def run_command(command: Callable[[], int]) -> int:
    """Run a command and turn the ends it may come to into exit codes.

    A `PlaygroundError` becomes its sentence; Ctrl-C becomes 130; a closed pipe (`tp runs | head`)
    is the reader's choice and no error.
    """
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
        # Python flushes standard output once more at exit and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
