"""Reader of `metrics.jsonl`, and running median."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, get_args

from transformer_playground.files import open_regular
from transformer_playground.jsonvalues import LARGEST
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.jsonl import Row, parse_lines

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


_T = TypeVar("_T")

Axis = Literal["step", "tokens", "time"]
"""Horizontal axes of curves."""
AXES: tuple[Axis, ...] = get_args(Axis)

# Events with one valid row per step.
MEASUREMENTS = ("train", "eval", "checkpoint")
# Larger integers are not exact in float64.
_MAX_STEP = 1 << 53
_READ_BLOCK = 1 << 18
_FINGERPRINT = 256


def is_metrics_row(row: Row) -> bool:
    """Whether a row has a valid event and step."""
    step = row.get("step")
    # Exact types: this runs for every row of every file.
    return type(step) is int and -_MAX_STEP < step < _MAX_STEP and type(row.get("event")) is str


@dataclass(frozen=True)
class Poll:
    """Rows read since the last call, in file order.

    Attributes:
        reset: The file shrank or was replaced: discard all earlier rows first.
    """

    rows: list[Row]
    reset: bool


@dataclass(frozen=True)
class FileOffset:
    """How far a file was read, so that a later reader can continue there.

    Attributes:
        offset: Bytes read, all in complete lines.
        last_bytes: The bytes before `offset`, in hexadecimal.
    """

    offset: int = 0
    inode: int | None = None
    last_bytes: str = ""


class MetricsReader:
    """Incremental reader of a growing metrics file.

    Args:
        path: The file; it need not exist yet.
        start: Where an earlier reader of this file stopped.
        accept: Filter of rows.
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
        """Read the rows added since the last call; an unreadable file is empty."""
        rows: list[Row] = []
        reset = False
        for part in self.blocks():
            if part.reset:
                rows, reset = [], True
            rows += part.rows
        return Poll(rows, reset)

    def blocks(self, end: int | None = None) -> Iterator[Poll]:
        """`poll` in blocks of bounded size, up to the offset `end` of a row."""
        try:
            with open_regular(self._path, buffering=0) as file:
                descriptor = file.fileno()
                state = os.fstat(descriptor)
                if self._was_replaced(descriptor, state):
                    self._position = FileOffset()
                    yield Poll([], reset=True)
                size = state.st_size if end is None else min(state.st_size, end)
                for rows in self._read_blocks(descriptor, state.st_ino, size):
                    yield Poll(rows, reset=False)
        except OSError:
            had_rows = self._position.offset > 0
            self._position = FileOffset()
            yield Poll([], had_rows)

    def _read_blocks(self, descriptor: int, inode: int, size: int) -> Iterator[list[Row]]:
        torn: list[bytes] = []
        offset = self._position.offset
        # A buffer of the size asked for is allocated whole, however little is read.
        while block := os.pread(descriptor, min(_READ_BLOCK, size - offset), offset):
            offset += len(block)
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

    def _was_replaced(self, descriptor: int, state: os.stat_result) -> bool:
        known = self._position
        if known.offset == 0:
            return False
        if state.st_ino != known.inode or state.st_size < known.offset:
            return True
        length = len(known.last_bytes) // 2
        return os.pread(descriptor, length, known.offset - length).hex() != known.last_bytes


def read_raw_rows(path: Path, accept: Callable[[Row], bool] = is_metrics_row) -> list[Row]:
    """All accepted rows, superseded ones included; none if the file is missing."""
    return MetricsReader(path, accept=accept).poll().rows


def tail_offset(path: Path, size: int) -> FileOffset:
    """Where the last `size` bytes of a file begin, at the start of a line; its start if unreadable.

    A reader that starts there reads only the newest rows.
    """
    try:
        with open_regular(path, buffering=0) as file:
            state = os.fstat(file.fileno())
            first = state.st_size - size
            if first <= 0:
                return FileOffset()
            # The line that begins exactly there is whole, too.
            head, newline, _ = os.pread(file.fileno(), size, first - 1).partition(b"\n")
            start = first + len(head) if newline else state.st_size
            return FileOffset(start, state.st_ino)
    except OSError:
        return FileOffset()


def is_sample_row(row: Row) -> bool:
    """Whether a row of `samples.jsonl` is a sample or a resume, with a valid step."""
    is_sample = isinstance(row.get("text"), str) or row.get("event") == "resume"
    return is_sample and is_metrics_row({"event": "sample", **row})


class SampleHistory(Generic[_T]):
    """Samples in file order, without those that a resume superseded.

    A resume discards the earlier samples of later steps, and the first sample after it those of its
    own step, which it repeats. Files of older versions have no resume rows: there, a step lower
    than the one before begins a new session. Clocks play no part, since they can be set back.

    Args:
        most: How many samples to keep, the newest ones; None = all.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._kept: list[tuple[int, _T]] = []
        # How many of the kept ones come from earlier sessions; their steps never decrease.
        self._earlier = 0

    @property
    def samples(self) -> tuple[_T, ...]:
        """What was added and not superseded."""
        return tuple(sample for _, sample in self._kept)

    def resume(self, step: int) -> None:
        """Begin a session at a step."""
        self._earlier = len(self._kept)
        self._discard_from(step + 1)

    def add(self, step: int, sample: _T) -> None:
        """Add the next sample of the file."""
        if self._kept and step < self._kept[-1][0]:
            self._earlier = len(self._kept)
        self._discard_from(step)
        self._kept.append((step, sample))
        if self._most is not None and len(self._kept) > self._most:
            del self._kept[0]
            self._earlier = max(0, self._earlier - 1)

    def clear(self) -> None:
        """Forget all samples."""
        self._kept.clear()
        self._earlier = 0

    def _discard_from(self, step: int) -> None:
        first = self._earlier
        while first and self._kept[first - 1][0] >= step:
            first -= 1
        del self._kept[first : self._earlier]
        self._earlier = first


def read_samples(run: RunFolder) -> list[dict[str, Any]]:
    """Rows of `samples.jsonl` without superseded ones; none if the file is missing."""
    history: SampleHistory[Row] = SampleHistory()
    for row in read_raw_rows(run.samples_path, accept=is_sample_row):
        if row.get("event") == "resume":
            history.resume(row["step"])
        else:
            history.add(row["step"], row)
    return list(history.samples)


# On each side of the median: the median survives as many consecutive values on one side of it.
_KEPT = 100


@dataclass(frozen=True)
class RunningMedian:
    """Exact median of a growing set of numbers; only values near the median are kept.

    Attributes:
        below: Count of values lower than the kept ones, or equal to the lowest.
        kept: Values around the median, sorted.
        above: Count of values higher than the kept ones, or equal to the highest.
    """

    below: int = 0
    kept: tuple[float, ...] = ()
    above: int = 0

    @property
    def median(self) -> float | None:
        """The exact median; None without values, or if it is not among the kept ones."""
        count = self.below + len(self.kept) + self.above
        low, high = (count - 1) // 2 - self.below, count // 2 - self.below
        if low < 0 or high >= len(self.kept):
            return None
        return (self.kept[low] + self.kept[high]) / 2

    @property
    def has_lost_median(self) -> bool:
        """Whether the median must be recomputed from all values."""
        return self.median is None and self != RunningMedian()

    def with_more(self, values: "ArrayLike", kept: int = _KEPT) -> "RunningMedian":
        """Add values in any order; NaN and infinities are ignored. Requires the median.

        Args:
            kept: How many values to keep on each side of the median.
        """
        # Late: run lists read medians without adding to them and do not need numpy.
        import numpy as np

        added = np.asarray(values, dtype=np.float64)
        added = added[np.abs(added) < LARGEST]
        lowest = self.kept[0] if self.below else -LARGEST
        highest = self.kept[-1] if self.above else LARGEST
        known = np.append(self.kept, added[(added >= lowest) & (added <= highest)])
        below = self.below + int(np.count_nonzero(added < lowest))
        above = self.above + int(np.count_nonzero(added > highest))
        middle = (below + len(known) + above) // 2 - below
        start = min(max(0, middle - kept), len(known))
        stop = min(max(start, middle + kept), len(known))
        if start < stop:
            # Sorting all values of a long run would dominate the time of a summary.
            known.partition([start, stop - 1])
        around = tuple(np.sort(known[start:stop]).tolist())
        return RunningMedian(below + start, around, above + len(known) - stop)
