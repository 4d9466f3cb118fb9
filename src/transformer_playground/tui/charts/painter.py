"""A chart's picture and axes as strips of styled text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.color import Color, ColorParseError
from textual.strip import Strip

from transformer_playground.formatting import duration_text, position_text
from transformer_playground.tui.charts.axes import Kind, Tick
from transformer_playground.tui.charts.braille_picture import (
    BROKEN,
    CROSSHAIR,
    GRID,
    Layout,
    Picture,
)
from transformer_playground.tui.charts.series import PreparedLine

_FAINT = 0.38


@dataclass(frozen=True)
class Palette:
    """Styles of a chart's parts.

    Attributes:
        text: Values.
        muted: Labels and the rules of the axes.
        grid: Grid dots.
        crosshair: The crosshair's line.
        broken: Marks where values are not numbers.
        background: What faint colours are mixed with.
    """

    text: Style
    muted: Style
    grid: Style
    crosshair: Style
    broken: Style
    background: Color

    def line(self, line: PreparedLine, *, faint: bool = False) -> Style:
        """Style of a line; a colour that cannot be read counts as none."""
        try:
            colour = Color.parse(line.line.colour)
        except ColorParseError:
            return self.muted if faint else self.text
        if faint:
            colour = self.background.blend(colour, _FAINT)
        return Style(color=colour.rich_color)

    def of_owners(self, lines: Sequence[PreparedLine]) -> Mapping[int, Style]:
        """Owner of a cell -> its style."""
        styles = {GRID: self.grid, BROKEN: self.broken, CROSSHAIR: self.crosshair}
        for number, line in enumerate(lines):
            faint = self.line(line, faint=True)
            styles[2 * number + 1] = faint
            styles[2 * number] = faint if line.line.style == "dim" else self.line(line)
        return styles


def plot_strips(
    picture: Picture, layout: Layout, styles: Mapping[int, Style], muted: Style
) -> list[Strip]:
    """The plotting area with the y axis at its left."""
    labels = {picture.row_of(tick.position): tick.label for tick in picture.y_ticks}
    strips = []
    for row in range(picture.rows):
        segments = _gutter(labels.get(row), layout.gutter, muted)
        segments += _runs(picture.characters[row], picture.owner[row], styles)
        strips.append(Strip(segments, layout.width))
    return strips


def _gutter(label: str | None, width: int, style: Style) -> list[Segment]:
    if not width:
        return []
    text = set_cell_size((label or "").rjust(width - 2), width - 2)
    return [Segment(f"{text} {'┤' if label is not None else '│'}", style)]


def _runs(
    characters: np.ndarray[tuple[int], np.dtype[np.uint32]],
    owner: np.ndarray[tuple[int], np.dtype[np.int16]],
    styles: Mapping[int, Style],
) -> list[Segment]:
    turns = np.flatnonzero(np.diff(owner)) + 1
    bounds = [0, *turns.tolist(), len(owner)]
    text = characters.astype("<u4").tobytes().decode("utf-32-le")
    return [
        Segment(text[first:last], styles.get(int(owner[first]))) for first, last in pairwise(bounds)
    ]


def axis_strips(
    picture: Picture,
    layout: Layout,
    palette: Palette,
    *,
    kind: Kind,
    label: str,
    at: float | None,
) -> list[Strip]:
    """The x axis: a rule with ticks and the labels below, with the crosshair's position on it."""
    places = [(picture.column_of(tick.position), tick) for tick in picture.x_ticks]
    ticks = [(column, tick) for column, tick in places if column is not None]
    strips = []
    if layout.axis > 1:
        marks = {column for column, _ in ticks}
        rule = "".join("┬" if column in marks else "─" for column in range(layout.columns))
        corner = "└".rjust(layout.gutter) if layout.gutter else ""
        strips.append(Strip([Segment(corner + rule, palette.muted)], layout.width))
    if layout.axis:
        here = None
        if at is not None and (column := picture.column_of(at)) is not None:
            here = column, f" {duration_text(at) if kind == 'seconds' else position_text(at)} "
        strips.append(_label_row(ticks, here, label, layout, palette))
    return strips


def _label_row(
    ticks: Sequence[tuple[int, Tick]],
    here: tuple[int, str] | None,
    label: str,
    layout: Layout,
    palette: Palette,
) -> Strip:
    """Labels centred below their ticks; the axis' name takes the right end where it is free."""
    width = layout.width
    row = _Row(width)
    if here is not None:
        column, text = here
        row.put(text, layout.gutter + column - len(text) // 2, palette.text + Style(reverse=True))
    name = set_cell_size(label, min(cell_len(label), width // 3))
    row.put(name, width - cell_len(name), palette.muted + Style(italic=True))
    for column, tick in ticks:
        row.put(tick.label, layout.gutter + column - len(tick.label) // 2, palette.muted)
    return row.strip()


class _Row:
    """Texts in one row, none over another; who comes first has the right of way."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._taken: list[tuple[int, str, Style]] = []

    def put(self, text: str, start: int, style: Style) -> None:
        """Place a text near `start`, unless it would touch what is there or does not fit."""
        start = max(0, min(start, self._width - cell_len(text)))
        end = start + cell_len(text)
        crowded = any(
            start < begin + cell_len(other) + 1 and begin < end + 1
            for begin, other, _ in self._taken
        )
        if text and end <= self._width and not crowded:
            self._taken.append((start, text, style))

    def strip(self) -> Strip:
        """The row."""
        segments: list[Segment] = []
        filled = 0
        for start, text, style in sorted(self._taken, key=lambda item: item[0]):
            segments += [Segment(" " * (start - filled)), Segment(text, style)]
            filled = start + cell_len(text)
        segments.append(Segment(" " * (self._width - filled)))
        return Strip(segments, self._width)
