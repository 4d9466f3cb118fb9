"""The lines of a chart, and what has to be known of each before it can be drawn."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from rich.cells import cell_len

from transformer_playground.runs.curves import debiased_ema
from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.axes import LIMIT, FloatArray, on_log_axis
from transformer_playground.tui.charts.braille import Points, drawable

_LARGEST_LOG = math.log10(LIMIT)


@dataclass(frozen=True, eq=False)
class ChartLine:
    """One line of a chart.

    The arrays are kept, not copied: whoever gives them must not change them. A line whose two
    arrays are the same objects as before is not prepared anew.

    Attributes:
        key: Tells the line from others of the chart.
        label: Its name in the legend; any text, it is made harmless before it is shown.
        x: Positions, best in ascending order.
        y: Values, as many; a value that is not finite makes a gap.
        colour: A colour such as "#56b4e9".
        glyph: One character that marks the line, so that no meaning hangs on colour alone.
        style: A line; a faint line beneath the others; or its points alone.
        on_top: Drawn over the others.
        best: Which value is marked as the best one.
        smooth: Whether the chart's smoothing applies to it.
        in_legend: Whether the legend names it.
    """

    key: str
    label: str
    x: FloatArray
    y: FloatArray
    colour: str
    glyph: str = "●"
    style: Literal["line", "dim", "points"] = "line"
    on_top: bool = False
    best: Literal["lowest", "highest"] | None = None
    smooth: bool = True
    in_legend: bool = True

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"line {self.key!r} has {len(self.x)} x and {len(self.y)} y")

    @property
    def sign(self) -> str:
        """The glyph as one harmless cell."""
        sign = visible_line(self.glyph)[:1]
        return sign if cell_len(sign) == 1 else "●"

    def has_data_of(self, other: "ChartLine") -> bool:
        """Whether both draw the same arrays in the same way."""
        return (
            self.x is other.x
            and self.y is other.y
            and (self.style, self.smooth, self.best) == (other.style, other.smooth, other.best)
        )


@dataclass(frozen=True)
class Reading:
    """A point of a line, in the data's own values."""

    x: float
    y: float


class PreparedLine:
    """What a chart needs of a line, computed once for each change of its data.

    Args:
        line: The line.
        log: Whether y is drawn as its logarithm.
        smoothing: Weight of the moving average, 0 for none.
    """

    def __init__(self, line: ChartLine, *, log: bool, smoothing: float) -> None:
        self.line = line
        self._log = log
        self._x = np.asarray(line.x, dtype=np.float64)
        self._y = np.asarray(line.y, dtype=np.float64)
        self._weight = smoothing if line.smooth and line.style == "line" else 0.0

    @cached_property
    def raw(self) -> Points:
        """The line as it was measured."""
        return self._points(self._y)

    @cached_property
    def shown(self) -> Points:
        """The line that carries glyph and values: smoothed if the chart smooths it."""
        if not self._weight:
            return self.raw
        # Larger ones would overflow within the average.
        bounded = np.where(np.isfinite(self._y), np.clip(self._y, -LIMIT, LIMIT), np.nan)
        return self._points(debiased_ema(bounded, self._weight))

    @property
    def is_smoothed(self) -> bool:
        """Whether `shown` differs from `raw`."""
        return self._weight > 0

    @cached_property
    def broken(self) -> FloatArray:
        """Positions at which the value is not a finite number, ascending."""
        return np.sort(self._x[np.isfinite(self._x) & ~np.isfinite(self._y)])

    @cached_property
    def left_out(self) -> int:
        """How many values a log axis cannot show."""
        return int(np.count_nonzero(np.isfinite(self._y) & (self._y <= 0))) if self._log else 0

    @cached_property
    def best(self) -> Reading | None:
        """The best measured value, if the line wants it marked: the first of equal ones."""
        if self.line.best is None or not len(self.raw.y):
            return None
        lowest = self.line.best == "lowest"
        index = int(np.argmin(self.raw.y) if lowest else np.argmax(self.raw.y))
        return self._reading(self.raw, index)

    @property
    def newest(self) -> Reading | None:
        """The last finite value."""
        return self._reading(self.shown, len(self.shown.x) - 1) if len(self.shown.x) else None

    def nearest(self, x: float) -> Reading | None:
        """The point nearest to `x`; None beyond the line's ends."""
        points = self.shown
        if not len(points.x) or not points.x[0] <= x <= points.x[-1]:
            return None
        right = int(np.searchsorted(points.x, x))
        left = max(0, right - 1)
        is_left = x - points.x[left] < points.x[right] - x
        return self._reading(points, left if is_left else right)

    def _reading(self, points: Points, index: int) -> Reading:
        y = float(points.y[index])
        return Reading(float(points.x[index]), 10.0**y if self._log else y)

    def _points(self, y: FloatArray) -> Points:
        if self._log:
            places = on_log_axis(np.where(np.isfinite(y), y, np.nan))
            return drawable(self._x, np.clip(places, -_LARGEST_LOG, _LARGEST_LOG))
        points = drawable(self._x, y)
        if len(points.y) and max(points.y.max(), -points.y.min()) > LIMIT:
            return Points(points.x, np.clip(points.y, -LIMIT, LIMIT), points.starts)
        return points
