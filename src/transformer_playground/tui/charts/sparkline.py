"""Sparklines: values as rows of block characters."""

import math
from collections.abc import Sequence

_BLOCKS = " ▁▂▃▄▅▆▇█"
_STEPS = 8
NONFINITE = "×"
"""Stands for a value that cannot be drawn."""


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
