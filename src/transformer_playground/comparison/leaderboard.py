"""Leaderboard: one row for each run or group of seeds, the best first."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

from transformer_playground import tables
from transformer_playground.comparison.cells import delta_text, estimate_text, value_text
from transformer_playground.comparison.columns import Column, Delta
from transformer_playground.comparison.compare import Comparison, setting_of
from transformer_playground.comparison.compared_run import METRICS, ComparedRun, Metric
from transformer_playground.comparison.significance import LEVEL
from transformer_playground.comparison.verdict import comparable, corrected, verdict_text
from transformer_playground.runs.folder import generated_suffix
from transformer_playground.runs.naming import RunNames, setting_headers

Sign = Literal["better", "worse", "unclear"]

NameOf = Callable[[Column], str]

SIGNS: Mapping[Sign, str] = {"better": "✓", "worse": "✗", "unclear": "≈"}

_LOSS = "best_val_loss"
# Where two columns can be tested they rise and fall with the loss, so they have its test.
_TESTED = frozenset({_LOSS, "best_perplexity", "best_bits_per_byte"})
_MAIN = (
    *(_LOSS, "best_bits_per_byte", "final_train_loss", "generalisation_gap", "best_step"),
    *("tokens_per_second", "wall_time_s"),
)
_HEADERS = {
    _LOSS: "val loss",
    "best_bits_per_byte": "bits/byte",
    "final_train_loss": "train",
    "generalisation_gap": "gap",
    "best_step": "at step",
    "tokens_per_second": "tok/s",
    "wall_time_s": "time",
}
_MORE_IS_BETTER = frozenset({"tokens_per_second"})
# Neither direction is better; for example, an undertrained model also has a small gap.
_NEUTRAL = frozenset({"parameters", "tokens_seen", "generalisation_gap"})
_TIMES = frozenset({"tokens_per_second", "wall_time_s"})
_DEVICE = ("host", "device", "device name", "threads", "dtype")


@dataclass(frozen=True)
class Head:
    """Head of a column of the leaderboard; untrusted text.

    Attributes:
        key: Setting or metric; "state" for the state of the runs.
        group: "" for what identifies a run.
    """

    key: str
    label: str
    group: Literal["", "setting", "metric"]


@dataclass(frozen=True)
class Cell:
    """A value and its difference from the baseline; untrusted text.

    Attributes:
        delta: Empty where there is none to state.
        sign: Whether the difference is better or worse; None if neither can be said.
        is_best: Lowest validation loss of all.
    """

    text: str
    delta: str = ""
    sign: Sign | None = None
    is_best: bool = False

    @property
    def whole(self) -> str:
        """Value, difference and sign."""
        return " ".join(
            filter(None, (self.text, self.delta, SIGNS[self.sign] if self.sign else ""))
        )


@dataclass(frozen=True)
class Entry:
    """A row of the leaderboard.

    Attributes:
        name: Untrusted text.
        is_mean: A mean of runs that also have rows of their own.
        is_reference: What the others are compared with.
    """

    column: Column
    name: str
    cells: tuple[Cell, ...]
    is_mean: bool = False
    is_reference: bool = False


@dataclass(frozen=True)
class Leaderboard:
    """Rows of a comparison; every row has a cell for each head."""

    heads: tuple[Head, ...]
    entries: tuple[Entry, ...]


def leaderboard(
    comparison: Comparison,
    name_of: NameOf = attrgetter("label"),
    *,
    every_metric: bool = False,
    shorten: bool = True,
    with_means: bool = True,
) -> Leaderboard:
    """The rows of a comparison, the lowest validation loss first.

    Args:
        comparison: The comparison.
        name_of: What to call a run, or a group of seeds without their number.
        every_metric: Show all metrics, not only the main ones.
        shorten: Cut long values.
        with_means: Add a row with the mean of each group whose runs have rows of their own.
    """
    heads = tuple(_heads(comparison, every_metric=every_metric))
    ranked = ranking(comparison)
    best = ranked[0] if _loss(ranked[0]) < math.inf else None
    means = comparison.means if with_means else ()
    return Leaderboard(
        heads,
        tuple(
            Entry(
                column=column,
                name=column_name(column, name_of, is_mean=column in means),
                cells=tuple(
                    _cell(comparison, head, column, shorten=shorten, is_best=column is best)
                    for head in heads
                ),
                is_mean=column in means,
                is_reference=column is comparison.columns[0],
            )
            for column in (*ranked, *means)
        ),
    )


def ranking(comparison: Comparison) -> list[Column]:
    """The columns by validation loss, lowest first; those on another text after the others."""
    first = comparison.columns[0]
    return sorted(
        comparison.columns,
        key=lambda column: (column is not first and not comparable(first, column), _loss(column)),
    )


def column_name(column: Column, name_of: NameOf, *, is_mean: bool = False) -> str:
    """The name of a run, or of a group with the number of its seeds."""
    if len(column.runs) == 1:
        return name_of(column)
    return (
        f"mean of {name_of(column)}" if is_mean else f"{name_of(column)} ({len(column.runs)} seeds)"
    )


def name_by_settings(comparison: Comparison, names: RunNames) -> NameOf:
    """Names made of settings; seeds that are averaged are called by what they have in common.

    A group whose runs were all named by the user keeps the short form of their ids, or is called
    by the first of them if these have no beginning in common.
    """
    groups = [column for column in (*comparison.columns, *comparison.means) if len(column.runs) > 1]
    grouped = {run.run_id for column in groups for run in column.runs}
    single = [run.run_id for run in comparison.runs if run.run_id not in grouped]
    # One run stands for each group: its seed then tells it from no other.
    standing = [run_id for run_id in map(_generated, groups) if run_id is not None]
    among = names.among([*single, *standing])

    def name_of(column: Column) -> str:
        if len(column.runs) == 1:
            return names.label(column.runs[0].run_id)
        run_id = _generated(column)
        if run_id is not None:
            return among.label(run_id)
        # The ids have no beginning in common.
        if column.label.startswith("{"):
            return f"{names.label(column.runs[0].run_id)} and {len(column.runs) - 1} more"
        return column.label

    return name_of


def _generated(column: Column) -> str | None:
    """The first run of a column that the user has not named."""
    ids = (run.run_id for run in column.runs)
    return next((run_id for run_id in ids if generated_suffix(run_id) is not None), None)


def sentence(comparison: Comparison, name_of: NameOf = attrgetter("label"), hint: str = "") -> str:
    """The verdict in words; untrusted text."""
    return verdict_text(comparison.verdict, lambda column: column_name(column, name_of), hint)


def sign_of(
    key: str, difference: Delta, *, comparisons: int = 1, same_conditions: bool = True
) -> Sign | None:
    """Whether a difference from the baseline is better; None if that cannot be said.

    Args:
        key: The metric.
        difference: "unclear" if Welch's test cannot tell it from chance.
        comparisons: Number of comparisons that its p-value is corrected for.
        same_conditions: Whether the runs had the same steps and device, without which times say
            nothing about the runs.
    """
    if key in _NEUTRAL or not difference.difference or (key in _TIMES and not same_conditions):
        return None
    p_value = difference.p_value
    if p_value is not None and corrected(p_value, comparisons) >= LEVEL:
        return "unclear"
    is_better = (difference.difference > 0) == (key in _MORE_IS_BETTER)
    return "better" if is_better else "worse"


def same_conditions(first: Column, other: Column) -> bool:
    """Whether times of two columns compare: all runs finished, with equal steps and device."""
    runs = (*first.runs, *other.runs)
    return (
        all(run.state == "finished" for run in runs)
        and len({run.summary.step for run in runs}) == 1
        and len({_device(run) for run in runs}) == 1
    )


def signs_in(board: Leaderboard) -> Iterator[Sign]:
    """The signs that occur, in the order of `SIGNS`."""
    found = {cell.sign for entry in board.entries for cell in entry.cells}
    return (sign for sign in SIGNS if sign in found)


def board_table(board: Leaderboard, names: Sequence[str] | None = None) -> list[tables.Column]:
    """The leaderboard as a table; values are followed by their differences."""
    names = names or [entry.name for entry in board.entries]
    columns = [tables.Column("run", names)]
    for place, head in enumerate(board.heads):
        cells = [entry.cells[place] for entry in board.entries]
        is_number = head.group == "metric"
        columns.append(tables.Column(head.label, [each.text for each in cells], is_number))
        if any(each.delta for each in cells):
            deltas = [cell.whole.removeprefix(cell.text).strip() for cell in cells]
            columns.append(tables.Column("Δ", deltas, right_aligned=True))
    return columns


def _heads(comparison: Comparison, *, every_metric: bool) -> Iterator[Head]:
    if len({run.state for run in comparison.runs}) > 1 or comparison.runs[0].state != "finished":
        yield Head("state", "state", "")
    if len({run.experiment for run in comparison.runs}) > 1:
        yield Head("experiment", "experiment", "")
    labels = setting_headers(comparison.settings)
    for key in comparison.settings:
        yield Head(key, labels[key], "setting")
    for metric in METRICS:
        if every_metric:
            yield Head(metric.key, metric.label, "metric")
    if not every_metric:
        by_key = {metric.key: metric for metric in METRICS}
        if len({run.metrics["parameters"] for run in comparison.runs}) > 1:
            yield Head("parameters", "params", "metric")
        for key in _MAIN:
            yield Head(by_key[key].key, _HEADERS[key], "metric")


_METRICS: Mapping[str, Metric] = {metric.key: metric for metric in METRICS}


def _cell(
    comparison: Comparison, head: Head, column: Column, *, shorten: bool, is_best: bool
) -> Cell:
    if head.group != "metric":
        return Cell(_values(head, column, shorten=shorten))
    metric = _METRICS[head.key]
    text = estimate_text(metric.kind, column.estimates[head.key])
    difference = column.deltas.get(head.key)
    best = is_best and head.key == _LOSS
    if difference is None:
        return Cell(text, is_best=best)
    first = comparison.columns[0]
    comparisons = comparison.comparisons
    sign = sign_of(
        head.key,
        difference,
        comparisons=comparisons,
        same_conditions=same_conditions(first, column),
    )
    is_stated = difference.difference or head.key == _LOSS
    if head.key in _TESTED and column.test is not None and is_stated:
        is_clear = corrected(column.test.p_value, comparisons) < LEVEL
        sign = _tested_sign(difference, is_clear=is_clear)
    delta = delta_text(metric.kind, difference, percent=False) if is_stated else ""
    return Cell(text, delta, sign, best)


def _tested_sign(difference: Delta, *, is_clear: bool) -> Sign | None:
    if not is_clear:
        return "unclear"
    return "better" if difference.difference < 0 else "worse"


def _values(head: Head, column: Column, *, shorten: bool) -> str:
    found: list[Any] = []
    for run in column.runs:
        value = setting_of(run, head.key) if head.group else getattr(run, head.key)
        # `in` compares by identity first, so that nan equals itself.
        if value not in found:
            found.append(value)
    if all(type(value) in (int, float) for value in found):
        found.sort(key=lambda value: (isinstance(value, float) and math.isnan(value), value))
    return ", ".join(value_text(value, shorten=shorten) for value in found)


def _device(run: ComparedRun) -> tuple[str | None, ...]:
    return tuple(run.environment.get(name) for name in _DEVICE)


def _loss(column: Column) -> float:
    mean = column.estimates[_LOSS].mean
    return math.inf if mean is None else mean
