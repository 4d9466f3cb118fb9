"""Columns of a comparison: runs or groups of seeds with their means and differences."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from transformer_playground.comparison.compared_run import METRICS, ComparedRun, same_tokenizer
from transformer_playground.comparison.estimates import Estimate, estimate
from transformer_playground.comparison.significance import Test, welch

_ID_PART = re.compile(r"[^-._]*[-._]|[^-._]+")


@dataclass(frozen=True)
class Delta:
    """Difference of two estimates.

    Attributes:
        difference: Other mean minus first mean.
        percent: Difference in percent of the first mean's size; None if that is (almost) 0.
        standard_error: Welch's sqrt(s1²/n1 + s2²/n2); None unless both have at least two values.
        p_value: Of Welch's test, under the same condition.
    """

    difference: float
    percent: float | None
    standard_error: float | None
    p_value: float | None = None


def delta(first: Estimate, other: Estimate) -> Delta | None:
    """Difference `other - first`; None if one of them has no value."""
    if first.mean is None or other.mean is None:
        return None
    difference = other.mean - first.mean
    percent = 100 * difference / abs(first.mean) if first.mean else None
    if percent is not None and not math.isfinite(percent):
        percent = None
    test = welch(first, other)
    if test is None:
        return Delta(difference, percent, None)
    return Delta(difference, percent, test.standard_error, test.p_value)


@dataclass(frozen=True)
class Column:
    """One run, or several of the same configuration with different seeds.

    Attributes:
        label: Run id, or a short form of the group's ids; untrusted text.
        estimates: Each key of `METRICS` -> mean over the runs.
        deltas: Key -> difference from the first column, where meaningful; empty for the first.
        test: Test of the validation loss against that of the first column, if there can be one.
    """

    label: str
    runs: tuple[ComparedRun, ...]
    estimates: Mapping[str, Estimate]
    deltas: Mapping[str, Delta]
    test: Test | None = None

    @property
    def best_run(self) -> ComparedRun:
        """Run of lowest validation loss; the first, if none was evaluated."""

        def loss(run: ComparedRun) -> float:
            value = run.metrics["best_val_loss"]
            return math.inf if value is None else value

        return min(self.runs, key=loss)


def columns_of(groups: Sequence[Sequence[ComparedRun]]) -> tuple[Column, ...]:
    """A column for each group of runs, with its difference from the first."""
    columns: list[Column] = []
    for runs in groups:
        estimates = {each.key: estimate(run.metrics[each.key] for run in runs) for each in METRICS}
        deltas = _deltas(columns[0], runs, estimates) if columns else {}
        columns.append(Column(_label(runs), tuple(runs), estimates, deltas))
    return tuple(columns)


def _deltas(
    first: Column, runs: Sequence[ComparedRun], estimates: Mapping[str, Estimate]
) -> dict[str, Delta]:
    # All runs of one group have the same tokenizer.
    comparable = same_tokenizer(first.runs[0], runs[0])
    found = {
        each.key: delta(first.estimates[each.key], estimates[each.key])
        for each in METRICS
        if each.has_delta and (comparable or not each.per_token)
    }
    return {key: value for key, value in found.items() if value is not None}


def _label(runs: Sequence[ComparedRun]) -> str:
    ids = [run.run_id for run in runs]
    if len(ids) == 1:
        return ids[0]
    parts = zip(*map(_ID_PART.findall, ids), strict=False)
    shared = "".join(same[0] for same in takewhile(lambda part: len(set(part)) == 1, parts))
    return f"{shared}{{{','.join(run_id.removeprefix(shared) for run_id in ids)}}}"
