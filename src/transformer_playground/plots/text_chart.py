"""A curve of losses as lines of text, for terminals."""

import math
from collections.abc import Callable, Sequence

from transformer_playground.formatting import loss_text

_MARK, _POINT = "│", "●"


def chart_lines(
    xs: Sequence[float],
    ys: Sequence[float],
    *,
    width: int,
    height: int,
    show_x: Callable[[float], str],
    marks: Sequence[tuple[float, str]] = (),
) -> list[str]:
    """A curve over a logarithmic axis, with an axis of y at the left.

    Args:
        xs: Positive and increasing, at least two.
        ys: As many; all finite.
        width: Cells of a line.
        height: Lines of the curve; two more have the axis of x.
        marks: Vertical lines: x and a letter that stands below it.
    """
    low, high = min(ys), max(ys)
    span = (high - low) or 1.0
    labels = [loss_text(high - span * place / max(1, height - 1)) for place in range(height)]
    margin = max(map(len, labels)) + 1
    columns = max(8, width - margin - 1)
    first, last = math.log(xs[0]), math.log(xs[-1])

    def column(x: float) -> int:
        return round((math.log(x) - first) / (last - first) * (columns - 1))

    cells = [[" "] * columns for _ in range(height)]
    below = [" "] * columns
    for x, letter in marks:
        if xs[0] <= x <= xs[-1]:
            for line in cells:
                line[column(x)] = _MARK
            below[column(x)] = letter
    for x, y in zip(xs, ys, strict=True):
        cells[round((high - y) / span * (height - 1))][column(x)] = _POINT
    lines = [
        f"{label.rjust(margin)}┤{''.join(line)}".rstrip()
        for label, line in zip(labels, cells, strict=True)
    ]
    lines.append(f"{' ' * margin}└{'─' * columns}")
    ends = show_x(xs[0]), show_x(xs[-1])
    between = below[len(ends[0]) : columns - len(ends[1])]
    lines.append(f"{' ' * margin} {ends[0]}{''.join(between)}{ends[1]}")
    return lines
