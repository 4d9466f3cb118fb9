"""Sparkline: the newest value of a quantity and its recent values as blocks, in 1 or 2 rows."""

import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from transformer_playground.formatting import (
    UNKNOWN,
    VALUE_WIDTH,
    fitting_text,
    optional_text,
    value_text,
)
from transformer_playground.terminal import visible_line

_BLOCKS = " ▁▂▃▄▅▆▇█"
_STEPS = 8
NONFINITE = "×"


class RecentValues:
    """Ring buffer of the last `capacity` values of a quantity."""

    def __init__(self, capacity: int) -> None:
        self._values: deque[float] = deque(maxlen=capacity)
        self._pushed = 0

    def push(self, value: float) -> None:
        self._values.append(value)
        self._pushed += 1

    def clear(self) -> None:
        self._values.clear()
        self._pushed = 0

    @property
    def newest(self) -> float | None:
        return self._values[-1] if self._values else None

    @property
    def span(self) -> tuple[float, float] | None:
        finite = [value for value in self._values if math.isfinite(value)]
        return (min(finite), max(finite)) if finite else None

    def columns(self, width: int) -> list[float]:
        """At most `width` values that represent all values, oldest first.

        Each value has a column while they fit. Otherwise each group of values has two, for its
        minimum and maximum in the order they came: no extreme is lost. Groups are counted from the
        first value ever pushed, so that the blocks scroll without flickering.
        """
        values = list(self._values)
        if len(values) <= width:
            return values
        if width < 4:
            return values[len(values) - width :]
        first = self._pushed - len(values)
        size = 2
        # A group may be cut at either end: one more than the quotient.
        while 2 * (len(values) // size + 2) > width and size < len(values):
            size *= 2
        columns: list[float] = []
        start = 0
        while start < len(values):
            end = min(len(values), start + size - (first + start) % size)
            columns.extend(_extremes(values[start:end]))
            start = end
        return columns[-width:]


def _extremes(group: Sequence[float]) -> list[float]:
    finite = [value for value in group if math.isfinite(value)]
    if len(finite) < len(group):
        # A value that is not finite must stay visible whatever its neighbours are.
        return [math.nan, finite[-1] if finite else math.nan]
    low = min(range(len(group)), key=group.__getitem__)
    high = max(range(len(group)), key=group.__getitem__)
    return [group[low], group[high]] if low < high else [group[high], group[low]]


def block_rows(
    columns: Sequence[float], span: tuple[float, float] | None, rows: int, *, log: bool = False
) -> list[str]:
    """Rows of block characters, top row first; each row as long as `columns`.

    Args:
        columns: Values; one that cannot be drawn is a `NONFINITE` in the bottom row.
        span: The values of the lowest and the highest block.
        rows: Character rows, eight steps each.
        log: Draw logarithms; values that are not positive cannot be drawn.
    """
    if log and span is not None and span[0] <= 0:
        positive = [value for value in columns if value > 0 and math.isfinite(value)]
        span = (min(positive), span[1]) if positive else None
    heights = [_height(value, span, rows * _STEPS, log=log) for value in columns]
    lines = []
    for row in reversed(range(rows)):
        cells = []
        for height in heights:
            if height is None:
                cells.append(NONFINITE if row == 0 else " ")
            else:
                cells.append(_BLOCKS[min(_STEPS, max(0, height - row * _STEPS))])
        lines.append("".join(cells))
    return lines


def _height(value: float, span: tuple[float, float] | None, steps: int, *, log: bool) -> int | None:
    """Height in eighths of a row, at least one so that each value is visible."""
    if span is None or not math.isfinite(value) or (log and value <= 0):
        return None
    low, high = span
    if log:
        value, low, high = (math.log10(max(each, 1e-300)) for each in (value, low, high))
    half = high / 2 - low / 2
    if half <= 0:
        return steps // 2
    # Halved, so that the distance between huge values does not overflow.
    share = (value / 2 - low / 2) / half
    return 1 + round(min(1.0, max(0.0, share)) * (steps - 1))


CAPACITY = 512


class Sparkline(Widget):
    """Title, newest value and recent values as blocks; a second row adds their range.

    The blocks span the range of the kept values. A hidden widget computes nothing.

    Args:
        unit: Unit after the newest value.
        show: Formats a value; values too long for `VALUE_WIDTH` are shown by `value_text`.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"sparkline--muted", "sparkline--value"}

    log_scale: reactive[bool] = reactive(False)

    def __init__(
        self,
        title: str,
        *,
        capacity: int = CAPACITY,
        log_scale: bool = False,
        unit: str = "",
        show: Callable[[float], str] = value_text,
        id: str | None = None,  # noqa: A002 - the toolkit's name for it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._title, self._unit = visible_line(title), visible_line(unit)
        self._show = show
        self._recent = RecentValues(capacity)
        self._rows: list[Strip] | None = None
        self._shape = (0, 0)
        self.frames_drawn = 0
        self.set_reactive(Sparkline.log_scale, log_scale)

    def push(self, value: float) -> None:
        self._recent.push(value)
        self._redraw()

    def clear(self) -> None:
        self._recent.clear()
        self._redraw()

    def watch_log_scale(self) -> None:
        self._redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._rows = None

    def _redraw(self) -> None:
        self._rows = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
        shape = (self.size.width, self.size.height)
        if self._rows is None or self._shape != shape:
            base = self.rich_style
            self._rows, self._shape = [row.apply_style(base) for row in self._draw(*shape)], shape
            self.frames_drawn += 1
        return self._rows[y] if y < len(self._rows) else Strip.blank(self.size.width)

    def _draw(self, width: int, height: int) -> list[Strip]:
        muted = self.get_component_rich_style("sparkline--muted")
        value = self.get_component_rich_style("sparkline--value")
        rows = min(height, 2)
        labels = self._labels(rows, muted, value)
        label_width = sum(len(segment.text) for segment in labels[0])
        if label_width + 5 > width:
            # Too narrow for both; the value matters more.
            return [Strip(label).adjust_cell_length(width) for label in labels]
        space = width - label_width - 1
        columns = self._recent.columns(space)
        blocks = block_rows(columns, self._recent.span, rows, log=self.log_scale)
        blank = [Segment(" " * (1 + space - len(columns)))]
        return [
            Strip([*label, *blank, Segment(text)]).adjust_cell_length(width)
            for label, text in zip(labels, blocks, strict=True)
        ]

    def _text(self, value: float) -> str:
        return fitting_text(value, self._show)

    def _labels(self, rows: int, muted: Style, value: Style) -> list[list[Segment]]:
        """Title and values at the left of the blocks, in rows of equal width."""
        newest = self._recent.newest
        number = optional_text(newest, self._text, UNKNOWN)
        unit = f" {self._unit}" if self._unit else ""
        if rows < 2:
            return [
                [
                    Segment(f"{self._title} ", muted),
                    Segment(number.rjust(VALUE_WIDTH), value),
                    Segment(unit, muted),
                ]
            ]
        span = self._recent.span
        extent = "–".join(map(self._text, span)) if span else ""
        width = max(2 * VALUE_WIDTH + 1, len(self._title) + 1 + VALUE_WIDTH + len(unit))
        gap = width - len(self._title) - len(unit)
        return [
            [Segment(self._title, muted), Segment(number.rjust(gap), value), Segment(unit, muted)],
            [Segment(extent.rjust(width), muted)],
        ]
