"""The ends of text files that may be large, damaged, gone or no files at all."""

import os
import stat
from pathlib import Path


def read_start(path: Path, size: int) -> str:
    """The first `size` bytes as text; empty if there are none to read."""
    return _read(path, size, from_end=False)


def read_last_lines(path: Path, count: int, size: int) -> list[str]:
    """The last whole lines, `count` at most, within the last `size` bytes."""
    lines = _read(path, size, from_end=True).splitlines()
    return lines[-count:]


def _read(path: Path, size: int, *, from_end: bool) -> str:
    try:
        # A pipe or a device of that name might never end.
        if not stat.S_ISREG(path.stat().st_mode):
            return ""
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            start = max(0, length - size) if from_end else 0
            file.seek(start)
            data = file.read(size)
    except OSError:
        return ""
    if start > 0:
        data = data[data.find(b"\n") + 1 :]
    return data.decode("utf-8", "replace")
