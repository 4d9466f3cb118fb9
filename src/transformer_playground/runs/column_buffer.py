"""Growing columns of numbers, sorted by step."""

import math
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_playground.jsonvalues import LARGEST, as_number
from transformer_playground.runs.thinning import (
    Buckets,
    ThinnedRows,
    ThinnedRowsError,
    Thinning,
    thin,
)

FloatArray = NDArray[np.float64]

# Bounds memory use for damaged files.
_MAX_KEYS = 128
_MIN_CAPACITY = 16
_GROWTH = 1.25
# For few values, plain Python is faster than numpy.
_FEW = 32
_NUMBERS = {int, float, type(None)}


def columns_of(
    rows: Sequence[Mapping[str, Any]], ignored: Collection[str] = ()
) -> dict[str, FloatArray]:
    """The values of all keys in `rows` as float64, NaN where missing or not a plausible number.

    Keys in `ignored` are left out.
    """
    keys = [key for key in rows[0] if key not in ignored]
    try:
        # Rows of an event nearly always have the same keys.
        if sum(map(len, rows)) != len(rows) * len(rows[0]):
            raise KeyError
        plain = [row[key] for key in keys for row in rows]
    except KeyError:
        keys = [key for key in dict.fromkeys(chain.from_iterable(rows)) if key not in ignored]
        plain = [row.get(key) for key in keys for row in rows]
    # One conversion for all keys: for a few rows, the cost of each call of numpy dominates.
    values = numbers(plain)
    return dict(zip(keys, values.reshape(len(keys), len(rows)), strict=True))


def numbers(values: Sequence[Any]) -> FloatArray:
    """Values as float64; NaN for anything but plausible numbers (see `LARGEST`)."""
    if len(values) <= _FEW:
        few = [math.nan if (kept := as_number(value)) is None else kept for value in values]
        return np.array(few, dtype=np.float64)
    if not set(map(type, values)) <= _NUMBERS:
        values = [value if type(value) in _NUMBERS else None for value in values]
    try:
        array = np.array(values, dtype=np.float64)
    except OverflowError:
        array = np.array([_number(value) for value in values], dtype=np.float64)
    array[~(np.abs(array) < LARGEST)] = np.nan
    return array


def _number(value: float | None) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError:
        return None


class ColumnBuffer:
    """Columns of numbers, sorted by step; returned views never change.

    Thinned rows come first: two values in each column for each bucket (see `thinning`).

    Args:
        one_per_step: Keep only the latest row of each step.

    Attributes:
        named: All keys that occurred, including those without numbers.
        revision: Changes whenever existing rows change.
    """

    def __init__(self, *, one_per_step: bool) -> None:
        self._one_per_step = one_per_step
        self._columns: dict[str, FloatArray] = {}
        self._capacity = self._length = 0
        self.revision = 0
        self.named: set[str] = set()
        # Rows before this index are visible through views and must not be overwritten.
        self._seen = 0
        self._thinned = ThinnedRows()

    def __len__(self) -> int:
        return self._length

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys with numbers, "step" included once there are rows."""
        return tuple(self._columns)

    def column(self, key: str) -> FloatArray:
        """Values of `key`, NaN where missing; a read-only view that never changes."""
        if key not in self._columns:
            return np.full(self._length, np.nan)
        self._seen = max(self._seen, self._length)
        view = self._columns[key][: self._length]
        view.flags.writeable = False
        return view

    @property
    def thinned(self) -> int:
        """Number of values at the beginning of each column that are extremes of buckets."""
        return 2 * len(self._thinned)

    def buckets(self, key: str) -> Buckets:
        """The buckets of thinned rows of `key`."""
        return self._thinned.buckets(key)

    def newest(self, key: str) -> float:
        """The last number of `key`; NaN without any."""
        last = self.value(key, -1)
        if math.isfinite(last) or key not in self._columns:
            return last
        whole = self._columns[key][self.thinned : self._length]
        finite = np.flatnonzero(np.isfinite(whole))
        return float(whole[finite[-1]]) if finite.size else self._thinned.newest.get(key, math.nan)

    def value(self, key: str, index: int) -> float:
        """Value of `key` in one row, counted from the end if negative; NaN where missing."""
        values = self._columns.get(key)
        if values is None or not -self._length <= index < self._length:
            return math.nan
        return float(values[index % self._length])

    def cut_after(self, step: float) -> None:
        """Drop the rows after `step`.

        Raises:
            ThinnedRowsError: One of them was thinned.
        """
        length = self._place(step, "right")
        self._require_whole(length)
        self._length = length
        self.revision += 1

    def has_old_rows(self, limits: Thinning) -> bool:
        """Whether there are so many whole rows that `thin` pays."""
        return self._length - self.thinned > 2 * limits.recent

    def thin(self, limits: Thinning) -> None:
        """Thin all but the `limits.recent` newest rows."""
        columns = {key: stored[: self._length] for key, stored in self._columns.items()}
        self._thinned, self._columns = thin(self._thinned, columns, limits)
        self._length = self._capacity = len(self._columns["step"])
        self._seen = 0
        self.revision += 1

    def add(self, columns: Mapping[str, FloatArray]) -> None:
        """Add rows in file order: their steps as "step", and other values by key.

        Raises:
            ThinnedRowsError: A row belongs before a thinned one.
        """
        if len(self.named) < _MAX_KEYS:
            self.named |= columns.keys()
        steps = columns["step"]
        if not self._columns:
            self._capacity = max(_MIN_CAPACITY, len(steps))
            self._columns["step"] = np.empty(self._capacity)
        known = {key: values for key, values in columns.items() if self._ensure_column(key, values)}
        if self._is_append(steps):
            self._append(known)
            return
        first = self._place(float(steps.min()), "left")
        self._require_whole(first)
        self.revision += 1
        behind = slice(first, self._length)
        steps = np.append(self._columns["step"][behind], steps)
        order = np.argsort(steps, kind="stable")
        if self._one_per_step:
            ordered = steps[order]
            order = order[np.append(ordered[1:] != ordered[:-1], True)]
        missing = np.full(len(columns["step"]), np.nan)
        merged = {
            key: np.append(stored[behind], known.get(key, missing))[order]
            for key, stored in self._columns.items()
        }
        self._length = first
        self._append(merged)

    def _require_whole(self, first: int) -> None:
        if first < self.thinned:
            raise ThinnedRowsError

    def _place(self, step: float, side: Any) -> int:
        return int(np.searchsorted(self._columns["step"][: self._length], step, side))

    def _ensure_column(self, key: str, values: FloatArray) -> bool:
        if key in self._columns:
            return True
        # Most columns begin with a number.
        if len(self._columns) >= _MAX_KEYS or (np.isnan(values[0]) and np.isnan(values).all()):
            return False
        self._columns[key] = np.empty(self._capacity)
        self._columns[key][: self._length] = np.nan
        return True

    def _is_append(self, steps: FloatArray) -> bool:
        follows = np.greater if self._one_per_step else np.greater_equal
        if self._length and not follows(steps[0], self._columns["step"][self._length - 1]):
            return False
        return len(steps) == 1 or bool(follows(steps[1:], steps[:-1]).all())

    def _append(self, columns: Mapping[str, FloatArray]) -> None:
        end = self._length + len(columns["step"])
        capacity = self._capacity
        if end > capacity or self._length < self._seen:
            self._reallocate(max(end, int(capacity * _GROWTH) if end > capacity else capacity))
        for key, stored in self._columns.items():
            stored[self._length : end] = columns.get(key, np.nan)
        self._length = end

    def _reallocate(self, capacity: int) -> None:
        for key, stored in self._columns.items():
            moved = np.empty(capacity)
            moved[: self._length] = stored[: self._length]
            self._columns[key] = moved
        self._capacity, self._seen = capacity, 0
