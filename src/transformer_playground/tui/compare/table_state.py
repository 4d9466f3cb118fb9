"""Rows and columns of the comparison table, and how they fit into a width."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len

from transformer_playground.comparison.leaderboard import SIGNS, Cell, Head, Leaderboard, Sign
from transformer_playground.terminal import visible_line
from transformer_playground.tui.shared.text import shorten_middle, title_lines

MAX_WIDTH = 36
"""Maximum width of a value."""
BEST = "◎"
GAP = 2
CURVE_KEY = "#curve"
CURVE_CELLS = 12

_LOSS = "best_val_loss"
# Cursor, glyph and a space.
_EDGE = 3
_MAX_NAME, _LEAST_NAME, _NAME_SHARE = 36, 14, 0.3
_SHORT_TITLE = 6


@dataclass(frozen=True)
class RowCell:
    """A cell, safe to display.

    Attributes:
        delta: Difference from the baseline with its sign; "" if there is none.
    """

    text: str
    delta: str = ""
    sign: Sign | None = None
    mark: str = ""

    def value(self, *, error: bool = True) -> str:
        """The value, with its standard error if wanted, and the mark of the best."""
        text = self.text if error else self.text.partition(" ± ")[0]
        return f"{text} {self.mark}" if self.mark else text

    @property
    def shift(self) -> str:
        """The difference and the sign of its verdict."""
        return f"{self.delta} {SIGNS[self.sign] if self.sign else ' '}" if self.delta else ""


@dataclass(frozen=True)
class Row:
    """A run or group of seeds.

    Attributes:
        key: Id of its first run; not unique for a mean.
        name: Safe to display.
        cells: One for each column.
        is_mean: A mean of runs that have rows of their own.
    """

    key: str
    name: str
    glyph: str
    colour: str
    cells: tuple[RowCell, ...]
    is_pinned: bool = False
    is_mean: bool = False


@dataclass(frozen=True)
class TableColumn:
    """A column of the table.

    Attributes:
        place: Number of its cell in each row.
        lines: Its title in one or two lines, safe to display.
        is_number: Whether values are aligned at the right.
        values: Cells of the longest value.
        bare: The same without standard errors.
        errors: Whether standard errors are shown.
        shift: Cells of the differences after them; 0 if they are not shown.
    """

    key: str
    place: int
    lines: tuple[str, ...]
    is_number: bool
    values: int
    bare: int
    shift: int = 0
    errors: bool = True

    @property
    def width(self) -> int:
        """Cells of the values: with the differences at least as many as the title."""
        title = max(map(cell_len, self.lines))
        values = self.values if self.errors else self.bare
        return max(values, title - (1 + self.shift if self.shift else 0))

    @property
    def total(self) -> int:
        """Cells of values, differences and the gap before them."""
        return GAP + self.width + (1 + self.shift if self.shift else 0)

    @property
    def narrower(self) -> "TableColumn":
        """The same without differences and standard errors."""
        return replace(self, shift=0, errors=False)


def row_cells(cells: Sequence[Cell]) -> tuple[RowCell, ...]:
    """Cells of the leaderboard as displayed."""
    return tuple(
        RowCell(
            shorten_middle(visible_line(cell.text), MAX_WIDTH),
            visible_line(cell.delta),
            cell.sign,
            BEST if cell.is_best else "",
        )
        for cell in cells
    )


def columns_of(board: Leaderboard, rows: Sequence[Row], width: int) -> list[TableColumn]:
    """Columns of a leaderboard; differences of all metrics are shown where they fit.

    Where not even the validation loss would be seen, it comes first.

    Args:
        board: The leaderboard.
        rows: Its rows as displayed.
        width: Cells for all columns, the name included.
    """
    columns = [
        _column(place, head, [row.cells[place] for row in rows])
        for place, head in enumerate(board.heads)
    ]
    curve = TableColumn(CURVE_KEY, len(columns), ("val loss",), False, CURVE_CELLS, CURVE_CELLS)
    names = name_width(rows, width)
    if names + sum(column.total for column in (*columns, curve)) > width:
        columns = [column if column.key == _LOSS else column.narrower for column in columns]
    space = width - names
    for column in columns:
        space -= column.total
        if column.key == _LOSS and space < 0:
            columns = [column, *(other for other in columns if other is not column)]
            break
    return [*columns, curve]


def name_width(rows: Sequence[Row], width: int) -> int:
    """Cells for glyph and name: all they need, but not more than a share of the width."""
    wanted = max((cell_len(row.name) + 2 * row.is_pinned for row in rows), default=0) + _EDGE
    return min(wanted, max(_LEAST_NAME, int(width * _NAME_SHARE)), _MAX_NAME)


def _column(place: int, head: Head, cells: Sequence[RowCell]) -> TableColumn:
    values = max((cell_len(cell.value()) for cell in cells), default=0)
    bare = max((cell_len(cell.value(error=False)) for cell in cells), default=0)
    shift = max((cell_len(cell.shift) for cell in cells), default=0)
    is_number = head.group == "metric" or all(_is_number(cell.text) for cell in cells)
    lines = tuple(
        shorten_middle(line, MAX_WIDTH)
        for line in title_lines(visible_line(head.label), max(values, _SHORT_TITLE))
    )
    return TableColumn(head.key, place, lines, is_number, values, bare, shift)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
