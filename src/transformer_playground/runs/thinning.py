"""Thinning of old rows: each bucket of consecutive rows keeps its extremes and its mean.

Min-max decimation (Jugel et al. 2014, "M4: A Visualization-Oriented Time Series Data Aggregation")
with buckets that double their size whenever there are too many.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Counts = NDArray[np.int64]


class ThinnedRowsError(Exception):
    """Rows would change that were thinned; the file must be read again."""


@dataclass(frozen=True)
class Thinning:
    """How many rows of a table are kept.

    Attributes:
        recent: Newest rows that stay whole; between two thinnings up to twice as many do.
        buckets: Most buckets of older rows, at least two. A wide chart has fewer columns of dots.
    """

    recent: int = 4096
    buckets: int = 4096


@dataclass(frozen=True, eq=False)
class Buckets:
    """What a column knows of its thinned rows besides their extremes; arrays of one length.

    Attributes:
        rows: int64 [buckets]: rows in each bucket.
        finite: int64 [buckets]: how many of them have a number.
        mean: float64 [buckets]: their mean; NaN without numbers.
    """

    rows: _Counts
    finite: _Counts
    mean: _Floats

    def __len__(self) -> int:
        return len(self.rows)

    def scaled(self, factor: float) -> "Buckets":
        """The buckets of the values times `factor`."""
        return replace(self, mean=self.mean * factor)

    def where(self, kept: NDArray[np.bool_]) -> "Buckets":
        """The buckets that a mask selects."""
        return Buckets(self.rows[kept], self.finite[kept], self.mean[kept])


@dataclass(frozen=True, eq=False)
class _Column:
    """A thinned column; `pairs` has the extremes of each bucket in the order of their rows."""

    pairs: _Floats
    finite: _Counts
    mean: _Floats

    def then(self, other: "_Column") -> "_Column":
        return _Column(
            np.concatenate([self.pairs, other.pairs]),
            np.concatenate([self.finite, other.finite]),
            np.concatenate([self.mean, other.mean]),
        )


@dataclass(frozen=True, eq=False)
class ThinnedRows:
    """The thinned rows of a table, which its columns hold as two values for each bucket.

    Attributes:
        size: Rows in a new bucket.
        rows: int64 [buckets]: rows in each bucket, the rest of a thinning may be fewer.
        newest: Key -> its last number.
    """

    size: int = 2
    rows: _Counts = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    finite: Mapping[str, _Counts] = field(default_factory=dict)
    mean: Mapping[str, _Floats] = field(default_factory=dict)
    newest: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    def buckets(self, key: str) -> Buckets:
        """The buckets of a column."""
        missing = key not in self.mean
        finite = np.zeros(len(self), dtype=np.int64) if missing else self.finite[key]
        mean = np.full(len(self), np.nan) if missing else self.mean[key]
        return Buckets(self.rows, finite, mean)


def thin(
    old: ThinnedRows, columns: Mapping[str, _Floats], limits: Thinning
) -> tuple[ThinnedRows, dict[str, _Floats]]:
    """Thin all but the `limits.recent` newest rows of a table.

    Args:
        old: What was thinned before.
        columns: All columns: two values for each old bucket, then whole rows.

    Returns:
        What is thinned now, and the new columns.
    """
    first = 2 * len(old)
    end = len(columns["step"]) - limits.recent
    size, halvings, count = old.size, 0, len(old)
    while count + -(-(end - first) // size) > limits.buckets:
        size, halvings, count = 2 * size, halvings + 1, -(-count // 2)
    rows = old.rows
    for _ in range(halvings):
        rows = _sums(rows)
    rows = np.append(rows, _sizes(end - first, size))
    thinned: dict[str, _Column] = {}
    newest, kept = dict(old.newest), {}
    for key, values in columns.items():
        before = old.buckets(key)
        column = _Column(values[:first], before.finite, before.mean)
        for _ in range(halvings):
            column = _halved(column)
        added = values[first:end]
        column = thinned[key] = column.then(_of_rows(added, size))
        numbers = np.flatnonzero(np.isfinite(added))
        if numbers.size:
            newest[key] = float(added[numbers[-1]])
        kept[key] = np.concatenate([column.pairs, values[end:]])
    finite = {key: column.finite for key, column in thinned.items()}
    mean = {key: column.mean for key, column in thinned.items()}
    return ThinnedRows(size, rows, finite, mean, newest), kept


def _sizes(rows: int, size: int) -> _Counts:
    """Buckets of `size` rows, and a last one with the rest."""
    sizes = np.full(-(-rows // size), size)
    sizes[-1:] -= -rows % size
    return sizes


def _of_rows(values: _Floats, size: int) -> _Column:
    missing = np.full(-len(values) % size, np.nan)
    values = np.append(values, missing).reshape(-1, size)
    finite = np.count_nonzero(~np.isnan(values), axis=1)
    return _Column(_extremes(values), finite, _quotient(np.nansum(values, axis=1), finite))


def _halved(column: _Column) -> _Column:
    """Join buckets two by two; the last of an odd number stays as it is."""
    even = len(column.finite) // 2 * 2
    weights, means = column.finite[:even], np.nan_to_num(column.mean[:even])
    finite = _sums(weights)
    joined = _Column(
        _extremes(column.pairs[: 2 * even].reshape(-1, 4)),
        finite,
        _quotient((weights * means).reshape(-1, 2).sum(axis=1), finite),
    )
    last = _Column(column.pairs[2 * even :], column.finite[even:], column.mean[even:])
    return joined.then(last)


def _extremes(values: _Floats) -> _Floats:
    """Lowest and highest number of each row of values, in their order there; NaN without any."""
    missing = np.isnan(values)
    low = np.where(missing, np.inf, values).argmin(axis=1)
    high = np.where(missing, -np.inf, values).argmax(axis=1)
    places = np.sort(np.stack([low, high], axis=1), axis=1)
    return np.take_along_axis(values, places, axis=1).reshape(-1)


def _sums(counts: _Counts) -> _Counts:
    """Sums two by two; the last of an odd number stays as it is."""
    return np.add.reduceat(counts, np.arange(0, len(counts), 2)) if len(counts) else counts


def _quotient(total: _Floats, count: _Counts) -> _Floats:
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
