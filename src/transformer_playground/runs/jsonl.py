"""JSON lines: writer and parser.

A last line without newline is torn: readers ignore it, the next writer repairs it.
"""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import orjson

from transformer_playground.errors import RunError, translate_os_errors
from transformer_playground.files import open_to_append
from transformer_playground.jsonvalues import to_jsonable

Row = dict[str, Any]

_TAIL_BLOCK = 1 << 16
# Files from other programs may contain NaN and Infinity, which are not JSON.
_LENIENT = json.JSONDecoder(parse_constant=lambda _: None)


class JsonlWriter:
    """Appends rows to a JSON lines file, each in one write.

    Args:
        path: Created if missing; a torn last line is repaired.

    Raises:
        RunError: OSError while opening or repairing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0
        with self._writing():
            self._descriptor = open_to_append(path)
            try:
                self._end = _repair_tail(self._descriptor)
            except OSError:
                os.close(self._descriptor)
                raise

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row; NaN and infinities become null.

        Raises:
            RunError: OSError while writing; the file then ends with the previous row.
        """
        data = encode_row(row)
        with self._writing():
            try:
                if os.fstat(self._descriptor).st_size != self._end:
                    self._end = _repair_tail(self._descriptor)
                written = 0
                while written < len(data):
                    written += os.write(self._descriptor, data[written:])
            except OSError:
                # If this fails, too, the next append sees that the size differs.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, self._end)
                raise
        self._end += len(data)

    def sync(self) -> None:
        """Flush all rows to disk (fsync).

        Raises:
            RunError: OSError while syncing.
        """
        with self._writing():
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        hint = "Free some disk space or check the folder's permissions, then resume the run."
        return translate_os_errors(RunError, f"{self._path} could not be written", hint)


def encode_row(row: Mapping[str, Any]) -> bytes:
    """One row as a line of ASCII JSON, including the newline."""
    try:
        text = json.dumps(row, allow_nan=False)
    except ValueError:
        text = json.dumps(to_jsonable(row), allow_nan=False)
    return text.encode("ascii") + b"\n"


def _repair_tail(descriptor: int) -> int:
    """Complete a last line that lacks only its newline, or cut off a torn one; return the size."""
    size = os.fstat(descriptor).st_size
    tail = b""
    start = size
    while start > 0 and b"\n" not in tail:
        length = min(_TAIL_BLOCK, start)
        start -= length
        tail = os.pread(descriptor, length, start) + tail
    torn = tail.rpartition(b"\n")[2]
    if not torn:
        return size
    if _parse_object(torn) is not None:
        os.write(descriptor, b"\n")
        return size + 1
    os.ftruncate(descriptor, size - len(torn))
    return size - len(torn)


def parse_lines(data: bytes) -> list[Row]:
    """Parse the lines that are JSON objects; other lines are skipped.

    NaN and infinities become None, integers beyond 64 bits floats.
    """
    lines = [line for line in data.split(b"\n") if line]
    try:
        values = list(map(orjson.loads, lines))
    except ValueError:
        return [row for line in lines if (row := _parse_object(line)) is not None]
    return [value for value in values if type(value) is dict]


def _parse_object(line: bytes) -> Row | None:
    try:
        value = orjson.loads(line)
    except ValueError:
        value = _parse_leniently(line)
    return value if isinstance(value, dict) else None


def _parse_leniently(line: bytes) -> Any:
    """Parse lines with NaN, infinities or lone surrogates, which orjson rejects."""
    try:
        return _LENIENT.decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
