"""Lines of a chart, and the derived data that drawing needs: smoothing, log values, best point."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from rich.cells import cell_len

from transformer_playground.formatting import value_text
from transformer_playground.runs.curves import debiased_ema
from transformer_playground.runs.metrics import Axis
from transformer_playground.runs.thinning import Buckets
from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.axes import LIMIT, FloatArray, to_log_axis
from transformer_playground.tui.charts.braille import LineRaster, Points, finite_points

AXIS_TITLES: dict[Axis, str] = {"step": "step", "tokens": "tokens seen", "time": "training time"}
# Share of the points of a line that are extremes, at each end.
_EXTREMES = 0.005
# Parts of a line whose range is remembered.
_MOST_RANGES = 8
_LARGEST_LOG = math.log10(LIMIT)


@dataclass(frozen=True, eq=False)
class ChartLine:
    """One line of a chart.

    The arrays are kept without a copy and must not change. A line whose two arrays are the same
    objects as before keeps its derived data.

    Attributes:
        label: Name in the legend; untrusted text.
        x: [points], best in ascending order.
        y: [points]; a value that is not finite makes a gap.
        buckets: Of a curve with thinned points, which come first: two for each bucket.
        colour: A colour such as "#56b4e9".
        glyph: One character that marks the line, so that no meaning depends on colour alone.
        style: A line, a thick line over the others, a faint one beneath them, or points alone.
        has_markers: Whether its glyph is drawn on it.
        on_top: Drawn over the others.
        in_focus: Whether the legend marks it among others.
        is_reference: A value to compare with, which the y axis need not reach.
        set_back: One of many lines, without a sign at its best value or at the crosshair.
        best: Which value is the best one.
        smooth: Whether the chart's smoothing applies to it.
        short: The name where there is little room; empty for the label.
        show: Formats a value of the legend; values too long for it are shown by `value_text`.
        may_lack: Whether a value that is not a number was not measured, rather than wrong.
    """

    key: str
    label: str
    x: FloatArray
    y: FloatArray
    colour: str
    glyph: str = "●"
    style: Literal["line", "thick", "dim", "points"] = "line"
    has_markers: bool = True
    on_top: bool = False
    in_focus: bool = False
    set_back: bool = False
    is_reference: bool = False
    best: Literal["lowest", "highest"] | None = None
    smooth: bool = True
    in_legend: bool = True
    short: str = ""
    show: Callable[[float], str] = value_text
    may_lack: bool = False
    buckets: Buckets | None = None

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"line {self.key!r} has {len(self.x)} x and {len(self.y)} y")

    @property
    def cell_glyph(self) -> str:
        """The glyph as one printable cell."""
        glyph = visible_line(self.glyph)[:1]
        return glyph if cell_len(glyph) == 1 else "●"

    def has_data_of(self, other: "ChartLine") -> bool:
        """Whether both have the same arrays and derived data."""
        return (
            self.x is other.x
            and self.y is other.y
            and (self.style, self.smooth, self.best) == (other.style, other.smooth, other.best)
        )

    def has_dots_of(self, other: "ChartLine") -> bool:
        """Whether both have the same data and the same signs, whatever their names and colours."""
        signs = (self.glyph, self.has_markers, self.on_top, self.set_back)
        others = (other.glyph, other.has_markers, other.on_top, other.set_back)
        return self.has_data_of(other) and signs == others


@dataclass(frozen=True)
class AxisMark:
    """An event on the x axis; `glyph` is one cell."""

    x: float
    glyph: str


@dataclass(frozen=True)
class DataPoint:
    """A point of a line in data values, also on a log axis."""

    x: float
    y: float


@dataclass(frozen=True)
class Bucket:
    """Extremes of the thinned points from `first` to `last`, positions of the x axis."""

    first: float
    last: float
    low: float
    high: float


class PreparedLine:
    """Derived data of a line, computed once per change of its data.

    Args:
        smoothing: Weight of the moving average, 0 for none.
    """

    def __init__(self, line: ChartLine, *, log: bool, smoothing: float) -> None:
        self.line = line
        self._log = log
        self._x = np.asarray(line.x, dtype=np.float64)
        self._y = np.asarray(line.y, dtype=np.float64)
        self._ranges: dict[float | None, tuple[float, float]] = {}
        is_smooth = line.smooth and line.style in ("line", "thick")
        self._weight = smoothing if is_smooth else 0.0

    @cached_property
    def raw(self) -> Points:
        return self._points(self._y)

    @cached_property
    def shown(self) -> Points:
        """The line that has the glyph and the values: smoothed if the chart smooths it."""
        if not self._weight:
            return self.raw
        # Larger values would overflow within the average.
        bounded = np.where(np.isfinite(self._y), np.clip(self._y, -LIMIT, LIMIT), np.nan)
        return self._points(self._smoothed(bounded))

    @cached_property
    def raster(self) -> LineRaster:
        """The cells of `shown`."""
        return LineRaster(self.shown)

    @cached_property
    def raw_raster(self) -> LineRaster:
        """The cells of `raw`."""
        return LineRaster(self.raw)

    def _smoothed(self, y: FloatArray) -> FloatArray:
        buckets = self.line.buckets
        if buckets is None:
            return debiased_ema(y, self._weight)
        count = len(buckets)
        whole = y[2 * count :]
        values = np.append(np.clip(buckets.mean, -LIMIT, LIMIT), whole)
        counts = np.append(buckets.finite, np.ones(len(whole), dtype=np.int64))
        average = debiased_ema(values, self._weight, counts)
        return np.append(np.repeat(average[:count], 2), average[count:])

    @property
    def is_smoothed(self) -> bool:
        return self._weight > 0

    @cached_property
    def nonfinite(self) -> FloatArray:
        """Ascending x positions of values that are not finite, unless these were not measured."""
        if self.line.may_lack:
            return np.empty(0)
        places = self._x[np.isfinite(self._x) & ~np.isfinite(self._y)]
        buckets = self.line.buckets
        if buckets is not None:
            lasts = self._x[1 : 2 * len(buckets) : 2]
            places = np.append(places, lasts[buckets.finite < buckets.rows])
        return np.sort(places)

    @cached_property
    def dropped_count(self) -> int:
        """Number of values that a log axis cannot show."""
        return int(np.count_nonzero(np.isfinite(self._y) & (self._y <= 0))) if self._log else 0

    @cached_property
    def best(self) -> DataPoint | None:
        """The best measured value (the first of equal ones) if the line marks it."""
        if self.line.best is None or not len(self.raw.y):
            return None
        lowest = self.line.best == "lowest"
        index = int(np.argmin(self.raw.y) if lowest else np.argmax(self.raw.y))
        return self._point(self.raw, index)

    def y_range(self, edge: float | None) -> tuple[float, float]:
        """Lowest and highest position of the measured line, which has points, on the y axis.

        Args:
            edge: Position of the x axis from which on points count, and the last one of all
                anyway; of many points the few most extreme ones do not count then. None: all do.
        """
        if edge not in self._ranges:
            if len(self._ranges) == _MOST_RANGES:
                # The edge moves on with other lines of the chart.
                self._ranges.clear()
            self._ranges[edge] = self._y_range(edge)
        return self._ranges[edge]

    def _y_range(self, edge: float | None) -> tuple[float, float]:
        points = self.raw
        first = 0 if edge is None else int(np.searchsorted(points.x, edge))
        part = points.y[min(first, len(points.x) - 1) :]
        extremes = 0 if edge is None else int(len(part) * _EXTREMES)
        if extremes:
            part = np.partition(part, (extremes, len(part) - 1 - extremes))
            return float(part[extremes]), float(part[-1 - extremes])
        return float(part.min()), float(part.max())

    @property
    def newest(self) -> DataPoint | None:
        return self._point(self.shown, len(self.shown.x) - 1) if len(self.shown.x) else None

    def nearest(self, x: float) -> DataPoint | None:
        """The point nearest to `x`, None beyond the ends of the line."""
        points = self.shown
        if not len(points.x) or not points.x[0] <= x <= points.x[-1]:
            return None
        right = int(np.searchsorted(points.x, x))
        left = max(0, right - 1)
        is_left = x - points.x[left] < points.x[right] - x
        return self._point(points, left if is_left else right)

    def next_x(self, at: float, direction: int, least: float) -> float:
        """The x of the next point at least this far right of a position, or left for -1."""
        x = self.shown.x
        if direction > 0:
            index = int(np.searchsorted(x, at + least, side="left"))
            # Sparse points are further apart: the next one then.
            index = max(index, int(np.searchsorted(x, at, side="right")))
        else:
            index = int(np.searchsorted(x, at - least, side="right")) - 1
        return float(x[min(max(index, 0), len(x) - 1)])

    def bucket_at(self, x: float) -> Bucket | None:
        """The bucket of thinned points whose extremes the line shows at `x`, if there is one."""
        buckets = self.line.buckets
        if buckets is None:
            return None
        end = 2 * len(buckets)
        index = 2 * int(np.searchsorted(self._x[:end:2], x, side="right")) - 2
        if index < 0 or x > self._x[index + 1] or math.isnan(self._y[index]):
            return None
        first, last = self._x[index : index + 2].tolist()
        return Bucket(first, last, *sorted(self._y[index : index + 2].tolist()))

    def _point(self, points: Points, index: int) -> DataPoint:
        y = float(points.y[index])
        return DataPoint(float(points.x[index]), 10.0**y if self._log else y)

    def _points(self, y: FloatArray) -> Points:
        if self._log:
            places = to_log_axis(np.where(np.isfinite(y), y, np.nan))
            return finite_points(self._x, np.clip(places, -_LARGEST_LOG, _LARGEST_LOG))
        points = finite_points(self._x, y)
        if len(points.y) and max(points.y.max(), -points.y.min()) > LIMIT:
            return Points(points.x, np.clip(points.y, -LIMIT, LIMIT), points.starts)
        return points


def ranked(lines: Sequence[PreparedLine], at: float | None = None) -> list[PreparedLine]:
    """The lines of the legend by their values at a position, or their newest ones, best first.

    Lines for which no value is better than another come last, in their order.
    """

    def order(line: PreparedLine) -> tuple[bool, float]:
        best, point = line.line.best, line.newest if at is None else line.nearest(at)
        if best is None or point is None:
            return True, 0.0
        return False, point.y if best == "lowest" else -point.y

    return sorted((line for line in lines if line.line.in_legend), key=order)
