"""Curve processing: debiased EMA smoothing, min-max decimation, splitting at gaps.

Pure functions on numpy arrays. A non-finite value is a gap.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transformer_playground.runs.column_buffer import FloatArray

# Relative size below which a term no longer changes a float64 sum.
_NEGLIGIBLE = 1e-18


def debiased_ema(
    values: ArrayLike, weight: float, counts: NDArray[np.int64] | None = None
) -> FloatArray:
    """Exponential moving average with the bias correction of Adam.

    The average of n values is divided by 1 - weight^n (Kingma & Ba, 2014,
    https://arxiv.org/abs/1412.6980, section 3). Gaps stay gaps and do not enter the average.

    Args:
        values: Evenly spaced values.
        weight: Weight of the previous average, in [0, 1); 0 = no smoothing.
        counts: Of how many consecutive values each is the mean; None = one.

    Raises:
        ValueError: `weight` is not in [0, 1).
    """
    if not 0 <= weight < 1:
        raise ValueError(f"weight must be in [0, 1), not {weight}")
    given = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(given)
    smooth = np.full(given.shape, np.nan)
    if weight == 0:
        smooth[finite] = given[finite]
    elif counts is None:
        smooth[finite] = _average(given[finite], weight)
    else:
        smooth[finite] = _average_of_means(given[finite], weight, counts[finite])
    return smooth


def _average(values: FloatArray, weight: float) -> FloatArray:
    total = (1 - weight) * values
    # Each pass doubles the window of every sum: log2(n) passes instead of n steps.
    reach = 1
    while reach < total.size and (share := weight**reach) > _NEGLIGIBLE:
        total[reach:] += share * total[:-reach]
        reach *= 2
    counts = np.arange(1, total.size + 1)
    averages: FloatArray = total / -np.expm1(counts * math.log(weight))
    return averages


def _average_of_means(values: FloatArray, weight: float, counts: NDArray[np.int64]) -> FloatArray:
    total, bias, averages = 0.0, 1.0, np.empty(len(values))
    for index, (value, kept) in enumerate(zip(values.tolist(), weight**counts, strict=True)):
        total = kept * total + (1 - kept) * value
        bias *= kept
        averages[index] = total / (1 - bias)
    return averages


def decimate(x: ArrayLike, y: ArrayLike, columns: int) -> tuple[FloatArray, FloatArray]:
    """Min-max decimation of a curve for a plot that is `columns` pixels wide.

    Keeps the lowest and highest point of each column and both ends of the curve; a gap between
    two kept points becomes one NaN. Smooth before decimating.

    Args:
        x: Finite positions in ascending order.
        y: Values, as many as `x`.
        columns: Pixels, at least 2.

    Returns:
        At most 2 * columns finite points, with NaN at gaps; shorter curves are unchanged.

    Raises:
        ValueError: `columns` below 2, or `x` and `y` of different lengths.
    """
    if columns < 2:
        raise ValueError(f"a curve needs at least 2 columns, not {columns}")
    positions, values = _paired(x, y)
    finite = np.isfinite(values)
    if values.size <= 2 * columns:
        return positions, np.where(finite, values, np.nan)
    points = np.flatnonzero(finite)
    if points.size > 2 * columns:
        points = points[_extremes(positions[points], values[points], columns)]
    kept = np.sort(np.concatenate([points, _gaps(np.flatnonzero(~finite), points)]))
    return positions[kept], np.where(finite[kept], values[kept], np.nan)


def _extremes(x: FloatArray, y: FloatArray, columns: int) -> NDArray[np.bool_]:
    """Mask of the ends of the curve and of the lowest and highest point of each column."""
    # The two ends take the place of one column.
    inner = np.searchsorted(x, np.linspace(x[0], x[-1], columns)[1:-1])
    starts = np.unique(np.append(inner[inner < x.size], 0))
    sizes = np.diff(starts, append=x.size)
    kept = np.zeros(x.size, dtype=np.bool_)
    kept[[0, -1]] = True
    for extreme in (np.minimum, np.maximum):
        reached = np.flatnonzero(y == np.repeat(extreme.reduceat(y, starts), sizes))
        column = np.searchsorted(starts, reached, side="right")
        kept[reached[np.diff(column, prepend=0) > 0]] = True
    return kept


def _gaps(missing: NDArray[np.intp], points: NDArray[np.intp]) -> NDArray[np.intp]:
    """Index of one missing value before, between and after the points, where there is one."""
    if not points.size:
        return missing[[0, -1]]
    before = np.searchsorted(missing, points)
    bounds = np.concatenate([[0], before, [missing.size]])
    opened = bounds[1:] > bounds[:-1]
    chosen: NDArray[np.intp] = missing[bounds[:-1][opened]]
    if missing.size and bounds[-1] > bounds[-2]:
        chosen[-1] = missing[-1]
    return chosen


def split_at_gaps(x: ArrayLike, y: ArrayLike) -> list[tuple[FloatArray, FloatArray]]:
    """Split a curve at its gaps into segments of finite values.

    Raises:
        ValueError: `x` and `y` have different lengths.
    """
    positions, values = _paired(x, y)
    edges = np.flatnonzero(np.diff(np.isfinite(values), prepend=False, append=False))
    return [
        (positions[first:last], values[first:last])
        for first, last in zip(edges[::2], edges[1::2], strict=True)
    ]


def _paired(x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
    positions = np.asarray(x, dtype=np.float64)
    values = np.asarray(y, dtype=np.float64)
    if positions.shape != values.shape or positions.ndim != 1:
        raise ValueError(f"x and y differ in shape: {positions.shape} and {values.shape}")
    return positions, values
