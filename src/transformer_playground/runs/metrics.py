"""Read and write `metrics.jsonl`: append-only, one JSON object a line, a line is a whole row.

A line without its newline is torn: readers leave it alone, the next writer repairs it.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from transformer_playground.errors import RunError

Row = dict[str, Any]

_TAIL_BLOCK = 1 << 16
_READ_BLOCK = 1 << 22
_FINGERPRINT = 256
# Python writes NaN and Infinity, which are not JSON; files from elsewhere may hold them.
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)


class JsonLines:
    """Appends rows to a file, each in one write, so that a reader never sees half a row in between.

    Args:
        path: The file; made when missing, its torn last line repaired.

    Raises:
        RunError: The disk refused.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._end = _repair_tail(self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            raise self._refused(error) from error

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row; NaN and infinities become null.

        Raises:
            RunError: The disk refused; the file ends with the row before.
        """
        data = encode_row(row)
        try:
            if os.fstat(self._descriptor).st_size != self._end:
                self._end = _repair_tail(self._descriptor)
            written = 0
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            self._cut_back()
            raise self._refused(error) from error
        self._end += len(data)

    def sync(self) -> None:
        """Wait until every row is on the disk.

        Raises:
            RunError: The disk refused.
        """
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        """Close the file; further calls do nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cut_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self._end)
        except OSError:
            # The size now differs from what was written, so the next append repairs the tail.
            return

    def _refused(self, error: OSError) -> RunError:
        return RunError(
            f"{self._path} could not be written: {error.strerror}.",
            "Free some disk space or check the folder's permissions, then resume the run.",
        )


def encode_row(row: Mapping[str, Any]) -> bytes:
    """One row as a line of pure ASCII JSON with its newline."""
    try:
        text = json.dumps(row, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(row), allow_nan=False)
    return text.encode("ascii") + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _repair_tail(descriptor: int) -> int:
    """Finish a last line that lacks only its newline or cut off a torn one; return the size."""
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


def _parse_object(line: bytes) -> Row | None:
    try:
        value = _DECODER.decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def parse_lines(data: bytes) -> list[Row]:
    """Every line of `data` that is a JSON object; anything else is left out."""
    lines = data.split(b"\n")
    # One call for the whole block is several times faster; damaged lines need one call each.
    rows: list[Row]
    try:
        rows = _DECODER.decode(f"[{b','.join(line for line in lines if line).decode('utf-8')}]")
    except (ValueError, RecursionError):
        rows = []
    if len(rows) == sum(1 for line in lines if line) and all(type(row) is dict for row in rows):
        return rows
    return [row for line in lines if line and (row := _parse_object(line)) is not None]


def is_metrics_row(row: Row) -> bool:
    """Whether a row has what each row of `metrics.jsonl` has: an event and a step."""
    return isinstance(row.get("event"), str) and type(row.get("step")) is int


class Timeline:
    """The rows that still hold after every resume.

    A `resume` row at step N drops the rows after N, for training went back there; only earlier
    `resume` rows stay. Of two measurements with the same event and step the later holds.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int, int], Row] = {}
        self._count = 0

    def extend(self, rows: Iterable[Row]) -> None:
        """Take in further rows in file order."""
        for row in rows:
            event, step = row["event"], row["step"]
            if event == "resume":
                self._rows = {
                    key: kept
                    for key, kept in self._rows.items()
                    if key[1] <= step or key[0] == "resume"
                }
            self._count += 1
            is_measurement = event in ("train", "eval", "checkpoint")
            self._rows[(event, step, 0 if is_measurement else self._count)] = row

    @property
    def rows(self) -> list[Row]:
        """The rows in order."""
        return list(self._rows.values())


@dataclass(frozen=True)
class Poll:
    """What a reader found since the last call.

    Attributes:
        rows: New whole rows in file order, `resume` rows included.
        reset: The file shrank or was replaced: forget all earlier rows before taking these.
    """

    rows: list[Row]
    reset: bool


class MetricsReader:
    """Follows a growing metrics file, reading each byte once.

    Args:
        path: The file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._file_id: tuple[int, int] | None = None
        self._last_bytes = b""

    def poll(self) -> Poll:
        """Read the rows added since the last call; an unreadable file counts as empty."""
        try:
            with self._path.open("rb") as file:
                reset = self._was_replaced(file.fileno())
                if reset:
                    self._offset = 0
                file.seek(self._offset)
                rows = [row for row in self._read_lines(file) if is_metrics_row(row)]
        except OSError:
            return self._forget()
        return Poll(rows, reset)

    def _read_lines(self, file: IO[bytes]) -> Iterator[Row]:
        torn = b""
        while block := file.read(_READ_BLOCK):
            whole, newline, rest = block.rpartition(b"\n")
            if not newline:
                torn += block
                continue
            lines = torn + whole + newline
            torn = rest
            self._offset += len(lines)
            self._last_bytes = lines[-_FINGERPRINT:]
            yield from parse_lines(lines)

    def _was_replaced(self, descriptor: int) -> bool:
        state = os.fstat(descriptor)
        previous, self._file_id = self._file_id, (state.st_dev, state.st_ino)
        if self._offset == 0:
            return False
        if self._file_id != previous or state.st_size < self._offset:
            return True
        length = len(self._last_bytes)
        return os.pread(descriptor, length, self._offset - length) != self._last_bytes

    def _forget(self) -> Poll:
        had_rows = self._offset > 0
        self._offset, self._file_id, self._last_bytes = 0, None, b""
        return Poll([], had_rows)


def read_raw_rows(path: Path) -> list[Row]:
    """Every whole row of a metrics file, superseded ones included; an absent file has none."""
    return MetricsReader(path).poll().rows


def read_rows(path: Path) -> list[Row]:
    """The rows of a metrics file that still hold (see `Timeline`); an absent file has none."""
    timeline = Timeline()
    timeline.extend(read_raw_rows(path))
    return timeline.rows
