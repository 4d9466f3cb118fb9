"""Read `metrics.jsonl`, which only ever grows, and tell which rows a resume has superseded."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.jsonl import Row, parse_lines

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
class FileOffset:
    """How far a file was read, for a later reader to continue from there.

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
        start: Where an earlier reader of this file stopped.
        accept: Which rows count: another file of rows has other ones.
    """

    def __init__(
        self,
        path: Path,
        start: FileOffset | None = None,
        accept: Callable[[Row], bool] = is_metrics_row,
    ) -> None:
        self._path = path
        self._position = start or FileOffset()
        self._accept = accept

    @property
    def position(self) -> FileOffset:
        """How far this reader has read."""
        return self._position

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
                    self._position = FileOffset()
                    yield Poll([], reset=True)
                file.seek(self._position.offset)
                for rows in self._read_blocks(file):
                    yield Poll(rows, reset=False)
        except OSError:
            had_rows = self._position.offset > 0
            self._position = FileOffset()
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
            end = self._position.offset + len(lines)
            last = (self._position.last_bytes + lines[-_FINGERPRINT:].hex())[-2 * _FINGERPRINT :]
            self._position = FileOffset(end, inode, last)
            yield [row for row in parse_lines(lines) if self._accept(row)]

    def _was_replaced(self, descriptor: int) -> bool:
        known = self._position
        if known.offset == 0:
            return False
        state = os.fstat(descriptor)
        if state.st_ino != known.inode or state.st_size < known.offset:
            return True
        length = len(known.last_bytes) // 2
        return os.pread(descriptor, length, known.offset - length).hex() != known.last_bytes


def read_raw_rows(path: Path, accept: Callable[[Row], bool] = is_metrics_row) -> list[Row]:
    """Every whole row that counts, superseded ones included; an absent file has none."""
    return MetricsReader(path, accept=accept).poll().rows


@dataclass(frozen=True)
class TrainingClock:
    """Seconds spent training; the time between a stop and a resume, or in a pause, is left out.

    Attributes:
        total: Seconds in stretches that are over.
        begin: When the present stretch began, seconds since 1970; None before any row has a time.
        end: Time of its newest row.
    """

    total: float = 0.0
    begin: float | None = None
    end: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds up to the newest row."""
        if self.begin is None or self.end is None:
            return self.total
        # A clock that was set back must not make a run shorter.
        return self.total + max(0.0, self.end - self.begin)


def is_superseded(sample: Row, resumes: Iterable[tuple[float, float]]) -> bool:
    """Whether the run went back before a sample and draws it again.

    Args:
        sample: A row of `samples.jsonl`.
        resumes: Step and time of each resume of the run.
    """
    step, time = sample.get("step"), sample.get("time")
    if not isinstance(step, int | float) or not isinstance(time, int | float):
        return False
    return any(step > back_to and time <= at for back_to, at in resumes)


def read_samples(
    run: RunFolder, resumes: Sequence[tuple[float, float]] | None = None
) -> list[dict[str, Any]]:
    """Every whole row of `samples.jsonl` that no resume superseded; an absent file has none.

    Args:
        run: The run.
        resumes: Step and time of each resume; None = as `metrics.jsonl` says.
    """
    rows = read_raw_rows(run.samples_path, accept=bool)
    if resumes is None and rows:
        found = read_raw_rows(run.metrics_path, accept=_is_resume)
        resumes = [(row["step"], row["time"]) for row in found]
    return [row for row in rows if not is_superseded(row, resumes or ())]


def _is_resume(row: Row) -> bool:
    is_timed = isinstance(row.get("time"), int | float)
    return row.get("event") == "resume" and is_timed and is_metrics_row(row)
