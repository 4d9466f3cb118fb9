"""Recent values as rows of block characters."""

import math
from collections import deque
from collections.abc import Sequence

_BLOCKS = " ▁▂▃▄▅▆▇█"
_STEPS = 8
BROKEN = "×"


class Recent:
    """The last values of a quantity, bounded in number.

    Args:
        capacity: How many are kept.
    """

    def __init__(self, capacity: int) -> None:
        self._values: deque[float] = deque(maxlen=capacity)
        self._pushed = 0

    def push(self, value: float) -> None:
        """Take in one more; the oldest gives way when there is no room."""
        self._values.append(value)
        self._pushed += 1

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()
        self._pushed = 0

    @property
    def newest(self) -> float | None:
        """The last value, finite or not."""
        return self._values[-1] if self._values else None

    @property
    def span(self) -> tuple[float, float] | None:
        """The lowest and the highest finite value that is kept."""
        finite = [value for value in self._values if math.isfinite(value)]
        return (min(finite), max(finite)) if finite else None

    def columns(self, width: int) -> list[float]:
        """At most `width` values that stand for all that are kept, oldest first.

        While there is room each value has a column. Then each group of values has two, for its
        lowest and its highest in the order in which they came: no extreme is lost. Groups are
        counted from the first value ever, so that the picture moves on without flickering.
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
        # A value that is not a number must be seen, whatever its neighbours are.
        return [math.nan, finite[-1] if finite else math.nan]
    low = min(range(len(group)), key=group.__getitem__)
    high = max(range(len(group)), key=group.__getitem__)
    return [group[low], group[high]] if low < high else [group[high], group[low]]


def block_rows(
    columns: Sequence[float], span: tuple[float, float] | None, rows: int, *, log: bool = False
) -> list[str]:
    """Rows of block characters, top row first; each row as long as `columns`.

    Args:
        columns: Values; one that cannot be drawn is a `BROKEN` in the bottom row.
        span: The values that the lowest block and the topmost one stand for.
        rows: Character rows, eight steps each.
        log: Draw logarithms; values that are not positive cannot be drawn.
    """
    if log and span is not None and span[0] <= 0:
        positive = [value for value in columns if value > 0 and math.isfinite(value)]
        span = (min(positive), span[1]) if positive else None
    heights = [_height(value, span, rows * _STEPS, log=log) for value in columns]
    pictures = []
    for row in reversed(range(rows)):
        signs = []
        for height in heights:
            if height is None:
                signs.append(BROKEN if row == 0 else " ")
            else:
                signs.append(_BLOCKS[min(_STEPS, max(0, height - row * _STEPS))])
        pictures.append("".join(signs))
    return pictures


def _height(value: float, span: tuple[float, float] | None, steps: int, *, log: bool) -> int | None:
    """Eighths of a row, at least one so that each value is seen."""
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
