"""Rows of the comparison table: text and verdict of each cell."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from transformer_playground.comparison.compare import Comparison, Delta
from transformer_playground.comparison.render import Cell, TableRow, cell_text, rows_of
from transformer_playground.terminal import visible_line
from transformer_playground.tui.shared.text import shorten_middle

Verdict = Literal["better", "worse", "unclear"]

SIGNS: dict[Verdict, str] = {"better": "✓", "worse": "✗", "unclear": "≈"}
MAX_WIDTH = 36
"""Maximum width of a name or value in cells."""
# Smaller differences may be chance.
_STANDARD_ERRORS = 2
_MORE_IS_BETTER = frozenset({"tokens_per_second"})
# Neither direction is better; for example, an undertrained model also has a small gap.
_NEUTRAL = frozenset({"parameters", "tokens_seen", "generalisation_gap"})


@dataclass(frozen=True)
class LineCell:
    """A cell, safe to display."""

    text: str
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Line:
    """A row of the table.

    Attributes:
        label: Safe to display.
        kind: A "heading" has no cells; a "text" is not a number.
    """

    key: str
    label: str
    kind: Literal["heading", "text", "value", "delta"]
    cells: tuple[LineCell, ...]


def lines_of(comparison: Comparison, *, all_settings: bool) -> tuple[Line, ...]:
    """Rows of state, settings and metrics, with headings for settings and metrics."""
    rows = rows_of(comparison)
    values = [row for row in rows if row.kind == "value"]
    first_setting = len(values) - len(comparison.settings)
    settings = values[first_setting:]
    heading = "all settings" if all_settings else "settings that differ"
    return (
        *(_line(row, "") for row in values[:first_setting]),
        *([Line("#settings", heading, "heading", ())] if settings else []),
        # A setting may have the same key as a metric.
        *(_line(row, "setting:") for row in settings),
        Line("#numbers", "metrics", "heading", ()),
        *(_line(row, "") for row in rows if row.kind != "value"),
    )


def names_of(comparison: Comparison) -> tuple[str, ...]:
    """Short name of each column, safe to display."""
    return tuple(
        shorten_middle(visible_line(column.label), MAX_WIDTH) for column in comparison.columns
    )


def verdict_on(key: str, difference: Delta) -> Verdict | None:
    """Verdict on a difference from the baseline; None if neither direction is better.

    "unclear" within two standard errors of zero.
    """
    if key in _NEUTRAL or not difference.difference:
        return None
    error = difference.standard_error
    if error is not None and abs(difference.difference) <= _STANDARD_ERRORS * error:
        return "unclear"
    is_better = (difference.difference > 0) == (key in _MORE_IS_BETTER)
    return "better" if is_better else "worse"


def verdicts_in(lines: tuple[Line, ...]) -> Iterator[Verdict]:
    """The verdicts in these rows, in the order of `SIGNS`."""
    found = {cell.verdict for line in lines for cell in line.cells}
    return (verdict for verdict in SIGNS if verdict in found)


def _line(row: TableRow, prefix: str) -> Line:
    key = f"{row.key}.delta" if row.is_delta else f"{prefix}{row.key}"
    label = "  Δ" if row.is_delta else shorten_middle(visible_line(row.label), MAX_WIDTH)
    cells = tuple(_cell(row, cell) for cell in row.cells)
    if row.is_delta:
        return Line(key, label, "delta", cells)
    return Line(key, label, "text" if row.kind == "value" else "value", cells)


def _cell(row: TableRow, cell: Cell) -> LineCell:
    text = visible_line(cell_text(row, cell, shorten=True))
    verdict = verdict_on(row.key, cell) if isinstance(cell, Delta) else None
    return LineCell(shorten_middle(text, MAX_WIDTH), verdict)
