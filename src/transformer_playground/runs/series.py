"""The numbers of a metrics file as columns: read once, then kept up to date as the file grows."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from transformer_playground.runs.jsonl import Row
from transformer_playground.runs.metrics import (
    MEASUREMENTS,
    FileOffset,
    MetricsReader,
    Poll,
    TrainingClock,
)

Axis = Literal["step", "tokens", "time"]
FloatArray = NDArray[np.float64]

PROGRESS = ("train", "eval", "checkpoint", "status")
"""Events whose step says how far training has come."""

_ELAPSED = "\0elapsed"
# Our files have a handful of each; a made-up one must not exhaust the memory.
_MOST_EVENTS = 32
_MOST_KEYS = 128
_LEAST_CAPACITY = 16
_GROWTH = 1.25
_NUMBERS = {int, float, type(None)}


@dataclass(frozen=True)
class Curve:
    """One quantity along one axis, both read-only and unaffected by later polls.

    Attributes:
        x: Positions: steps, tokens or seconds, in order of step.
        y: Values; NaN where the file holds null or a number that is not finite.
    """

    x: FloatArray
    y: FloatArray


class RunSeries:
    """The rows of a metrics file that still hold, as columns of numbers.

    A resume drops the rows after its step, except earlier resumes, and of two measurements with
    the same event and step the later counts. Rows of an event are kept in order of step. A poll
    reads only what was added since the last one.

    Args:
        path: The file; it need not exist yet.
        start: Where an earlier reader stopped: only what came later is taken in.
        clock: The clock of that reader.
        listener: Is handed each part of the file as it is read, for what is no number in it.

    Attributes:
        clock: Time spent training.
        last_status: The newest `status` row, superseded ones included.
        last_start: The newest of them with which training began.
        was_reset: Whether the last poll found that the file had been replaced.
    """

    def __init__(
        self,
        path: Path,
        start: FileOffset | None = None,
        clock: TrainingClock | None = None,
        listener: Callable[[Poll], None] | None = None,
    ) -> None:
        self._reader = MetricsReader(path, start)
        self._listener = listener
        self._tables: dict[str, ColumnBuffer] = {}
        self.clock = clock or TrainingClock()
        self.last_status: Row | None = None
        self.last_start: Row | None = None
        self.was_reset = False

    @property
    def position(self) -> FileOffset:
        """How far the file was read."""
        return self._reader.position

    @property
    def rows(self) -> int:
        """How many rows hold."""
        return sum(len(table) for table in self._tables.values())

    @property
    def events(self) -> tuple[str, ...]:
        """Events that have rows."""
        return tuple(event for event, table in self._tables.items() if len(table))

    def keys(self, event: str) -> tuple[str, ...]:
        """Keys of `event` that have held a number, `step` among them."""
        table = self._tables.get(event)
        return tuple(key for key in table.keys if key != _ELAPSED) if table else ()

    def named_keys(self, event: str) -> frozenset[str]:
        """Keys that rows of `event` have had, whatever their values."""
        table = self._tables.get(event)
        return frozenset(table.named) if table else frozenset()

    @property
    def resumes(self) -> list[tuple[float, float]]:
        """Step and time of each resume; a time is NaN where it is unknown."""
        steps, times = self.column("resume", "step"), self.column("resume", "time")
        return list(zip(steps.tolist(), times.tolist(), strict=True))

    def poll(self) -> bool:
        """Take in what was added to the file; whether anything changed."""
        changed = self.was_reset = False
        for part in self._reader.blocks():
            if self._listener is not None:
                self._listener(part)
            if part.reset:
                self._tables, self.clock = {}, TrainingClock()
                self.last_status = self.last_start = None
                changed = self.was_reset = True
            if part.rows:
                self._extend(part.rows)
                changed = True
        return changed

    def column(self, event: str, key: str) -> FloatArray:
        """All values of `key` in rows of `event`, NaN where there is none; read-only."""
        table = self._tables.get(event)
        return table.column(key) if table else np.empty(0)

    def at(self, event: str, key: str, index: int | None) -> float | None:
        """The value of `key` in one row of `event`; None if there is no such row or number."""
        values = self.column(event, key)
        if index is None or not values.size:
            return None
        return float(values[index]) if math.isfinite(values[index]) else None

    def newest(self, event: str, key: str) -> float | None:
        """The finite value of `key` at the highest step of `event`."""
        values = self.column(event, key)
        if values.size and math.isfinite(values[-1]):
            return float(values[-1])
        finite = np.flatnonzero(np.isfinite(values))
        return float(values[finite[-1]]) if finite.size else None

    def curve(self, event: str, key: str, x: Axis = "step") -> Curve:
        """`key` of `event` along an axis, empty when there is no such number.

        Args:
            event: Event of the rows, such as "train" or "eval".
            key: Key of the values.
            x: "step"; "tokens" seen, for rows that do not say so from the train rows around
                them; or "time", seconds of training with pauses left out.

        Rows whose position on the axis is unknown are left out.
        """
        table = self._tables.get(event)
        if table is None or key not in table.keys:
            return Curve(np.empty(0), np.empty(0))
        positions, values = self._positions(table, x), table.column(key)
        known = np.isfinite(positions)
        if not known.all():
            positions, values = positions[known], values[known]
        return Curve(positions, values)

    def _positions(self, table: "ColumnBuffer", x: Axis) -> FloatArray:
        if x == "tokens":
            return self._tokens(table)
        return table.column(_ELAPSED if x == "time" else "step")

    def _tokens(self, table: "ColumnBuffer") -> FloatArray:
        seen = table.column("tokens_seen")
        unknown = np.isnan(seen)
        if not unknown.any():
            return seen
        filled = seen.copy()
        filled[unknown] = self._tokens_at(table.column("step")[unknown])
        return filled

    def _tokens_at(self, steps: FloatArray) -> FloatArray:
        """Tokens seen after these steps, by straight lines through the train rows from (0, 0)."""
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
        begins = [
            index
            for index, row in enumerate(rows)
            if row["event"] == "resume" or row.get("status") == "running"
        ]
        times = numbers([row.get("time") for row in rows])
        self.clock, seconds = _advance(self.clock, times, begins)
        resumes = [index for index in begins if rows[index]["event"] == "resume"]
        for first, last in pairwise(sorted({0, *resumes, len(rows)})):
            if rows[first]["event"] == "resume":
                self._go_back_to(rows[first]["step"])
            self._add(rows[first:last], seconds[first:last])

    def _go_back_to(self, step: int) -> None:
        for event, table in self._tables.items():
            if event != "resume":
                table.cut_after(step)

    def _add(self, rows: Sequence[Row], seconds: FloatArray) -> None:
        places: dict[str, list[int]] = {}
        for index, row in enumerate(rows):
            places.setdefault(row["event"], []).append(index)
        for index in places.get("status", ()):
            self.last_status = rows[index]
            if rows[index].get("status") == "running" and "max_iters" in rows[index]:
                self.last_start = rows[index]
        for event, indices in places.items():
            table = self._table(event)
            if table is None:
                continue
            own = rows if len(indices) == len(rows) else [rows[index] for index in indices]
            columns = {
                key: numbers([row.get(key) for row in own])
                for key in dict.fromkeys(chain.from_iterable(own))
                if key not in ("event", "step", _ELAPSED)
            }
            chosen: NDArray[np.intp] = np.array(indices, dtype=np.intp)
            columns[_ELAPSED] = seconds[chosen]
            table.add(numbers([row["step"] for row in own]), columns)

    def _table(self, event: str) -> "ColumnBuffer | None":
        table = self._tables.get(event)
        is_ours = event in PROGRESS or event == "resume"
        if table is None and (is_ours or len(self._tables) < _MOST_EVENTS):
            table = self._tables[event] = ColumnBuffer(one_per_step=event in MEASUREMENTS)
        return table


def _advance(
    clock: TrainingClock, times: FloatArray, begins: Iterable[int]
) -> tuple[TrainingClock, FloatArray]:
    """Take in rows written at `times`; new stretches start at the indices `begins`.

    Returns:
        The clock after them, and the seconds at each row (NaN where the time is unknown).
    """
    known = np.isfinite(times)
    starts = {index for index in begins if known[index]}
    seconds = np.full(len(times), np.nan)
    for first, last in pairwise([*sorted(starts | {0}), len(times)]):
        part = times[first:last]
        stamped = part[known[first:last]]
        if not stamped.size:
            continue
        begin = clock.begin
        if begin is None or first in starts:
            begin = float(stamped[0])
            clock = TrainingClock(clock.seconds, begin)
        seconds[first:last] = clock.total + np.maximum(0.0, part - begin)
        clock = TrainingClock(clock.total, begin, end=float(stamped[-1]))
    return clock, seconds


def lowest(values: FloatArray) -> int | None:
    """Where the lowest finite value is, the earliest of equals; None without a finite one."""
    return int(np.nanargmin(values)) if np.isfinite(values).any() else None


def numbers(values: Sequence[Any]) -> FloatArray:
    """Values as float64; NaN for whatever is not a finite number."""
    if not set(map(type, values)) <= _NUMBERS:
        values = [value if type(value) in _NUMBERS else None for value in values]
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:
        array = np.array([_number(value) for value in values], dtype=np.float64)
    array[np.isinf(array)] = np.nan
    return array


def _number(value: float | None) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError:
        return None


class ColumnBuffer:
    """Rows of numbers in order of their step.

    Args:
        one_per_step: Of several rows with the same step only the latest is kept.

    Attributes:
        named: Keys that rows have had, also where no value was a number.
    """

    def __init__(self, *, one_per_step: bool) -> None:
        self._one_per_step = one_per_step
        self._columns: dict[str, FloatArray] = {"step": np.empty(_LEAST_CAPACITY)}
        self._length = 0
        self.named: set[str] = set()
        # Rows below this are seen through views and must not be written to any more.
        self._seen = 0

    def __len__(self) -> int:
        return self._length

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys that have held a number; "step" is one."""
        return tuple(self._columns)

    def column(self, key: str) -> FloatArray:
        """The values of `key`, NaN where a row has none; read-only, and fixed for good."""
        if key not in self._columns:
            return np.full(self._length, np.nan)
        self._seen = max(self._seen, self._length)
        view = self._columns[key][: self._length]
        view.flags.writeable = False
        return view

    def cut_after(self, step: float) -> None:
        """Drop the rows after `step`."""
        self._length = self._place(step, "right")

    def add(self, steps: FloatArray, columns: Mapping[str, FloatArray]) -> None:
        """Take in rows: their steps, and their other values by key, in the order of writing."""
        if len(self.named) < _MOST_KEYS:
            self.named |= columns.keys()
        known = {key: values for key, values in columns.items() if self._takes(key, values)}
        if self._follows_on(steps):
            self._append(steps, known)
            return
        first = self._place(float(steps.min()), "left")
        behind = slice(first, self._length)
        steps = np.append(self._columns["step"][behind], steps)
        order = np.argsort(steps, kind="stable")
        if self._one_per_step:
            ordered = steps[order]
            order = order[np.append(ordered[1:] != ordered[:-1], True)]
        added = len(steps) - (self._length - first)
        merged = {
            key: np.append(self._columns[key][behind], known.get(key, np.full(added, np.nan)))
            for key in self._columns
            if key != "step"
        }
        self._length = first
        self._append(steps[order], {key: values[order] for key, values in merged.items()})

    def _place(self, step: float, side: Any) -> int:
        return int(np.searchsorted(self._columns["step"][: self._length], step, side))

    def _takes(self, key: str, values: FloatArray) -> bool:
        if key in self._columns:
            return True
        if len(self._columns) >= _MOST_KEYS or np.isnan(values).all():
            return False
        self._columns[key] = np.full(len(self._columns["step"]), np.nan)
        return True

    def _follows_on(self, steps: FloatArray) -> bool:
        before = (
            self._columns["step"][self._length - 1 : self._length] if self._length else steps[:0]
        )
        gaps = np.diff(np.append(before, steps))
        return bool((gaps > 0).all() if self._one_per_step else (gaps >= 0).all())

    def _append(self, steps: FloatArray, columns: Mapping[str, FloatArray]) -> None:
        end = self._length + len(steps)
        capacity = len(self._columns["step"])
        if end > capacity or self._length < self._seen:
            self._move(max(end, int(capacity * _GROWTH) if end > capacity else capacity))
        for key, stored in self._columns.items():
            stored[self._length : end] = steps if key == "step" else columns.get(key, np.nan)
        self._length = end

    def _move(self, capacity: int) -> None:
        for key, stored in self._columns.items():
            moved = np.empty(capacity)
            moved[: self._length] = stored[: self._length]
            self._columns[key] = moved
        self._seen = 0
