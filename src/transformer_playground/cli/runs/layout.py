"""Tables that fit a terminal: unimportant columns go, and long cells are cut."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len, set_cell_size

from transformer_playground.cli.console import is_terminal, say
from transformer_playground.terminal import visible_line

_GAP = 2
_NARROWEST = 8


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        header: What stands above it.
        cells: Its texts, as many as there are rows; untrusted.
        to_the_right: How it is aligned.
        weight: Where space is short, columns of little weight go first; None never goes.
        is_whole: Whether its cells are cut only when all others are as narrow as can be.
    """

    header: str
    cells: Sequence[str]
    to_the_right: bool = False
    weight: int | None = None
    is_whole: bool = False


def print_columns(columns: Sequence[Column]) -> None:
    """Print a table; at a terminal so that each row is one line, elsewhere in full."""
    for line in table_lines(columns, shutil.get_terminal_size().columns if is_terminal() else None):
        say(line)


def table_lines(columns: Sequence[Column], width: int | None) -> list[str]:
    """The lines of a table, the header first, with control characters made visible.

    Args:
        columns: What to show; at least one.
        width: Terminal columns to fit into; None for as many as it takes.
    """
    shown = [_harmless(column) for column in columns]
    if width is not None:
        shown = _without_the_unimportant(shown, width)
    widths = [_width(column) for column in shown]
    if width is not None:
        others = [not column.is_whole for column in shown]
        widths = _narrowed(_narrowed(widths, width, others), width, [True] * len(widths))
    lines: list[str] = []
    for cells in zip(*((column.header, *column.cells) for column in shown), strict=True):
        parts = [
            _aligned(cell, size, column.to_the_right)
            for cell, size, column in zip(cells, widths, shown, strict=True)
        ]
        lines.append((" " * _GAP).join(parts).rstrip())
    return lines


def _harmless(column: Column) -> Column:
    cells = tuple(map(visible_line, column.cells))
    return replace(column, header=visible_line(column.header), cells=cells)


def _width(column: Column) -> int:
    return max(map(cell_len, (column.header, *column.cells)))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _without_the_unimportant(columns: Sequence[Column], width: int) -> list[Column]:
    kept = list(columns)
    while _total([_width(column) for column in kept]) > width:
        weights = [column.weight for column in kept if column.weight is not None]
        if not weights:
            break
        kept = [column for column in kept if column.weight != min(weights)]
    return kept


def _narrowed(widths: Sequence[int], width: int, may_give: Sequence[bool]) -> list[int]:
    """Take from the widest columns that may give, until all fit or none can give more."""
    narrowed = [min(size, width) for size in widths]
    givers = [place for place, gives in enumerate(may_give) if gives]
    while givers and _total(narrowed) > width:
        widest = max(givers, key=lambda place: narrowed[place])
        if narrowed[widest] <= _NARROWEST:
            break
        narrowed[widest] -= 1
    return narrowed


def _aligned(cell: str, size: int, to_the_right: bool) -> str:
    length = cell_len(cell)
    if length > size:
        return set_cell_size(cell, size - 1) + "…"
    padding = " " * (size - length)
    return padding + cell if to_the_right else cell + padding
