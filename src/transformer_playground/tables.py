"""Tables as aligned text, Markdown and CSV.

Control characters are made visible, Markdown cells are escaped, and CSV text that a spreadsheet
would run as a formula is quoted.
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
    """A column of a table with untrusted cells.

    If space is short, columns with the lowest `weight` are hidden first (never those with None),
    and columns with `shrink_last` are narrowed last.
    """

    header: str
    cells: Sequence[str]
    right_aligned: bool = False
    weight: int | None = None
    shrink_last: bool = False


def labelled_columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[Column]:
    """Columns from rows; all columns but the first are right-aligned."""
    columns = zip(header, *rows, strict=True)
    return [Column(head, cells, place > 0) for place, (head, *cells) in enumerate(columns)]


def table_lines(columns: Sequence[Column], width: int | None = None) -> list[str]:
    """Lines of a table with its header, hidden and narrowed to fit into `width` cells if given."""
    shown = [_escaped(column) for column in columns]
    if width is not None:
        shown = _hide_columns(shown, width)
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
    """Split a table into tables of at most `width` cells that all start with the first column.

    A single wider column is not split.
    """
    labels, *others = columns
    tables: list[list[Column]] = []
    free = 0
    for column in others:
        needed = _GAP + _width(_escaped(column))
        if not tables or needed > free:
            tables.append([labels])
            free = width - _width(_escaped(labels))
        tables[-1].append(column)
        free -= needed
    return tables


def markdown_table(columns: Sequence[Column]) -> list[str]:
    """Lines of a table in GitHub-flavoured Markdown, with escaped cells."""
    rows = zip(*((column.header, *column.cells) for column in columns), strict=True)
    header, *lines = [
        markdown_row([escape_markdown(cell.strip()) for cell in cells]) for cells in rows
    ]
    rule = markdown_row("--:" if column.right_aligned else ":--" for column in columns)
    return [header, rule, *lines]


def markdown_row(cells: Iterable[str]) -> str:
    """A line of a Markdown table from Markdown cells."""
    return f"| {' | '.join(cells)} |"


def escape_markdown(text: str) -> str:
    """Text as one line, escaped for Markdown and Markdown tables."""
    return _MARKDOWN.sub(lambda found: f"\\{found[0]}", visible_line(text))


def csv_text(
    header: Sequence[str], rows: Iterable[Sequence[Any]], show: Callable[[Any], str] = str
) -> str:
    """A CSV document: numbers at full precision, None as an empty cell, other values by `show`."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([_csv_cell(name, show) for name in header])
    writer.writerows([_csv_cell(value, show) for value in row] for row in rows)
    return target.getvalue()


def _csv_cell(value: Any, show: Callable[[Any], str]) -> str:
    """Numbers unchanged; text without control characters and formulas."""
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return repr(value)
    text = value if isinstance(value, str) else show(value)
    return visible_line(f"'{text}" if text.startswith(_FORMULA) else text)


def _escaped(column: Column) -> Column:
    cells = tuple(map(visible_line, column.cells))
    return replace(column, header=visible_line(column.header), cells=cells)


def _width(column: Column) -> int:
    return max(map(cell_len, (column.header, *column.cells)))


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _hide_columns(columns: Sequence[Column], width: int) -> list[Column]:
    kept = list(columns)
    while _total([_width(column) for column in kept]) > width:
        weights = [column.weight for column in kept if column.weight is not None]
        if not weights:
            break
        kept = [column for column in kept if column.weight != min(weights)]
    return kept


def _narrowed(widths: Sequence[int], width: int, may_shrink: Sequence[bool]) -> list[int]:
    """Narrow the widest of the columns that may shrink, until all fit or are at their minimum."""
    narrowed = [min(size, width) for size in widths]
    shrinkable = [index for index, shrinks in enumerate(may_shrink) if shrinks]
    while shrinkable and _total(narrowed) > width:
        widest = max(shrinkable, key=lambda index: narrowed[index])
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
