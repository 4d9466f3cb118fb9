"""Labels at the right ends of lines: glyph and name of each, and its value where it is short."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style

from transformer_playground.formatting import VALUE_WIDTH
from transformer_playground.tui.charts.plot import Plot
from transformer_playground.tui.charts.series import PreparedLine
from transformer_playground.tui.charts.strips import LegendEntry
from transformer_playground.tui.shared.text import shorten_name

_MIN_WIDTH, _MIN_HEIGHT = 48, 3
# A lower chart has the values here instead of a legend above.
_MIN_HEIGHT_WITH_LEGEND = 12
_MAX_NAME, _NAME_SHARE = 24, 5
# Where the labels stand for a legend.
_MAX_NAME_ALONE, _NAME_SHARE_ALONE = 32, 4
# The space before the glyph and the one after it.
_GLYPH_CELLS = 3


@dataclass(frozen=True)
class EndLabels:
    """Labels of lines and their columns.

    Attributes:
        width: Columns at the right of the plot; 0 = no labels.
        has_values: Whether they hold the values, so that no legend is needed.
        are_short: Whether they have the short names, because a name has no room.
    """

    entries: Sequence[LegendEntry] = ()
    width: int = 0
    has_values: bool = False
    are_short: bool = False

    def rows(
        self, plot: Plot, lines: Sequence[PreparedLine], muted: Style, value: Style
    ) -> dict[int, list[Segment]]:
        """Row of the plot -> its label.

        Args:
            lines: The lines of the entries, in the same order.

        Of more lines than rows those on top and the best ones have a label, and the last row says
        how many have none. An arrow says that a line ends above or below the plot.
        """
        wanted = []
        for entry, line in zip(self.entries, lines, strict=True):
            y = _end(line, plot)
            if y is not None:
                rank = y if line.line.best == "lowest" else -y
                wanted.append((not line.line.on_top, rank, y, entry))
        is_crowded = len(wanted) > plot.rows
        rows = plot.rows - is_crowded
        shown = sorted(wanted, key=lambda item: item[:2])[:rows]
        # Also within a row the highest first.
        shown.sort(key=lambda item: -item[2])
        places = spread([_row(y, plot) for _, _, y, _ in shown], rows)
        labels = {
            row: self._label(entry, _beyond(y, plot), muted, value)
            for row, (_, _, y, entry) in zip(places, shown, strict=True)
        }
        if is_crowded:
            more = set_cell_size(f"   +{len(wanted) - rows} more", self.width)
            labels[rows] = [Segment(more, muted)]
        return labels

    def _label(self, entry: LegendEntry, beyond: str, muted: Style, value: Style) -> list[Segment]:
        figures = entry.value.rjust(_value_cells(self.entries)) if self.has_values else ""
        space = self.width - _GLYPH_CELLS - len(figures)
        shown = (entry.short if self.are_short else "") or entry.name
        name = set_cell_size(shorten_name(shown, space), space)
        return [
            Segment(f" {entry.glyph}{beyond}" if beyond else f" {entry.sign}", entry.style),
            Segment(name, entry.name_style(muted, value)),
            Segment(figures, value),
        ]


def end_labels(
    entries: Sequence[LegendEntry], width: int, height: int, *, has_room_above: bool = True
) -> EndLabels:
    """Labels for a chart of this size; none where it is small.

    Args:
        height: Rows of plot and axis.
        has_room_above: Whether a legend above the plot holds all entries with their names in full.
    """
    if not entries or width < _MIN_WIDTH or height < _MIN_HEIGHT:
        return EndLabels()
    is_low = height < _MIN_HEIGHT_WITH_LEGEND and len(entries) <= height - 2
    has_values = is_low or not has_room_above
    if has_room_above:
        space = min(_MAX_NAME, width // _NAME_SHARE)
    else:
        space = min(_MAX_NAME_ALONE, width // _NAME_SHARE_ALONE)
    longest = max(cell_len(entry.name) for entry in entries)
    are_short = longest > space
    if are_short:
        longest = max(cell_len(entry.short or entry.name) for entry in entries)
    name = min(longest, space)
    figures = _value_cells(entries) if has_values else 0
    return EndLabels(entries, _GLYPH_CELLS + name + figures, has_values, are_short)


def _value_cells(entries: Sequence[LegendEntry]) -> int:
    """Columns of the values and the space before them."""
    return 1 + max([VALUE_WIDTH, *(cell_len(entry.value) for entry in entries)])


def spread(wanted: Sequence[int], rows: int) -> list[int]:
    """Distinct rows near the wanted ones.

    Args:
        wanted: Ascending rows, at most `rows` of them.
    """
    places: list[int] = []
    for row in wanted:
        places.append(max(row, places[-1] + 1) if places else row)
    limit = rows - 1
    for index in reversed(range(len(places))):
        places[index] = min(places[index], limit)
        limit = places[index] - 1
    return places


def _end(line: PreparedLine, plot: Plot) -> float | None:
    """Position of the last visible point on the y axis, which may lie beyond the plot."""
    points = line.shown
    last = int(np.searchsorted(points.x, plot.x.high, side="right")) - 1
    if last < 0 or points.x[last] < plot.x.low:
        return None
    return float(points.y[last])


def _row(y: float, plot: Plot) -> int:
    """Row of a position on the y axis, the nearest one if it lies beyond the plot."""
    return plot.row_of(min(max(y, plot.y.low), plot.y.high)) or 0


def _beyond(y: float, plot: Plot) -> str:
    """Where a position on the y axis lies beyond the plot; empty if it does not."""
    return "↑" if y > plot.y.high else "↓" if y < plot.y.low else ""
