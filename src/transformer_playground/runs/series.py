"""Columns of a metrics file: read once, then kept up to date as the file grows."""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transformer_playground.jsonvalues import as_number
from transformer_playground.runs.clock import CLOCK_COLUMNS, TrainingClock, advance
from transformer_playground.runs.column_buffer import ColumnBuffer, FloatArray, columns_of
from transformer_playground.runs.jsonl import Row
from transformer_playground.runs.metrics import (
    MEASUREMENTS,
    Axis,
    FileOffset,
    MetricsReader,
    Poll,
    RunningMedian,
)
from transformer_playground.runs.thinning import Buckets, ThinnedRowsError, Thinning

PROGRESS = ("train", "eval", "checkpoint", "status")
"""Events whose step counts as training progress."""

_ELAPSED = "\0elapsed"
_MAX_EVENTS = 32


@dataclass(frozen=True)
class Curve:
    """A metric along an axis; both arrays are read-only and unaffected by later polls.

    Attributes:
        x: Steps, tokens or seconds, in order of step.
        y: Values; NaN for null and non-finite numbers.
        buckets: Of thinned rows, whose points come first: two for each bucket, at its first and
            last row, with its lowest and highest value in the order in which they occurred.
    """

    x: FloatArray
    y: FloatArray
    buckets: Buckets | None = None

    def scaled(self, factor: float) -> "Curve":
        """The curve with its values multiplied."""
        buckets = self.buckets.scaled(factor) if self.buckets else None
        return Curve(self.x, self.y * factor, buckets)


class RunSeries:
    """Valid rows of a metrics file as columns of numbers, read incrementally.

    A resume drops rows after its step, except earlier resumes. Of two measurements with the same
    event and step the later one is kept. Rows of an event are sorted by step.

    Args:
        path: The file; it need not exist yet.
        start: Where an earlier reader stopped; only later rows are read.
        clock: The clock of that reader.
        listener: Called with each block of rows as it is read.
        thinning: How many train rows are kept, for the memory of a run that is followed for long;
            None = all. The summary stays exact. Requires a reading from the start of the file.

    Attributes:
        clock: Training time.
        last_status: The newest `status` row, superseded ones included.
        last_start: The newest `status` row at a start of training.
        earlier_seconds: Seconds that count against `max_minutes` besides those of `clock`, which
            are those of the runs that a branch continues; None if no row tells.
        was_reset: Whether the file was replaced before the last poll.
    """

    def __init__(
        self,
        path: Path,
        start: FileOffset | None = None,
        clock: TrainingClock | None = None,
        listener: Callable[[Poll], None] | None = None,
        thinning: Thinning | None = None,
    ) -> None:
        self._path = path
        self._reader = MetricsReader(path, start)
        self._listener = listener
        self._limits = self._thinning = thinning
        self._clear(clock or TrainingClock())
        self.was_reset = False

    def _clear(self, clock: TrainingClock) -> None:
        self._tables: dict[str, ColumnBuffer] = {}
        # What the median depends on, the number of rows in it, and the median.
        self._throughput: tuple[object, int, RunningMedian] | None = None
        # The median of the thinned rows.
        self._old_rates: RunningMedian | None = None
        self.clock = clock
        self.last_status: Row | None = None
        self.last_start: Row | None = None
        self.earlier_seconds: float | None = None

    @property
    def position(self) -> FileOffset:
        """How far the file has been read."""
        return self._reader.position

    @property
    def rows(self) -> int:
        """Number of valid rows that are kept."""
        return sum(len(table) for table in self._tables.values())

    @property
    def events(self) -> tuple[str, ...]:
        """Events that have rows."""
        return tuple(event for event, table in self._tables.items() if len(table))

    def keys(self, event: str) -> tuple[str, ...]:
        """Keys of `event` with numbers, `step` included."""
        table = self._tables.get(event)
        return tuple(key for key in table.keys if key != _ELAPSED) if table else ()

    def named_keys(self, event: str) -> frozenset[str]:
        """All keys of `event`, whatever their values."""
        table = self._tables.get(event)
        return frozenset(table.named) if table else frozenset()

    def poll(self) -> bool:
        """Read rows added to the file; return whether anything changed."""
        changed = self.was_reset = was_read_again = False
        for part in self._reader.blocks():
            if self._listener is not None:
                self._listener(part)
            if part.reset:
                self._clear(TrainingClock())
                self._thinning = self._limits
                changed = self.was_reset = True
            if part.rows:
                try:
                    self._extend(part.rows)
                except ThinnedRowsError:
                    self._read_again()
                    was_read_again = True
                    if self._thinning is not None:
                        # So that a file which often goes back is seldom read again.
                        self._thinning = replace(self._thinning, recent=2 * self._thinning.recent)
                if not was_read_again:
                    # Later rows of this poll may go back again.
                    self._thin()
                changed = True
        if changed:
            self._thin()
            if self._has_lost_median():
                self._read_again()
                self._thin()
        return changed

    def _read_again(self) -> None:
        """Read all rows up to here again, and thin none of them."""
        self._clear(TrainingClock())
        for part in MetricsReader(self._path).blocks(self.position.offset):
            self._extend(part.rows)

    def _thin(self) -> None:
        table = self._tables.get("train")
        if self._thinning is None or table is None or not table.has_old_rows(self._thinning):
            return
        recent = self._thinning.recent
        rates = table.column("tokens_per_sec")[table.thinned : -recent]
        table.thin(self._thinning)
        old = self._old_rates or RunningMedian()
        if not old.has_lost_median:
            # The whole rows, at most twice `recent`, move the median by half of their number.
            self._old_rates = old.with_more(rates, 2 * recent)

    def _has_lost_median(self) -> bool:
        old = self._old_rates
        if old is None or old.has_lost_median:
            return old is not None
        return self.throughput(RunningMedian()).has_lost_median

    def column(self, event: str, key: str) -> FloatArray:
        """Values of `key` in rows of `event`, NaN where missing; read-only.

        Thinned rows come first, as the points of `Curve`.
        """
        table = self._tables.get(event)
        return table.column(key) if table else np.empty(0)

    def at(self, event: str, key: str, index: int | None) -> float | None:
        """Value of `key` in one row of `event`; None if there is no such row or number."""
        table = self._tables.get(event)
        value = math.nan if table is None or index is None else table.value(key, index)
        return value if math.isfinite(value) else None

    def newest(self, event: str, key: str) -> float | None:
        """Last finite value of `key` in rows of `event`."""
        table = self._tables.get(event)
        last = table.newest(key) if table else math.nan
        return last if math.isfinite(last) else None

    def same_windows(self) -> NDArray[np.bool_]:
        """Which eval rows were measured on the same windows as the newest one."""
        same = np.ones(len(self.column("eval", "step")), dtype=bool)
        # Rows of older versions have neither key.
        for key in {"eval_windows", "window_tokens"} & set(self.keys("eval")):
            values = self.column("eval", key)
            same &= np.isnan(values) if np.isnan(values[-1]) else values == values[-1]
        return same

    def best_evaluation(self, same_windows: NDArray[np.bool_]) -> int | None:
        """Index of the lowest finite validation loss among the eval rows of `same_windows`."""
        losses = self.column("eval", "val_loss")
        return lowest(losses if same_windows.all() else np.where(same_windows, losses, np.nan))

    def throughput(self, earlier: RunningMedian) -> RunningMedian:
        """Running median of tokens per second over `earlier` and the train rows.

        Processes only rows added since the last call, unless earlier ones changed.
        """
        table = self._tables.get("train")
        if table is None:
            return earlier
        earlier = self._old_rates or earlier
        basis = earlier, table.revision
        rates = table.column("tokens_per_sec")[table.thinned :]
        _, count, median = self._throughput or (None, 0, earlier)
        if self._throughput is None or self._throughput[0] != basis or median.has_lost_median:
            count, median = 0, earlier
        median = median.with_more(rates[count:])
        if median.has_lost_median and count:
            median = earlier.with_more(rates)
        self._throughput = basis, len(rates), median
        return median

    def curve(self, event: str, key: str, x: Axis = "step") -> Curve:
        """`key` of `event` along an axis, without rows of unknown position; empty if missing.

        Args:
            event: Event of the rows, such as "train" or "eval".
            key: Key of the values.
            x: "step"; "tokens" seen, interpolated between train rows where missing; or "time",
                seconds of training without pauses.
        """
        table = self._tables.get(event)
        if table is None or key not in table.keys:
            return Curve(np.empty(0), np.empty(0))
        positions, values = self._positions(table, x), table.column(key)
        buckets = table.buckets(key) if table.thinned else None
        known = np.isfinite(positions)
        if not known.all():
            if buckets is not None:
                # Either both points of a bucket have a position or none.
                buckets = buckets.where(known[: table.thinned : 2])
            positions, values = positions[known], values[known]
        return Curve(positions, values, buckets)

    def _positions(self, table: ColumnBuffer, x: Axis) -> FloatArray:
        if x == "tokens":
            return self._tokens(table)
        return table.column(_ELAPSED if x == "time" else "step")

    def _tokens(self, table: ColumnBuffer) -> FloatArray:
        seen = table.column("tokens_seen")
        unknown = np.isnan(seen)
        if not unknown.any():
            return seen
        filled = seen.copy()
        filled[unknown] = self._tokens_at(table.column("step")[unknown])
        return filled

    def _tokens_at(self, steps: FloatArray) -> FloatArray:
        """Tokens seen at these steps, by linear interpolation of the train rows from (0, 0)."""
        counts = self.column("train", "tokens_seen")
        counted = np.isfinite(counts) & (self.column("train", "step") > 0)
        known_steps = np.append(0.0, self.column("train", "step")[counted])
        known_tokens = np.append(0.0, counts[counted])
        if len(known_steps) > 1:
            per_step = (known_tokens[-1] - known_tokens[-2]) / (known_steps[-1] - known_steps[-2])
        else:
            per_step = self.newest("status", "tokens_per_step") or math.nan
        beyond = known_tokens[-1] + (steps - known_steps[-1]) * per_step
        within = np.interp(steps, known_steps, known_tokens)
        tokens: FloatArray = np.where(steps > known_steps[-1], beyond, within)
        return tokens

    def _extend(self, rows: Sequence[Row]) -> None:
        places: dict[str, list[int]] = {}
        for index, row in enumerate(rows):
            places.setdefault(row["event"], []).append(index)
        resumes, starts = places.get("resume", []), self._note_status(rows, places)
        columns = {event: _columns(rows, indices) for event, indices in places.items()}
        stamps = _stamps(columns, places, len(rows))
        self.clock, seconds = advance(self.clock, stamps, [*resumes, *starts])
        for index in starts:
            counted = as_number(rows[index].get("active_seconds"))
            if counted is not None:
                self.earlier_seconds = counted - float(np.nan_to_num(seconds[index]))
        for event, indices in places.items():
            columns[event][_ELAPSED] = seconds if len(indices) == len(rows) else seconds[indices]
        if not resumes:
            for event, values in columns.items():
                self._add(event, values)
            return
        for first, last in pairwise(sorted({0, *resumes, len(rows)})):
            if rows[first]["event"] == "resume":
                self._discard_after(rows[first]["step"])
            for event in dict.fromkeys(row["event"] for row in rows[first:last]):
                part = slice(*(bisect_left(places[event], end) for end in (first, last)))
                self._add(event, {key: values[part] for key, values in columns[event].items()})

    def _note_status(self, rows: Sequence[Row], places: Mapping[str, list[int]]) -> list[int]:
        """Keep the newest status rows; return the indices of those that begin a session."""
        starts = []
        for index in places.get("status", ()):
            self.last_status = rows[index]
            if rows[index].get("status") == "running":
                starts.append(index)
                if "max_iters" in rows[index]:
                    self.last_start = rows[index]
        return starts

    def _discard_after(self, step: int) -> None:
        for event, table in self._tables.items():
            if event != "resume":
                table.cut_after(step)

    def _add(self, event: str, columns: Mapping[str, FloatArray]) -> None:
        table = self._table(event)
        if table is not None:
            table.add(columns)

    def _table(self, event: str) -> ColumnBuffer | None:
        table = self._tables.get(event)
        is_ours = event in PROGRESS or event == "resume"
        if table is None and (is_ours or len(self._tables) < _MAX_EVENTS):
            table = self._tables[event] = ColumnBuffer(one_per_step=event in MEASUREMENTS)
        return table


def _columns(rows: Sequence[Row], indices: Sequence[int]) -> dict[str, FloatArray]:
    own = rows if len(indices) == len(rows) else [rows[index] for index in indices]
    return columns_of(own, ignored=("event", _ELAPSED))


def _stamps(
    columns: Mapping[str, Mapping[str, FloatArray]], places: Mapping[str, list[int]], count: int
) -> Mapping[str, FloatArray]:
    """The columns of the clock for all rows; `columns` and `places` are those of each event."""
    stamps = {}
    for key in CLOCK_COLUMNS:
        stamps[key] = np.full(count, np.nan)
        for event, values in columns.items():
            if key in values:
                stamps[key][places[event]] = values[key]
    return stamps


def lowest(values: FloatArray) -> int | None:
    """Index of the first lowest finite value; None without finite values."""
    return int(np.nanargmin(values)) if np.isfinite(values).any() else None
