"""Read `metrics.jsonl`, which only ever grows, and tell which of its rows still hold."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from transformer_playground.runs.lines import Row, parse_lines

# Events of which one row a step holds.
MEASUREMENTS = ("train", "eval", "checkpoint")
# Beyond this a step is no step, and no float64 either.
_STEPS = 1 << 53
_READ_BLOCK = 1 << 20
_FINGERPRINT = 256


def is_metrics_row(row: Row) -> bool:
    """Whether a row has what each row of `metrics.jsonl` has: an event and a step."""
    step = row.get("step")
    return isinstance(row.get("event"), str) and type(step) is int and abs(step) < _STEPS


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
            is_measurement = event in MEASUREMENTS
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


@dataclass(frozen=True)
class Mark:
    """How far a file was read, for a later reader to go on from there.

    Attributes:
        offset: Bytes read, all of them whole lines.
        inode: The file's.
        last_bytes: The bytes before `offset`, as hexadecimal digits.
    """

    offset: int = 0
    inode: int | None = None
    last_bytes: str = ""


class MetricsReader:
    """Follows a growing metrics file, reading each byte once.

    Args:
        path: The file; it need not exist yet.
        mark: Where an earlier reader of this file stopped.
        accept: Which rows count: another file of rows has other ones.
    """

    def __init__(
        self,
        path: Path,
        mark: Mark | None = None,
        accept: Callable[[Row], bool] = is_metrics_row,
    ) -> None:
        self._path = path
        self._mark = mark or Mark()
        self._accept = accept

    @property
    def mark(self) -> Mark:
        """Where this reader stands."""
        return self._mark

    def poll(self) -> Poll:
        """Read the rows added since the last call; an unreadable file counts as empty."""
        rows: list[Row] = []
        reset = False
        for part in self.blocks():
            if part.reset:
                rows, reset = [], True
            rows += part.rows
        return Poll(rows, reset)

    def blocks(self) -> Iterator[Poll]:
        """`poll` in parts of bounded size, so that a large file need not fit into memory."""
        try:
            with self._path.open("rb") as file:
                if self._was_replaced(file.fileno()):
                    self._mark = Mark()
                    yield Poll([], reset=True)
                file.seek(self._mark.offset)
                for rows in self._read_blocks(file):
                    yield Poll(rows, reset=False)
        except OSError:
            had_rows = self._mark.offset > 0
            self._mark = Mark()
            yield Poll([], had_rows)

    def _read_blocks(self, file: IO[bytes]) -> Iterator[list[Row]]:
        inode = os.fstat(file.fileno()).st_ino
        torn: list[bytes] = []
        while block := file.read(_READ_BLOCK):
            whole, newline, rest = block.rpartition(b"\n")
            if not newline:
                torn.append(block)
                continue
            lines = b"".join([*torn, whole, newline])
            torn = [rest]
            end = self._mark.offset + len(lines)
            last = (self._mark.last_bytes + lines[-_FINGERPRINT:].hex())[-2 * _FINGERPRINT :]
            self._mark = Mark(end, inode, last)
            yield [row for row in parse_lines(lines) if self._accept(row)]

    def _was_replaced(self, descriptor: int) -> bool:
        mark = self._mark
        if mark.offset == 0:
            return False
        state = os.fstat(descriptor)
        if state.st_ino != mark.inode or state.st_size < mark.offset:
            return True
        length = len(mark.last_bytes) // 2
        return os.pread(descriptor, length, mark.offset - length).hex() != mark.last_bytes


def read_raw_rows(path: Path) -> list[Row]:
    """Every whole row of a metrics file, superseded ones included; an absent file has none."""
    return MetricsReader(path).poll().rows


def read_rows(path: Path) -> list[Row]:
    """The rows of a metrics file that still hold (see `Timeline`); an absent file has none."""
    timeline = Timeline()
    timeline.extend(read_raw_rows(path))
    return timeline.rows
