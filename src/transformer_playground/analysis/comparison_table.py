"""A comparison as rows and columns, before anybody decides what a cell looks like."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from transformer_playground.analysis.compare import Column, Comparison, setting_of
from transformer_playground.analysis.grouping import Delta, Estimate
from transformer_playground.analysis.measures import QUANTITIES, Kind


@dataclass(frozen=True)
class Values:
    """The distinct values of a column's runs; `MISSING` among them where a run has none."""

    values: tuple[Any, ...]


Cell = Values | Estimate | Delta | None


@dataclass(frozen=True)
class TableRow:
    """One line of a comparison.

    Attributes:
        key: Name of the setting or quantity.
        label: What people call it.
        kind: How its cells are to be read; "value" for what is not measured.
        is_delta: It holds differences from the first column.
        cells: One for each column of the comparison; None where there is nothing to say.
    """

    key: str
    label: str
    kind: Kind | Literal["value"]
    is_delta: bool
    cells: tuple[Cell, ...]


def rows_of(comparison: Comparison) -> tuple[TableRow, ...]:
    """State, settings, then each quantity followed by its differences, where there are some."""
    return (*_identity_rows(comparison), *_setting_rows(comparison), *_quantity_rows(comparison))


def _identity_rows(comparison: Comparison) -> Iterator[TableRow]:
    yield _values("state", "state", comparison, lambda run: run.state)
    if comparison.is_grouped:
        counts = tuple(Values((len(column.runs),)) for column in comparison.columns)
        yield TableRow("n", "runs (n)", "value", is_delta=False, cells=counts)
    if len({run.experiment for run in comparison.runs}) > 1:
        yield _values("experiment", "experiment", comparison, lambda run: run.experiment)
    if len({run.fingerprint for run in comparison.runs}) > 1:
        yield _values("dataset", "dataset", comparison, lambda run: run.fingerprint)


def _setting_rows(comparison: Comparison) -> Iterator[TableRow]:
    for key in comparison.settings:
        yield _values(key, key, comparison, lambda run, key=key: setting_of(run, key))


def _values(key: str, label: str, comparison: Comparison, value_of: Any) -> TableRow:
    cells = tuple(_distinct(column, value_of) for column in comparison.columns)
    return TableRow(key, label, "value", is_delta=False, cells=cells)


def _distinct(column: Column, value_of: Any) -> Values:
    found: list[Any] = []
    for run in column.runs:
        value = value_of(run)
        if not any(value is other or value == other for other in found):
            found.append(value)
    return Values(tuple(found))


def _quantity_rows(comparison: Comparison) -> Iterator[TableRow]:
    columns = comparison.columns
    for each in QUANTITIES:
        estimates = tuple(column.estimates[each.key] for column in columns)
        yield TableRow(each.key, each.label, each.kind, is_delta=False, cells=estimates)
        deltas = tuple(column.deltas.get(each.key) for column in columns)
        if any(delta is not None and delta.difference for delta in deltas):
            yield TableRow(each.key, each.label, each.kind, is_delta=True, cells=deltas)
