"""Quantisation by llama.cpp's own program."""

import shutil
import subprocess
from pathlib import Path

from transformer_playground.errors import ExportError
from transformer_playground.terminal import visible_line

PROGRAM = "llama-quantize"
_SHOWN = 200


def find_quantizer(kind: str) -> str:
    """Path of the program.

    Raises:
        ExportError: It is not on PATH.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise ExportError(
            f"--quantize {kind} needs llama.cpp's {PROGRAM}, which is not on PATH.",
            "Install llama.cpp, or use --quantize q8_0, which needs no other program.",
        )
    return program


def quantize_file(source: Path, target: Path, kind: str) -> None:
    """Write a float32 file in one of `request.K_QUANTS`.

    Raises:
        ExportError: The program is missing or fails.
    """
    command = [find_quantizer(kind), str(source), str(target), kind.upper()]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True,
            errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise ExportError(f"{PROGRAM} cannot be run: {error.strerror or error}.") from error
    if done.returncode != 0 or not target.is_file():
        lines = [line.strip() for line in (done.stdout + done.stderr).split("\n") if line.strip()]
        reason = visible_line(lines[-1][-_SHOWN:].rstrip(".")) if lines else "no reason given"
        raise ExportError(f"{PROGRAM} failed: {reason}.", "Free some disk space, or use q8_0.")
