"""A comparison as text: cells, which way round the table lies, and what fits into a width."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformer_playground.analysis.compare import MISSING, Comparison
from transformer_playground.analysis.comparison_table import Cell, TableRow, Values, rows_of
from transformer_playground.analysis.grouping import Delta, Estimate
from transformer_playground.config.toml_text import shortened, toml_value

NOTHING = "–"
FEW_COLUMNS = 4
"""Up to so many runs or groups lie side by side; more stand one below the other."""

_LONGEST_VALUE = 32
_DIGITS = {"count": 0, "rate": 0, "loss": 4, "perplexity": 3}
# Beyond this, the digits of a number say less than its size.
_LARGEST_PLAIN = 1e12
# Of the differences, what a long table has room for.
_MAIN_DELTAS = ("best_val_loss", "best_bits_per_byte")
_GAP = 2


@dataclass(frozen=True)
class TextTable:
    """A table of text: the first column holds labels, the others are aligned to the right."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def text_table(comparison: Comparison, labels: Sequence[str], *, shorten: bool) -> TextTable:
    """The comparison with one column for each of its columns, or one row if they are many.

    Args:
        comparison: What to show.
        labels: What to call its columns.
        shorten: Cut long values.
    """
    rows = rows_of(comparison)
    if len(labels) <= FEW_COLUMNS:
        lines = [
            (_label(row), *(cell_text(row, cell, shorten) for cell in row.cells)) for row in rows
        ]
        return TextTable(("", *labels), tuple(lines))
    kept = [row for row in rows if not row.is_delta or row.key in _MAIN_DELTAS]
    header = ("", *(f"Δ {row.label}" if row.is_delta else row.label for row in kept))
    turned = [
        (label, *(cell_text(row, row.cells[index], shorten) for row in kept))
        for index, label in enumerate(labels)
    ]
    return TextTable(header, tuple(turned))


def fit(table: TextTable, width: int) -> list[TextTable]:
    """Cut a table into pieces that are at most `width` wide, each with the labels in front.

    A column that is wider than that by itself stays as it is.
    """
    widths = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]
    pieces: list[list[int]] = []
    room = 0
    for index in range(1, len(widths)):
        needed = _GAP + widths[index]
        if not pieces or needed > room:
            pieces.append([])
            room = width - widths[0]
        pieces[-1].append(index)
        room -= needed
    return [_picked(table, [0, *piece]) for piece in pieces]


def cell_text(row: TableRow, cell: Cell, shorten: bool = False) -> str:
    """One cell as people read it."""
    match cell:
        case Values(values):
            return ", ".join(_value_text(value, shorten=shorten) for value in values)
        case Estimate():
            return _estimate_text(cell, row)
        case Delta():
            return _delta_text(cell, row)
        case None:
            return ""


def _label(row: TableRow) -> str:
    return "  Δ" if row.is_delta else row.label


def _value_text(value: Any, *, shorten: bool) -> str:
    if value is MISSING:
        return NOTHING
    # A word reads better bare; what could be taken for something else keeps its quotes.
    is_plain = isinstance(value, str) and value.strip() == value != ""
    text = value if is_plain else toml_value(value)
    return shortened(text, _LONGEST_VALUE) if shorten else text


def _estimate_text(value: Estimate, row: TableRow) -> str:
    if value.mean is None:
        return NOTHING
    text = _number(value.mean, row.kind)
    # Of equal counts there is nothing to be unsure about.
    if value.standard_error is None or (row.kind == "count" and not value.standard_error):
        return text
    return f"{text} ± {_number(value.standard_error, row.kind)}"


def _delta_text(value: Delta, row: TableRow) -> str:
    sign = "-" if value.difference < 0 else "+"
    text = sign + _number(abs(value.difference), row.kind)
    if value.standard_error:
        text += f" ± {_number(value.standard_error, row.kind)}"
    return text if value.percent is None else f"{text} ({value.percent:+.1f} %)"


def _number(value: float, kind: str) -> str:
    if abs(value) >= _LARGEST_PLAIN:
        return f"{value:.4g}"
    return _duration(value) if kind == "seconds" else f"{value:,.{_DIGITS[kind]}f}"


def _duration(seconds: float) -> str:
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02}m {rest:02}s" if hours else f"{minutes}m {rest:02}s"


def _picked(table: TextTable, indices: Sequence[int]) -> TextTable:
    def pick(cells: Sequence[str]) -> tuple[str, ...]:
        return tuple(cells[index] for index in indices)

    return TextTable(pick(table.header), tuple(map(pick, table.rows)))
