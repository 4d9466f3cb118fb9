"""Axes of a chart: what part of the data is on show, and where the ticks stand.

Positions along an axis are the data's own values, on a log axis their logarithms to base 10: so
zooming, panning and drawing are the same for both.
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
# Values beyond these are drawn at the limit: differences must not overflow.
LIMIT = 1e300
_FINEST_SHARE = 1e-9
_FINEST = 1e-290
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0
_TIME_STEPS = (
    *(1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    *(count * _MINUTE for count in (1, 2, 5, 10, 15, 30)),
    *(count * _HOUR for count in (1, 2, 3, 6, 12)),
)
# Fewer ticks than this make a log axis hard to read: it then has evenly spaced round values.
_FEWEST_LOG_TICKS = 3


@dataclass(frozen=True)
class Span:
    """A stretch of an axis, `low` < `high`."""

    low: float
    high: float

    @property
    def width(self) -> float:
        """Its length."""
        return self.high - self.low

    def share(self, position: float) -> float:
        """Where a position lies: 0 at `low`, 1 at `high`."""
        return (position - self.low) / self.width

    def at(self, share: float) -> float:
        """The position at a share of the way from `low` to `high`."""
        return self.low + share * self.width

    def zoomed(self, factor: float, about: float) -> "Span":
        """Scaled by `factor` about a position that stays where it is.

        Unchanged where numbers could no longer tell the ends apart, or would overflow.
        """
        low = about + (self.low - about) * factor
        high = about + (self.high - about) * factor
        finest = max(_FINEST_SHARE * max(abs(low), abs(high)), _FINEST)
        if not finest < high - low < LIMIT:
            return self
        return Span(low, high)

    def panned(self, share: float) -> "Span":
        """Moved by a share of its own length."""
        shift = share * self.width
        moved = Span(self.low + shift, self.high + shift)
        return moved if abs(moved.low) < LIMIT and moved.width > 0 else self

    def kept_near(self, other: "Span") -> "Span":
        """Moved so that it still shows a tenth of its length of `other`."""
        room = min(self.width, other.width) * 0.1
        shift = min(0.0, other.high - room - self.low) + max(0.0, other.low + room - self.high)
        return Span(self.low + shift, self.high + shift) if shift else self

    def covers(self, other: "Span") -> bool:
        """Whether all of `other` lies inside."""
        return self.low <= other.low and self.high >= other.high


def fitted(low: float, high: float, air: float = 0.0) -> Span:
    """The span that shows everything from `low` to `high`.

    Args:
        low: The lowest position; outliers count like all others.
        high: The highest position.
        air: Share of the length that is left free at both ends.
    """
    low, high = (max(-LIMIT, min(LIMIT, end)) for end in (low, high))
    size = max(abs(low), abs(high))
    if high - low <= max(_FINEST_SHARE * size, _FINEST):
        pad = 0.1 * size if size > _FINEST / _FINEST_SHARE else 1.0
    else:
        pad = air * (high - low)
    return Span(low - pad, high + pad)


@dataclass(frozen=True)
class Tick:
    """A labelled position on an axis."""

    position: float
    label: str


def ticks(span: Span, most: int, kind: Kind = "linear") -> list[Tick]:
    """Round values inside a span with labels that differ, in ascending order.

    Steps are 1, 2 or 5 times a power of ten (of seconds: also the usual parts of an hour and a
    day); on a log axis decades, with 2 and 5 between them where there is room.

    Args:
        span: What is on show; logarithms for a log axis.
        most: How many ticks there is room for.
        kind: What the axis shows.
    """
    if most < 1 or not (math.isfinite(span.low) and math.isfinite(span.high)):
        return []
    if kind == "log":
        found = _log_ticks(span, most)
    elif kind == "seconds" and span.width > most:
        found = _time_ticks(span, most)
    else:
        found = _linear_ticks(span, most, kind)
    return list(_distinct(tick for tick in found if span.low <= tick.position <= span.high))


def _distinct(found: Iterable[Tick]) -> Iterable[Tick]:
    last: Tick | None = None
    for tick in found:
        if last is None or (tick.position > last.position and tick.label != last.label):
            yield tick
            last = tick


def _linear_ticks(span: Span, most: int, kind: Kind) -> list[Tick]:
    exponent = math.floor(math.log10(span.width / most))
    values, step = _finest_that_fit(span, most, exponent)
    if kind == "seconds":
        return [Tick(value, tick_duration_text(value, step)) for value in values]
    return [Tick(value, tick_text(value, step)) for value in values]


def _finest_that_fit(span: Span, most: int, exponent: int) -> tuple[list[float], float]:
    """Multiples inside the span of the finest step with at most so many of them, and that step."""
    steps = [(digit, power) for power in (exponent, exponent + 1) for digit in (1, 2, 5)]
    for digit, power in steps:
        values = _multiples(span, digit, power)
        if len(values) <= most:
            return values, digit * 10.0**power
    digit, power = steps[-1]
    return _multiples(span, digit, power), digit * 10.0**power


def _multiples(span: Span, digit: int, power: int) -> list[float]:
    """Multiples of `digit` times ten to the `power` inside the span, rounded once each."""
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


def _time_ticks(span: Span, most: int) -> list[Tick]:
    for step in _TIME_STEPS:
        first, last = math.ceil(span.low / step), math.floor(span.high / step)
        if last - first < most:
            return [
                Tick(count * step, tick_duration_text(count * step, step))
                for count in range(first, last + 1)
            ]
    days = Span(span.low / _DAY, span.high / _DAY)
    exponent = max(0, math.floor(math.log10(days.width / most)))
    values, resolution = _finest_that_fit(days, most, exponent)
    return [
        Tick(value * _DAY, f"{tick_text(value, resolution)}d" if value else "0") for value in values
    ]


def _log_ticks(span: Span, most: int) -> list[Tick]:
    first, last = math.ceil(span.low), math.floor(span.high)
    decades = last - first + 1
    if decades > most:
        every = math.ceil(decades / most)
        chosen = range(math.ceil(first / every) * every, last + 1, every)
        return [_log_tick(1, power) for power in chosen]
    finer = [_log_tick(digit, power) for power in range(first - 1, last + 1) for digit in (1, 2, 5)]
    finer = [tick for tick in finer if span.low <= tick.position <= span.high]
    if _FEWEST_LOG_TICKS <= len(finer) <= most:
        return finer
    if decades >= _FEWEST_LOG_TICKS or len(finer) > most:
        return [_log_tick(1, power) for power in range(first, last + 1)]
    low, high = 10.0 ** max(-300.0, span.low), 10.0 ** min(300.0, span.high)
    if high - low <= _FINEST:
        return finer
    even = _linear_ticks(Span(low, high), most, "linear")
    even = [Tick(math.log10(tick.position), tick.label) for tick in even if tick.position > 0]
    return [tick for tick in even if span.low <= tick.position <= span.high]


def _log_tick(digit: int, power: int) -> Tick:
    position = math.log10(digit) + power
    if abs(power) > 300:
        return Tick(position, f"{digit}e{power}")
    return Tick(position, tick_text(digit * 10.0**power, 10.0**power))


def on_log_axis(values: FloatArray) -> FloatArray:
    """Positions of values on a log axis; those that are not positive have none (NaN)."""
    positive = values > 0
    return np.log10(values, where=positive, out=np.full(len(values), np.nan))


@dataclass(frozen=True)
class Viewport:
    """The window of a chart; an axis without a span follows the data.

    Attributes:
        x: What is shown across, or None for all there is.
        y: What is shown from bottom to top, or None for what the lines do within `x`.
    """

    x: Span | None = None
    y: Span | None = None

    @property
    def follows(self) -> bool:
        """Whether new data are taken into view by themselves."""
        return self.x is None and self.y is None

    def zoomed_across(self, full: Span, factor: float, about: float) -> "Viewport":
        """Scaled by `factor` about a position; follows again once all of `full` is on show."""
        zoomed = (self.x or full).zoomed(factor, about)
        if zoomed.covers(full):
            return Viewport(None, self.y)
        return Viewport(zoomed.kept_near(full), self.y)

    def panned_across(self, full: Span, share: float) -> "Viewport":
        """Moved by a share of its width; nothing happens while all is on show."""
        if self.x is None:
            return self
        return Viewport(self.x.panned(share).kept_near(full), self.y)

    def zoomed_up(self, shown: Span, factor: float, about: float) -> "Viewport":
        """Scaled from bottom to top, from what is on show."""
        return Viewport(self.x, shown.zoomed(factor, about))

    def panned_up(self, shown: Span, share: float) -> "Viewport":
        """Moved up by a share of what is on show from bottom to top."""
        return Viewport(self.x, shown.panned(share))
