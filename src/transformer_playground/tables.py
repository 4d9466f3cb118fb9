"""Tables as text: aligned for a terminal, as Markdown, and as CSV.

All three make control characters of untrusted cells visible. Markdown cells are escaped, and CSV
text that a spreadsheet would take for a formula is guarded.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.cells import cell_len, set_cell_size

from transformer_playground.terminal import visible_line

_GAP = 2
_NARROWEST = 8
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MARKDOWN = re.compile(r"[\\|<>&`*\[\]~#!]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        header: What stands above it.
        cells: Its texts, as many as there are rows; untrusted.
        right_aligned: How it is aligned.
        weight: Where space is short, columns of little weight go first; None never goes.
        shrink_last: Whether its cells are cut only when all others are as narrow as can be.
    """

    header: str
    cells: Sequence[str]
    right_aligned: bool = False
    weight: int | None = None
    shrink_last: bool = False


def labelled_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Column]:
    """The columns of a table given by its rows: labels first, then numbers, which align right."""
    columns = zip(header, *rows, strict=True)
    return [Column(head, cells, place > 0) for place, (head, *cells) in enumerate(columns)]


def table_lines(columns: Sequence[Column], width: int | None = None) -> list[str]:
    """The lines of a table, the header first.

    Args:
        columns: What to show; at least one.
        width: Terminal columns to fit into: unimportant columns go, long cells are cut. None for
            as many as it takes.
    """
    shown = [_harmless(column) for column in columns]
    if width is not None:
        shown = _without_the_unimportant(shown, width)
    widths = [_width(column) for column in shown]
    if width is not None:
        others = [not column.shrink_last for column in shown]
        widths = _narrowed(_narrowed(widths, width, others), width, [True] * len(widths))
    lines: list[str] = []
    for cells in zip(*((column.header, *column.cells) for column in shown), strict=True):
        parts = [
            _aligned(cell, size, column.right_aligned)
            for cell, size, column in zip(cells, widths, shown, strict=True)
        ]
        lines.append((" " * _GAP).join(parts).rstrip())
    return lines


def split_columns(columns: Sequence[Column], width: int) -> list[list[Column]]:
    """Split a table into tables of at most `width` columns, each with the first column in front.

    A column that is wider than that by itself stays as it is.
    """
    labels, *others = columns
    tables: list[list[Column]] = []
    room = 0
    for column in others:
        needed = _GAP + _width(_harmless(column))
        if not tables or needed > room:
            tables.append([labels])
            room = width - _width(_harmless(labels))
        tables[-1].append(column)
        room -= needed
    return tables


def markdown_table(columns: Sequence[Column]) -> list[str]:
    """The lines of a table in GitHub-flavoured Markdown, its cells shown as they are."""
    rows = zip(*((column.header, *column.cells) for column in columns), strict=True)
    header, *lines = [
        markdown_row([escape_markdown(cell.strip()) for cell in cells]) for cells in rows
    ]
    return [header, markdown_rule([column.right_aligned for column in columns]), *lines]


def markdown_row(cells: Iterable[str]) -> str:
    """One line of a Markdown table, of cells that are Markdown already."""
    return f"| {' | '.join(cells)} |"


def markdown_rule(right_aligned: Iterable[bool]) -> str:
    """The line below a Markdown table's header, with the alignment of each column."""
    return markdown_row("--:" if right else ":--" for right in right_aligned)


def escape_markdown(text: str) -> str:
    """One line of text that Markdown shows as it is, inside a table too."""
    return _MARKDOWN.sub(lambda found: f"\\{found[0]}", visible_line(text))


def csv_text(
    header: Sequence[str], rows: Iterable[Sequence[Any]], show: Callable[[Any], str] = str
) -> str:
    """A CSV document: numbers at full precision, None as an empty cell.

    Args:
        header: Names of the columns.
        rows: Their values, as many for each row.
        show: The text of a value that is neither text, a number nor None.
    """
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([_csv_cell(name, show) for name in header])
    writer.writerows([_csv_cell(value, show) for value in row] for row in rows)
    return target.getvalue()


def _csv_cell(value: Any, show: Callable[[Any], str]) -> str:
    """A number as it is; text that no spreadsheet takes for a formula and no terminal obeys."""
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    text = value if isinstance(value, str) else show(value)
    return visible_line(f"'{text}" if text.startswith(_FORMULA) else text)


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


def _aligned(cell: str, size: int, right_aligned: bool) -> str:
    length = cell_len(cell)
    if length > size:
        return set_cell_size(cell, size - 1) + "…"
    padding = " " * (size - length)
    return padding + cell if right_aligned else cell + padding
