"""Parallel coordinates as characters: vertical axes, and each trial as a line of braille dots."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len, set_cell_size

from transformer_playground.sweeps.figures import ParallelAxis, ParallelLine
from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.braille import (
    BRAILLE,
    DOTS_ACROSS,
    DOTS_DOWN,
    BoolArray,
    BrailleCanvas,
    masks_of,
)
from transformer_playground.tui.shared.text import shorten

Ink = Literal["text", "axis", "poor", "middle", "good", "current"]
Row = tuple[tuple[str, Ink], ...]
"""Pieces of one line, safe to print."""

MOST_LINES = 300
"""Number of lines that are drawn, the best ones."""

_INKS: tuple[Ink, ...] = ("poor", "middle", "good", "current")
_MOST_LABEL = 12
_LEAST_AREA = 6
_LEAST_ROWS = 3
_GAP = 1


@dataclass(frozen=True)
class _Placed:
    """An axis with the columns of its labels and of the lines that lead to the next one.

    Attributes:
        gap: Columns before the labels, which separate them from the lines before.
    """

    axis: ParallelAxis
    index: int
    gap: int
    label: int
    area: int


def parallel_rows(
    axes: Sequence[ParallelAxis],
    lines: Sequence[ParallelLine],
    current: Collection[str],
    width: int,
    height: int,
) -> list[Row]:
    """Titles, then `height - 1` lines of the drawing.

    Axes that do not fit are left out, the speed first; the loss stays.

    Args:
        axes: The axes, the loss last.
        lines: The trials, the best last.
        current: Ids of the runs to bring out.
        width: Columns.
        height: Rows, the titles included.
    """
    placed = _fitting(axes, width)
    rows = max(_LEAST_ROWS, height - 1)
    titles = _titles(placed)
    columns: list[list[Row]] = [[] for _ in range(rows)]
    drawn = lines[-MOST_LINES:]
    inks = np.array([_ink(line, current) for line in drawn], dtype=np.int64)
    for number, each in enumerate(placed):
        labels = _labels(each, rows)
        after = placed[number + 1] if number + 1 < len(placed) else None
        area = _area(each, after, drawn, inks, rows) if after else [()] * rows
        for row in range(rows):
            mark = "┤" if labels[row].strip() else "│"
            columns[row].append(((labels[row], "text"), (mark, "axis"), *area[row]))
    return [titles, *(tuple(piece for part in row for piece in part) for row in columns)]


def _fitting(axes: Sequence[ParallelAxis], width: int) -> list[_Placed]:
    """As many axes as have space, with what is left shared out between them."""
    kept = list(range(len(axes)))
    while len(kept) > 1:
        labels = [_label_width(axes[index]) for index in kept]
        gaps = len(kept) - 1
        if sum(labels) + len(kept) + (_GAP + _LEAST_AREA) * gaps <= width:
            break
        speed = [index for index in kept if axes[index].kind == "rate"]
        kept.remove(speed[0] if speed else kept[-2])
    labels = [_label_width(axes[index]) for index in kept]
    gaps = len(kept) - 1
    space = max(0, width - sum(labels) - len(kept) - _GAP * gaps)
    areas = [space // gaps + (place < space % gaps) for place in range(gaps)] if gaps else []
    return [
        _Placed(axes[index], index, _GAP if place else 0, label, area)
        for place, (index, label, area) in enumerate(zip(kept, labels, [*areas, 0], strict=True))
    ]


def _label_width(axis: ParallelAxis) -> int:
    widest = max((cell_len(visible_line(text)) for _, text in axis.ticks), default=1)
    # The title of the last axis ends with it.
    least = cell_len(axis.title) - 1 if axis.kind == "loss" else 1
    return max(least, min(_MOST_LABEL, widest))


def _titles(placed: Sequence[_Placed]) -> Row:
    """The name of each axis from its labels on; that of the last one ends with it."""
    pieces: list[tuple[str, Ink]] = []
    for number, each in enumerate(placed):
        size = each.gap + each.label + 1 + each.area
        title = visible_line(each.axis.title)
        if number + 1 < len(placed):
            # A space to the next one.
            shown = " " * each.gap + shorten(title, max(1, size - each.gap - 1))
            pieces.append((set_cell_size(shown, size), "text"))
        else:
            shown = shorten(title, size)
            pieces.append((" " * (size - cell_len(shown)) + shown, "text"))
    return tuple(pieces)


def _labels(placed: _Placed, rows: int) -> list[str]:
    """The label of each row; of ticks in one row the first."""
    texts = [""] * rows
    for place, text in placed.axis.ticks:
        row = round((1 - place) * (rows - 1))
        texts[row] = texts[row] or visible_line(text)
    shown = [shorten(text, placed.label) for text in texts]
    return [" " * (placed.gap + placed.label - cell_len(text)) + text for text in shown]


def _ink(line: ParallelLine, current: Collection[str]) -> int:
    row = line.state.row
    if row is not None and row.run_id in current:
        return 3
    return 2 if line.share <= 0.25 else 1 if line.share <= 0.5 else 0


def _area(
    left: _Placed,
    right: _Placed,
    lines: Sequence[ParallelLine],
    inks: NDArray[np.int64],
    rows: int,
) -> list[Row]:
    """The lines from one axis to the next, as pieces of each row."""
    if not left.area:
        return [()] * rows
    canvas = BrailleCanvas(left.area, rows)
    ends = np.array(
        [[_number(line.places[each.index]) for each in (left, right)] for line in lines]
    ).reshape(len(lines), 2)
    known = np.isfinite(ends).all(axis=1)
    for ink in range(len(_INKS)):
        chosen = ends[known & (inks == ink)] if len(lines) else ends
        if len(chosen):
            # The combination under the cursor stays readable among all others.
            dots = _dots(chosen, left.area, rows)
            canvas.add(masks_of(dots), ink, covers=ink == len(_INKS) - 1)
    return [_pieces(canvas, row) for row in range(rows)]


def _dots(ends: NDArray[np.float64], columns: int, rows: int) -> BoolArray:
    """Straight lines as dots [2 x columns, 4 x rows], from the first to the last column."""
    across, down = columns * DOTS_ACROSS, rows * DOTS_DOWN
    # So many points that no dot of a steep line is left out.
    share = np.linspace(0.0, 1.0, 2 * max(across, down))
    x = np.rint(share * (across - 1)).astype(np.int64)
    places = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * share
    # The middle of the row of a label, so that lines meet their ticks.
    y = np.rint((1 - places) * (rows - 1) * DOTS_DOWN + 1).astype(np.int64)
    dots = np.zeros((across, down), dtype=np.bool_)
    dots[np.broadcast_to(x, y.shape), np.clip(y, 0, down - 1)] = True
    return dots


def _pieces(canvas: BrailleCanvas, row: int) -> Row:
    masks, owners = canvas.masks[row], canvas.owner[row]
    pieces: list[tuple[str, Ink]] = []
    for mask, owner in zip(masks.tolist(), owners.tolist(), strict=True):
        char = chr(BRAILLE | mask) if mask else " "
        ink: Ink = _INKS[owner] if owner >= 0 else "text"
        if pieces and pieces[-1][1] == ink:
            pieces[-1] = (pieces[-1][0] + char, ink)
        else:
            pieces.append((char, ink))
    return tuple(pieces)


def _number(place: float | None) -> float:
    return float("nan") if place is None else place
