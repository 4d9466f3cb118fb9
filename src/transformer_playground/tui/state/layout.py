"""How a chart divides its room among legend, axes and plotting area."""

from dataclasses import dataclass

# Width of the y labels where they need no more.
LABEL_WIDTH = 5
_WIDEST_LABEL = 12
_NARROWEST_WITH_LABELS = 24
_LOWEST_WITH_AXIS, _LOWEST_WITH_LEGEND, _LOWEST_WITH_RULE = 4, 6, 9
_ROWS_A_LEGEND_LINE = 6


@dataclass(frozen=True)
class Layout:
    """Sizes in character cells.

    Attributes:
        width: Of everything.
        height: Of everything.
        legend: Rows of the legend, at the top.
        gutter: Columns of the y labels and the axis, at the left.
        axis: Rows of the x axis, at the bottom: none, its labels, or a rule and its labels.
    """

    width: int
    height: int
    legend: int
    gutter: int
    axis: int

    @property
    def columns(self) -> int:
        """Columns of the plotting area."""
        return self.width - self.gutter

    @property
    def rows(self) -> int:
        """Rows of the plotting area."""
        return self.height - self.legend - self.axis


def most_legend_lines(height: int) -> int:
    """How many rows a legend may have in a room of this height."""
    return max(1, height // _ROWS_A_LEGEND_LINE) if height >= _LOWEST_WITH_LEGEND else 0


def arrange(width: int, height: int, *, legend_lines: int, label_width: int) -> Layout:
    """Divide a room of any size from 1 by 1; what does not fit is left out, the lines never are.

    Args:
        width: Columns of the room.
        height: Rows of the room.
        legend_lines: Rows that the whole legend needs.
        label_width: Columns that the widest y label needs.
    """
    has_labels = width >= _NARROWEST_WITH_LABELS and height >= 2
    gutter = min(label_width, _WIDEST_LABEL) + 2 if has_labels else 0
    axis = 0 if height < _LOWEST_WITH_AXIS else 1 if height < _LOWEST_WITH_RULE else 2
    return Layout(width, height, min(most_legend_lines(height), legend_lines), gutter, axis)
