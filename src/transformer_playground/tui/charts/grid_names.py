"""Names and values beside small charts: the title of each, and one legend of the lines in all."""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.series import PreparedLine, ranked
from transformer_playground.tui.charts.strips import Legend, LegendEntry, Palette, legend_entry
from transformer_playground.tui.shared.text import shorten_name

_LEGEND_NAME = 22
# Columns of an entry with a short name, for the height of the legend.
_ENTRY_WIDTH = 34
_ROWS_PER_LEGEND_ROW = 16


def entries_of(
    lines: Sequence[PreparedLine], at: float | None, palette: Palette
) -> list[LegendEntry]:
    """Sign, name and value of each line of the legend with values, the best first."""
    return [
        legend_entry(line, at, palette.line(line, faint=line.line.style == "dim"))
        for line in ranked(lines, at)
        if len(line.shown.x)
    ]


def title_strip(
    title: str,
    note: str,
    entries: Sequence[LegendEntry],
    width: int,
    palette: Palette,
    style: Style,
    *,
    has_best: bool = True,
) -> Strip:
    """The row above a chart: its title, and the values of as many lines as fit.

    One line has its sign before the title and, where `has_best`, its best value at the end.

    Args:
        title: Untrusted text.
        note: Follows the title where there is space.
        entries: The best first.
        style: Style of the title.
    """
    name = visible_line(title)
    head, values = Segment("  ", style), list[list[Segment]]()
    if len(entries) == 1:
        entry = entries[0]
        head = Segment(f"{entry.glyph} ", entry.style)
        best = f" {entry.best}" if entry.best and has_best else ""
        values = [[Segment(entry.value, palette.text), Segment(best, palette.muted)]]
    elif entries:
        head = Segment("")
        values = [
            [Segment(f" {entry.glyph} ", entry.style), Segment(entry.value, palette.text)]
            for entry in entries
        ]
    # Title and note have what the first value leaves, the other values what these leave.
    first = _cells(values[0]) if values else 0
    name = shorten_name(name, max(0, width - cell_len(head.text) - first - 1))
    space = width - cell_len(head.text + name) - 1
    note = f" {note}" if note and cell_len(note) + first < space else ""
    space -= cell_len(note)
    shown: list[Segment] = []
    for parts in values:
        if _cells([*shown, *parts]) > space:
            break
        shown += parts
    gap = " " * max(1, space + 1 - _cells(shown))
    return Strip(
        [head, Segment(name, style), Segment(note, palette.muted), Segment(gap), *shown]
    ).adjust_cell_length(width)


def has_room_for_best(title: str, entries: Sequence[LegendEntry], width: int) -> bool:
    """Whether the title of a chart has room for the best value of its only line."""
    if len(entries) != 1 or not entries[0].best:
        return True
    entry = entries[0]
    parts = f"{entry.glyph} {visible_line(title)} {entry.value} {entry.best}"
    return cell_len(parts) <= width


def _cells(parts: Sequence[Segment]) -> int:
    return sum(cell_len(part.text) for part in parts)


def legend_rows(count: int, width: int, height: int) -> int:
    """Rows of the legend of a grid.

    Args:
        count: Number of its entries.
        width: Columns of the whole grid.
        height: Rows of the whole grid.
    """
    if count < 2:
        return 0
    across = max(1, (width - _LEGEND_NAME) // _ENTRY_WIDTH)
    return min(-(-count // across), max(1, height // _ROWS_PER_LEGEND_ROW))


def legend_strips(
    title: str,
    at: str,
    entries: Sequence[LegendEntry],
    width: int,
    rows: int,
    palette: Palette,
) -> list[Strip]:
    """The lines of the selected chart with their names and values, the best first.

    Args:
        title: Title of the chart; untrusted text.
        at: Position of the crosshair as a text, empty without one.
    """
    where = f" @ {at}" if at else ""
    name = shorten_name(visible_line(title), max(0, _LEGEND_NAME - 2 - cell_len(where))) + where
    head = set_cell_size(name, _LEGEND_NAME)
    legend = Legend(entries, (), max(1, width - _LEGEND_NAME), rows, palette.text, palette.muted)
    return [
        Strip.join(
            [Strip([Segment(head if row == 0 else " " * _LEGEND_NAME, palette.muted)]), strip]
        ).adjust_cell_length(width)
        for row, strip in enumerate(legend.strips(rows))
    ]
