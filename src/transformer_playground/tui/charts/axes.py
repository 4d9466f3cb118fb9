"""Axes of a chart: ticks, and the visible range of the data with zoom and pan.

Positions along an axis are data values, on a log axis their logarithms to base 10, so that zooming,
panning and drawing are the same for both.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from transformer_playground.formatting import tick_duration_text, tick_text

FloatArray = NDArray[np.float64]
Kind = Literal["linear", "log", "seconds"]
# Larger values are clipped, so that differences do not overflow.
LIMIT = 1e300
_MIN_RELATIVE_WIDTH = 1e-9
_MIN_WIDTH = 1e-290
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_TIME_STEPS = (
    *(1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    *(count * _MINUTE for count in (1, 2, 5, 10, 15, 30)),
    *(count * _HOUR for count in (1, 2, 3, 6, 12)),
)
# A log axis with fewer ticks is hard to read and has evenly spaced values instead.
_MIN_LOG_TICKS = 3


@dataclass(frozen=True)
class Span:
    """Interval of an axis, `low` < `high`."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low

    def share(self, position: float) -> float:
        """Relative position: 0 at `low`, 1 at `high`."""
        return (position - self.low) / self.width

    def at(self, share: float) -> float:
        """Inverse of `share`."""
        return self.low + share * self.width

    def zoomed(self, factor: float, about: float) -> "Span":
        """Scaled by `factor` about a fixed position; unchanged where floats lack the precision."""
        low = about + (self.low - about) * factor
        high = about + (self.high - about) * factor
        min_width = max(_MIN_RELATIVE_WIDTH * max(abs(low), abs(high)), _MIN_WIDTH)
        if not min_width < high - low < LIMIT:
            return self
        return Span(low, high)

    def panned(self, share: float) -> "Span":
        shift = share * self.width
        moved = Span(self.low + shift, self.high + shift)
        return moved if abs(moved.low) < LIMIT and moved.width > 0 else self

    def kept_near(self, other: "Span") -> "Span":
        """Moved so that at least a tenth of its width overlaps `other`."""
        overlap = min(self.width, other.width) * 0.1
        shift = min(0.0, other.high - overlap - self.low) + max(
            0.0, other.low + overlap - self.high
        )
        return Span(self.low + shift, self.high + shift) if shift else self

    def covers(self, other: "Span") -> bool:
        return self.low <= other.low and self.high >= other.high


def fit_span(low: float, high: float, margin: float = 0.0) -> Span:
    """The span from `low` to `high`, widened by a share `margin` of its width at both ends."""
    low, high = (max(-LIMIT, min(LIMIT, end)) for end in (low, high))
    size = max(abs(low), abs(high))
    if high - low <= max(_MIN_RELATIVE_WIDTH * size, _MIN_WIDTH):
        pad = 0.1 * size if size > _MIN_WIDTH / _MIN_RELATIVE_WIDTH else 1.0
    else:
        pad = margin * (high - low)
    return Span(low - pad, high + pad)


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis."""

    position: float
    label: str


def ticks(span: Span, limit: int, kind: Kind = "linear") -> list[Tick]:
    """Ticks at round values inside a span, in ascending order and with distinct labels.

    Steps are 1, 2 or 5 times a power of ten (for seconds also the usual parts of an hour and a
    day); a log axis has decades, with 2 and 5 between them where they fit.

    Args:
        span: Visible range; logarithms for a log axis.
    """
    if limit < 1 or not (math.isfinite(span.low) and math.isfinite(span.high)):
        return []
    if kind == "log":
        found = _log_ticks(span, limit)
    elif kind == "seconds" and span.width > limit:
        found = _time_ticks(span, limit)
    else:
        found = _linear_ticks(span, limit, kind)
    return list(_distinct(tick for tick in found if span.low <= tick.position <= span.high))


def _distinct(found: Iterable[Tick]) -> Iterable[Tick]:
    last: Tick | None = None
    for tick in found:
        if last is None or (tick.position > last.position and tick.label != last.label):
            yield tick
            last = tick


def _linear_ticks(span: Span, limit: int, kind: Kind) -> list[Tick]:
    exponent = math.floor(math.log10(span.width / limit))
    values, step = _multiples_of_best_step(span, limit, exponent)
    if kind == "seconds":
        return [Tick(value, tick_duration_text(value, step)) for value in values]
    return [Tick(value, tick_text(value, step)) for value in values]


def _multiples_of_best_step(span: Span, limit: int, exponent: int) -> tuple[list[float], float]:
    """The multiples inside the span of the smallest step with at most `limit` of them; the step."""
    steps = [(digit, power) for power in (exponent, exponent + 1) for digit in (1, 2, 5)]
    for digit, power in steps:
        values = _multiples(span, digit, power)
        if len(values) <= limit:
            return values, digit * 10.0**power
    digit, power = steps[-1]
    return _multiples(span, digit, power), digit * 10.0**power


def _multiples(span: Span, digit: int, power: int) -> list[float]:
    """Multiples of `digit` times ten to the `power` inside the span, each rounded only once."""
    step = digit * 10.0**power
    # One more at each end: the quotients are rounded.
    first, last = math.floor(span.low / step), math.ceil(span.high / step)
    scale = 10.0 ** abs(power) if abs(power) <= 22 else None
    values = []
    for count in range(first, min(last, first + 1000) + 1):
        if scale is None:
            value = count * step
        else:
            value = count * digit * scale if power >= 0 else count * digit / scale
        if span.low <= value <= span.high:
            values.append(value)
    return values


def _time_ticks(span: Span, limit: int) -> list[Tick]:
    for step in _TIME_STEPS:
        first, last = math.ceil(span.low / step), math.floor(span.high / step)
        if last - first < limit:
            return [
                Tick(count * step, tick_duration_text(count * step, step))
                for count in range(first, last + 1)
            ]
    days = Span(span.low / _DAY, span.high / _DAY)
    exponent = max(0, math.floor(math.log10(days.width / limit)))
    values, resolution = _multiples_of_best_step(days, limit, exponent)
    return [
        Tick(value * _DAY, f"{tick_text(value, resolution)}d" if value else "0") for value in values
    ]


def _log_ticks(span: Span, limit: int) -> list[Tick]:
    first, last = math.ceil(span.low), math.floor(span.high)
    decades = last - first + 1
    if decades > limit:
        every = math.ceil(decades / limit)
        chosen = range(math.ceil(first / every) * every, last + 1, every)
        return [_log_tick(1, power) for power in chosen]
    finer = [_log_tick(digit, power) for power in range(first - 1, last + 1) for digit in (1, 2, 5)]
    finer = [tick for tick in finer if span.low <= tick.position <= span.high]
    if _MIN_LOG_TICKS <= len(finer) <= limit:
        return finer
    if decades >= _MIN_LOG_TICKS or len(finer) > limit:
        return [_log_tick(1, power) for power in range(first, last + 1)]
    low, high = 10.0 ** max(-300.0, span.low), 10.0 ** min(300.0, span.high)
    if high - low <= _MIN_WIDTH:
        return finer
    even = _linear_ticks(Span(low, high), limit, "linear")
    even = [Tick(math.log10(tick.position), tick.label) for tick in even if tick.position > 0]
    return [tick for tick in even if span.low <= tick.position <= span.high]


def _log_tick(digit: int, power: int) -> Tick:
    position = math.log10(digit) + power
    if abs(power) > 300:
        return Tick(position, f"{digit}e{power}")
    return Tick(position, tick_text(digit * 10.0**power, 10.0**power))


def to_log_axis(values: FloatArray) -> FloatArray:
    """Positions of values on a log axis; NaN for values that are not positive."""
    positive = values > 0
    return np.log10(values, where=positive, out=np.full(len(values), np.nan))


@dataclass(frozen=True)
class Viewport:
    """Visible range of a chart; an axis without a span follows the data.

    Attributes:
        x: Visible range of x; None shows all data.
        y: Visible range of y; None fits the data within `x`.
    """

    x: Span | None = None
    y: Span | None = None

    @property
    def follows(self) -> bool:
        return self.x is None and self.y is None

    def zoomed_x(self, full: Span, factor: float, about: float) -> "Viewport":
        """Scaled by `factor` about a position; follows again once all of `full` is visible."""
        zoomed = (self.x or full).zoomed(factor, about)
        if zoomed.covers(full):
            return Viewport(None, self.y)
        return Viewport(zoomed.kept_near(full), self.y)

    def panned_x(self, full: Span, share: float) -> "Viewport":
        """Moved by a share of its width; unchanged while everything is visible."""
        if self.x is None:
            return self
        return Viewport(self.x.panned(share).kept_near(full), self.y)

    def zoomed_y(self, shown: Span, factor: float, about: float) -> "Viewport":
        return Viewport(self.x, shown.zoomed(factor, about))

    def panned_y(self, shown: Span, share: float) -> "Viewport":
        return Viewport(self.x, shown.panned(share))
