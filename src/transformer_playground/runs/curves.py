"""Curves made ready to look at: smoothed, thinned to the width of a picture, cut at gaps.

Pure functions on numpy arrays. A value that is not finite is a gap.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from transformer_playground.runs.column_buffer import FloatArray

# What a term this much smaller adds to a float64 sum is lost in rounding.
_NEGLIGIBLE = 1e-18


def debiased_ema(values: ArrayLike, weight: float) -> FloatArray:
    """Exponential moving average without the pull of its start towards zero.

    The correction is that of Adam (Kingma & Ba, 2014, https://arxiv.org/abs/1412.6980, section 3):
    the average of n values is divided by 1 - weight^n, as training dashboards do when they smooth
    a curve. Gaps stay gaps and do not enter the average.

    Args:
        values: Values at even distances, such as one per logged step.
        weight: Share of the average so far in the next one; 0 changes nothing.

    Raises:
        ValueError: `weight` is not in [0, 1).
    """
    if not 0 <= weight < 1:
        raise ValueError(f"the weight must be at least 0 and below 1, not {weight}")
    given = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(given)
    smooth = np.full(given.shape, np.nan)
    smooth[finite] = given[finite] if weight == 0 else _average(given[finite], weight)
    return smooth


def _average(values: FloatArray, weight: float) -> FloatArray:
    total = (1 - weight) * values
    # After each round a sum reaches back twice as far: log2(n) passes instead of n steps.
    reach = 1
    while reach < total.size and (share := weight**reach) > _NEGLIGIBLE:
        total[reach:] += share * total[:-reach]
        reach *= 2
    counts = np.arange(1, total.size + 1)
    averages: FloatArray = total / -np.expm1(counts * math.log(weight))
    return averages


def decimate(x: ArrayLike, y: ArrayLike, columns: int) -> tuple[FloatArray, FloatArray]:
    """Thin a curve for a picture `columns` pixels wide so that it looks the same.

    Of each column the lowest and the highest point stay, in their order, and so do both ends of
    the curve. Where a gap lies between two points that stay, one NaN stays. Smooth before, not
    after: an average over extremes is not the average of the curve.

    Args:
        x: Finite positions in ascending order.
        y: As many values.
        columns: Pixels, at least 2.

    Returns:
        At most 2 * columns finite points, with the gaps between them as NaN; a curve of no more
        points than that comes back as it is.

    Raises:
        ValueError: Fewer than 2 columns, or not as many positions as values.
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
    """Which points are an end of the curve or the lowest or highest of their column."""
    # Each end takes one place, so that what lies between must do with a column less.
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
    """One missing place before, between and after the points wherever there is one."""
    before = np.searchsorted(missing, points)
    bounds = np.concatenate([[0], before, [missing.size]])
    opened = bounds[1:] > bounds[:-1]
    chosen: NDArray[np.intp] = missing[bounds[:-1][opened]]
    if missing.size and bounds[-1] > bounds[-2]:
        chosen[-1] = missing[-1]
    return chosen


def split_at_gaps(x: ArrayLike, y: ArrayLike) -> list[tuple[FloatArray, FloatArray]]:
    """The stretches of a curve between its gaps, in order; each holds finite values only.

    Raises:
        ValueError: There are not as many positions as values.
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
        raise ValueError(f"{positions.shape} positions do not go with {values.shape} values")
    return positions, values
