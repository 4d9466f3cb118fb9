"""Comparison as JSON, records, text, CSV and Markdown."""

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from transformer_playground import tables
from transformer_playground.comparison.cells import delta_text, estimate_text, value_text
from transformer_playground.comparison.columns import Column, Delta, delta
from transformer_playground.comparison.compare import MISSING, Comparison, setting_of
from transformer_playground.comparison.compared_run import (
    METRICS,
    ComparedRun,
    Kind,
    Metric,
    SampleResult,
    same_tokenizer,
)
from transformer_playground.comparison.estimates import Estimate, estimate
from transformer_playground.comparison.leaderboard import (
    board_table,
    leaderboard,
    ranking,
    sentence,
)
from transformer_playground.comparison.significance import Test
from transformer_playground.comparison.verdict import Verdict
from transformer_playground.config.toml import shortened, toml_value
from transformer_playground.runs.generation_request import SampleSpec
from transformer_playground.terminal import visible

SCHEMA_VERSION = 1


def as_document(
    comparison: Comparison, spec: SampleSpec | None = None, results: Sequence[SampleResult] = ()
) -> dict[str, Any]:
    """The comparison as a JSON document; without a spec, `sampling` is None."""
    return {
        "schema_version": SCHEMA_VERSION,
        "reference": comparison.columns[0].label,
        "verdict": _verdict(comparison),
        "ranking": [column.label for column in ranking(comparison)],
        "settings": list(comparison.settings),
        "runs": [_run(comparison, run) for run in comparison.runs],
        "columns": [
            {
                "label": column.label,
                "run_ids": [run.run_id for run in column.runs],
                "measures": {
                    key: dataclasses.asdict(value) for key, value in column.estimates.items()
                },
                "deltas": {key: dataclasses.asdict(value) for key, value in column.deltas.items()},
                "test": _test(column.test),
            }
            for column in comparison.columns
        ],
        "remarks": list(comparison.notes),
        "sampling": None if spec is None else _sampling(spec, results),
    }


def _verdict(comparison: Comparison) -> dict[str, Any]:
    found: Verdict = comparison.verdict
    return {
        "conclusion": found.conclusion,
        "sentence": sentence(comparison),
        "best": found.best.label if found.best else None,
        "against": found.against.label if found.against else None,
        "test": _test(found.test),
        "comparisons": found.comparisons,
        "p_value": found.p_value,
        "not_distinguishable": [column.label for column in found.equal],
    }


def _test(test: Test | None) -> dict[str, Any] | None:
    return None if test is None else {**dataclasses.asdict(test), "counts": list(test.counts)}


def records(comparison: Comparison) -> list[dict[str, Any]]:
    """One flat record per run, all with the same keys; unknown values are None.

    Settings are named `config.<key>`. Differences are from the first run: `<metric>_delta` and,
    in percent, `<metric>_delta_percent`. `group` numbers the columns of the comparison from 1,
    `rank` by validation loss, and `p_value` is of the test against the first column.
    """
    first = comparison.runs[0]
    ranks = {id(column): rank for rank, column in enumerate(ranking(comparison), start=1)}
    return [
        _record(comparison, number, run, first)
        | {"rank": ranks[id(column)], "p_value": column.test.p_value if column.test else None}
        for number, column in enumerate(comparison.columns, start=1)
        for run in column.runs
    ]


def _sampling(spec: SampleSpec, results: Sequence[SampleResult]) -> dict[str, Any]:
    decoding = spec.settings.sample
    return {
        "settings_from": spec.settings_from,
        "checkpoint": spec.checkpoint,
        "seed": spec.settings.runtime.seed,
        "temperature": decoding.temperature,
        "top_k": decoding.top_k,
        "top_p": decoding.top_p,
        "max_new_tokens": decoding.max_new_tokens,
        "runs": [dataclasses.asdict(result) for result in results],
    }


def _run(comparison: Comparison, run: ComparedRun) -> dict[str, Any]:
    shown = {key: setting_of(run, key) for key in comparison.settings}
    return {
        "run_id": run.run_id,
        "experiment": run.experiment,
        "state": run.state,
        "problem": run.problem,
        "seed": run.seed,
        "dataset": run.fingerprint,
        "environment": dict(run.environment),
        "settings": {key: value for key, value in shown.items() if value is not MISSING},
        "measures": dict(run.metrics),
    }


def _record(
    comparison: Comparison, number: int, run: ComparedRun, first: ComparedRun
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "run_id": run.run_id,
        "group": number,
        "experiment": run.experiment,
        "state": run.state,
        "seed": run.seed,
        "dataset": run.fingerprint,
    }
    for key in comparison.settings:
        value = setting_of(run, key)
        record[f"config.{key}"] = None if value is MISSING else value
    record |= run.metrics
    for each in METRICS:
        if each.has_delta:
            found = _difference(each, first, run)
            record[f"{each.key}_delta"] = found.difference if found else None
            record[f"{each.key}_delta_percent"] = found.percent if found else None
    return record


def _difference(metric: Metric, first: ComparedRun, run: ComparedRun) -> Delta | None:
    if run is first or (metric.per_token and not same_tokenizer(first, run)):
        return None
    return delta(*(estimate([each.metrics[metric.key]]) for each in (first, run)))


FEW_COLUMNS = 4
"""Largest number of runs or groups whose metrics are shown as columns of a second table."""


@dataclass(frozen=True)
class Values:
    """Distinct values of a setting in a column; `MISSING` for runs without the setting."""

    values: tuple[Any, ...]


Cell = Values | Estimate | Delta | None


@dataclass(frozen=True)
class TableRow:
    """One row of a comparison table.

    Attributes:
        key: Name of the setting or metric.
        kind: How cells are formatted; "value" for settings and other values.
        is_delta: Whether cells are differences from the first column.
        cells: One per column of the comparison; None for an empty cell.
    """

    key: str
    label: str
    kind: Kind | Literal["value"]
    is_delta: bool
    cells: tuple[Cell, ...]


def rows_of(comparison: Comparison) -> tuple[TableRow, ...]:
    """State, settings, then each metric followed by its deltas, if any."""
    settings = (
        _values(key, comparison, lambda run, key=key: setting_of(run, key))
        for key in comparison.settings
    )
    return (*_identity_rows(comparison), *settings, *_metric_rows(comparison))


def text_tables(
    comparison: Comparison, *, shorten: bool, numbered: bool = False
) -> list[list[tables.Column]]:
    """The leaderboard, followed for few columns by a table of all metrics.

    Args:
        comparison: The comparison.
        shorten: Cut long values.
        numbered: Call columns by their number, as `numbers_of` does, instead of their label.
    """
    numbers = numbers_of(comparison)
    is_few = len(comparison.columns) <= FEW_COLUMNS
    board = leaderboard(comparison, every_metric=not is_few, shorten=shorten, with_means=False)
    names = [
        numbers.get(id(entry.column), entry.name) if numbered else entry.name
        for entry in board.entries
    ]
    found = [board_table(board, names)]
    if is_few:
        labels = numbers.values() if numbered else (each.label for each in comparison.columns)
        found.append(tables.labelled_columns(("", *labels), _details(comparison, shorten=shorten)))
    return found


def numbers_of(comparison: Comparison) -> dict[int, str]:
    """Identity of each column -> its number in brackets."""
    return {id(column): f"[{number}]" for number, column in enumerate(comparison.columns, start=1)}


def _details(comparison: Comparison, *, shorten: bool) -> list[list[str]]:
    return [
        [
            "  Δ" if row.is_delta else row.label,
            *(cell_text(row, cell, shorten) for cell in row.cells),
        ]
        for row in rows_of(comparison)
    ]


def cell_text(row: TableRow, cell: Cell, shorten: bool = False) -> str:
    """Text of one cell."""
    match cell:
        case Values(values):
            return ", ".join(value_text(value, shorten=shorten) for value in values)
        case Estimate():
            return estimate_text(_kind(row), cell)
        case Delta():
            return delta_text(_kind(row), cell)
        case None:
            return ""


def _kind(row: TableRow) -> Kind:
    assert row.kind != "value"
    return row.kind


def csv_text(comparison: Comparison) -> str:
    """CSV with a header and one row per run, at full precision."""
    rows = records(comparison)
    return tables.csv_text(list(rows[0]), (list(row.values()) for row in rows), toml_value)


def markdown_text(comparison: Comparison) -> str:
    """Verdict, tables and notes as a Markdown document."""
    return "".join(f"{line}\n" for line in markdown_lines(comparison))


def markdown_lines(
    comparison: Comparison, spec: SampleSpec | None = None, results: Sequence[SampleResult] = ()
) -> Iterator[str]:
    """Lines of a Markdown document: verdict, tables, notes and samples."""
    yield tables.escape_markdown(sentence(comparison))
    for table in text_tables(comparison, shorten=False):
        yield ""
        yield from tables.markdown_table(table)
    if comparison.notes:
        yield ""
    for note in comparison.notes:
        yield f"- {tables.escape_markdown(note)}"
    if spec is not None:
        yield f"\n{tables.escape_markdown(spec_text(spec))}"
    for each in results:
        yield f"\n### {tables.escape_markdown(result_title(each))}"
        if each.problem is not None:
            yield f"\n{tables.escape_markdown(each.problem)}"
        for text in each.texts:
            yield f"\n{_fenced(each.prompt + text)}"


def spec_text(spec: SampleSpec) -> str:
    """One sentence about how the samples were drawn."""
    decoding = spec.settings.sample
    stated = decoding.start if spec.prompt is None else spec.prompt
    start = "no prompt" if decoding.unconditional else f"prompt {shortened(toml_value(stated))}"
    decoding_text = (
        f"temperature {decoding.temperature:g}, top-k {decoding.top_k}, top-p {decoding.top_p:g}"
    )
    return (
        f"Samples: {start}, seed {spec.settings.runtime.seed}, {decoding_text}, up to "
        f"{decoding.max_new_tokens:,} tokens; other settings are those of {spec.settings_from}."
    )


def result_title(result: SampleResult) -> str:
    """Title of a run's samples: run id, checkpoint and step."""
    if result.step is None:
        return result.run_id
    return f"{result.run_id} ({result.checkpoint}, step {result.step:,})"


def _identity_rows(comparison: Comparison) -> Iterator[TableRow]:
    yield _values("state", comparison, lambda run: run.state)
    if comparison.is_grouped:
        counts = tuple(Values((len(column.runs),)) for column in comparison.columns)
        yield TableRow("n", "runs (n)", "value", is_delta=False, cells=counts)
    if len({run.experiment for run in comparison.runs}) > 1:
        yield _values("experiment", comparison, lambda run: run.experiment)
    if len({run.fingerprint for run in comparison.runs}) > 1:
        yield _values("dataset", comparison, lambda run: run.fingerprint)


def _values(key: str, comparison: Comparison, value_of: Any) -> TableRow:
    cells = tuple(_distinct(column, value_of) for column in comparison.columns)
    return TableRow(key, key, "value", is_delta=False, cells=cells)


def _distinct(column: Column, value_of: Any) -> Values:
    found: list[Any] = []
    for value in map(value_of, column.runs):
        # `in` compares by identity first, so that nan equals itself.
        if value not in found:
            found.append(value)
    return Values(tuple(found))


def _metric_rows(comparison: Comparison) -> Iterator[TableRow]:
    columns = comparison.columns
    for each in METRICS:
        estimates = tuple(column.estimates[each.key] for column in columns)
        yield TableRow(each.key, each.label, each.kind, is_delta=False, cells=estimates)
        deltas = tuple(column.deltas.get(each.key) for column in columns)
        if any(delta is not None and delta.difference for delta in deltas):
            yield TableRow(each.key, each.label, each.kind, is_delta=True, cells=deltas)


def _fenced(text: str) -> str:
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{visible(text)}\n{fence}"
