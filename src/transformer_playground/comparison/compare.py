"""Comparison of runs: differing settings, metrics with deltas, and notes on their validity."""

import math
import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, TypeVar

from transformer_playground.comparison.compared_run import (
    METRICS,
    ComparedRun,
    read_run,
    same_tokenizer,
)
from transformer_playground.data.order import EvaluationSet
from transformer_playground.errors import UsageError
from transformer_playground.formatting import names_text
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.naming import LOCATIONS

T = TypeVar("T")


@dataclass(frozen=True)
class Estimate:
    """Mean over runs.

    Attributes:
        mean: Arithmetic mean; None without values.
        standard_error: Sample standard deviation / sqrt(n); None for fewer than two values.
        n: Number of values.
    """

    mean: float | None
    standard_error: float | None
    n: int


@dataclass(frozen=True)
class Delta:
    """Difference of two estimates.

    Attributes:
        difference: Other mean minus first mean.
        percent: Difference in percent of the first mean's size; None if that is (almost) 0.
        standard_error: Welch's sqrt(s1²/n1 + s2²/n2), from "The generalization of 'Student's'
            problem" (1947); None unless both have at least two values.
    """

    difference: float
    percent: float | None
    standard_error: float | None


def estimate(values: Iterable[float | None]) -> Estimate:
    """Mean and standard error, ignoring None."""
    measured = [value for value in values if value is not None]
    count = len(measured)
    if not measured:
        return Estimate(None, None, 0)
    # fmean would round a large integer.
    mean = measured[0] if count == 1 else statistics.fmean(measured)
    error = statistics.stdev(measured) / math.sqrt(count) if count > 1 else None
    return Estimate(mean, error, count)


def delta(first: Estimate, other: Estimate) -> Delta | None:
    """Difference `other - first`; None if one of them has no value."""
    if first.mean is None or other.mean is None:
        return None
    difference = other.mean - first.mean
    percent = 100 * difference / abs(first.mean) if first.mean else None
    if percent is not None and not math.isfinite(percent):
        percent = None
    error = None
    if first.standard_error is not None and other.standard_error is not None:
        error = math.hypot(first.standard_error, other.standard_error)
    return Delta(difference, percent, error)


def group_by_seed(
    items: Sequence[T], same: Callable[[T], str | None], seed: Callable[[T], int | None]
) -> list[list[T]]:
    """Group items that differ only in their seed, in order of first appearance.

    An item whose seed is already in its group repeats an experiment instead of adding an
    independent one, so it stays alone. So does an item without a seed.

    Args:
        same: Equal for items of one group; None for an item that stays alone.
    """
    groups: list[list[T]] = []
    open_groups: dict[str, list[T]] = {}
    for item in items:
        key, own_seed = same(item), seed(item)
        group = None if key is None or own_seed is None else open_groups.get(key)
        if group is not None and own_seed not in map(seed, group):
            group.append(item)
            continue
        groups.append([item])
        if key is not None and own_seed is not None:
            open_groups.setdefault(key, groups[-1])
    return groups


_COMMIT_DIGITS = 10
_MAX_NAMES = 8


def _notes(groups: Sequence[Sequence[ComparedRun]], *, grouped: bool) -> tuple[str, ...]:
    runs = [run for group in groups for run in group]
    return (
        *_dataset_notes(runs),
        *_evaluation_notes(runs),
        *_environment_notes(runs),
        *(_group_notes(groups) if grouped else ()),
        *(sentence for run in runs for sentence in _run_notes(run)),
    )


def _dataset_notes(runs: Sequence[ComparedRun]) -> Iterator[str]:
    fingerprints = {run.fingerprint for run in runs}
    if len(fingerprints) > 1:
        unknown = " (or are unknown)" if None in fingerprints else ""
        yield (
            f"The datasets differ{unknown}: losses and bits per byte are measured on different "
            "validation texts."
        )
    first, *rest = runs
    others = [run for run in rest if not same_tokenizer(first, run)]
    if others:
        is_known = all(run.tokenizer is not None for run in (first, *others))
        what = "another tokenizer than" if is_known else "perhaps another tokenizer than"
        yield (
            f"With {what} {first.run_id}: {_named(others)}. Bits per byte still compare; "
            "perplexities and per-token deltas are left out."
        )


def _evaluation_notes(runs: Sequence[ComparedRun]) -> Iterator[str]:
    by_windows: dict[str, list[ComparedRun]] = {}
    for run in runs:
        if run.summary.eval_step is not None:
            by_windows.setdefault(_windows_text(run), []).append(run)
    if len(by_windows) > 1 and len({run.fingerprint for run in runs}) == 1:
        groups = "; ".join(f"{_named(group)} on {text}" for text, group in by_windows.items())
        yield f"Losses are measured on different parts of the validation text: {groups}."
    for run in runs:
        if run.summary.has_other_windows:
            yield (
                f"{run.run_id}: its first evaluations were measured on other windows; only those "
                f"on {_windows_text(run)} count for its best loss."
            )


def _windows_text(run: ComparedRun) -> str:
    windows, tokens = run.summary.eval_windows, run.summary.window_tokens
    if windows is not None and tokens is not None:
        return str(EvaluationSet(windows, tokens))
    batch_size = run.settings.get("train.data.batch_size")
    return f"random windows of an older version (seed {run.seed}, batch size {batch_size})"


def _environment_notes(runs: Sequence[ComparedRun]) -> Iterator[str]:
    names = list(dict.fromkeys(name for run in runs for name in run.environment))
    differing = []
    for name in names:
        values = list(dict.fromkeys(run.environment.get(name, "unknown") for run in runs))
        if len(values) > 1:
            shown = [value[:_COMMIT_DIGITS] for value in values] if name == "code" else values
            differing.append(f"{name} {' / '.join(shown[:_MAX_NAMES])}")
    if differing:
        yield (
            f"Trained in different environments ({'; '.join(differing)}): "
            "wall time and tokens/s may differ for that reason alone."
        )


def _group_notes(groups: Sequence[Sequence[ComparedRun]]) -> Iterator[str]:
    if any(len(group) > 1 for group in groups):
        yield (
            "Groups are finished runs of one configuration with different seeds: mean ± standard "
            "error; the ± of a delta is its standard error (Welch)."
        )
    seen: set[tuple[str, int]] = set()
    for run in (run for group in groups for run in group):
        if run.state != "finished" or run.seed is None:
            continue
        if (run.configuration, run.seed) in seen:
            yield f"{run.run_id} repeats a seed of its configuration, so no mean includes it."
        seen.add((run.configuration, run.seed))


def _run_notes(run: ComparedRun) -> Iterator[str]:
    if run.state != "finished":
        reason = f": {run.problem}" if run.problem else ""
        yield f"{run.run_id} is {run.state}{reason}; its numbers are not final."
    if run.summary.eval_step is None:
        yield f"{run.run_id} has no evaluation yet."
    elif run.summary.best_val_loss is None:
        yield f"{run.run_id} has no evaluation with a finite validation loss."
    elif run.summary.final_val_loss is None:
        yield f"{run.run_id}: the loss of its last evaluation is not finite."
    if run.missing:
        yield (
            f"{run.run_id}: its metrics lack {', '.join(run.missing)}; "
            "an older version may have written them."
        )


def _named(runs: Sequence[ComparedRun]) -> str:
    return names_text([run.run_id for run in runs], _MAX_NAMES)


_ID_PART = re.compile(r"[^-._]*[-._]|[^-._]+")
MISSING = object()
"""Value of a setting that a run does not have; differs from every value, null included."""


@dataclass(frozen=True)
class Column:
    """One run, or several of the same configuration with different seeds.

    Attributes:
        label: Run id, or a short form of the group's ids; untrusted text.
        estimates: Each key of `METRICS` -> mean over the runs.
        deltas: Key -> difference from the first column, where meaningful; empty for the first.
    """

    label: str
    runs: tuple[ComparedRun, ...]
    estimates: Mapping[str, Estimate]
    deltas: Mapping[str, Delta]

    @property
    def best_run(self) -> ComparedRun:
        """Run of lowest validation loss; the first, if none was evaluated."""

        def loss(run: ComparedRun) -> float:
            value = run.metrics["best_val_loss"]
            return math.inf if value is None else value

        return min(self.runs, key=loss)


@dataclass(frozen=True)
class Comparison:
    """Runs compared with the first one.

    Attributes:
        columns: Runs or groups; the first is the baseline.
        settings: Dotted keys to show, in the order of the configuration.
        notes: Sentences about what limits the comparison.
    """

    columns: tuple[Column, ...]
    settings: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def runs(self) -> tuple[ComparedRun, ...]:
        """Every run, column by column."""
        return tuple(run for column in self.columns for run in column.runs)

    @property
    def is_grouped(self) -> bool:
        """Whether some column contains several runs."""
        return any(len(column.runs) > 1 for column in self.columns)


def compare_folders(
    folders: Sequence[RunFolder], *, group: bool = True, all_settings: bool = False
) -> Comparison:
    """Read run folders and compare them with the first; arguments as for `compare_runs`.

    Raises:
        UsageError: Fewer than two runs are given.
        RunError: The `config.json` of a run is missing or damaged.
    """
    if len(folders) < 2:
        only = folders[0].run_id if folders else "ID"
        raise UsageError(
            "A comparison needs at least two runs.", f"To show one run: tp runs show {only}"
        )
    return compare_runs(
        [read_run(folder) for folder in folders], group=group, all_settings=all_settings
    )


def compare_runs(
    runs: Sequence[ComparedRun], *, group: bool = True, all_settings: bool = False
) -> Comparison:
    """Compare at least two runs with the first.

    Args:
        group: Average finished runs that differ only in their seed and in paths.
        all_settings: Include every setting, not only those that differ.
    """
    runs = _hide_perplexity(runs)
    groups = group_by_seed(runs, _same, lambda run: run.seed) if group else [[run] for run in runs]
    return Comparison(
        columns=_columns(groups),
        settings=_shown_settings(runs, all_settings=all_settings),
        notes=_notes(groups, grouped=group),
    )


def _hide_perplexity(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Keep perplexities only for runs with the first run's tokenizer, if there are any."""
    agreeing = [same_tokenizer(runs[0], run) for run in runs[1:]]
    shown = [any(agreeing), *agreeing]
    hidden = {each.key: None for each in METRICS if each.kind == "perplexity"}
    return [
        run if is_shown else replace(run, metrics={**run.metrics, **hidden})
        for run, is_shown in zip(runs, shown, strict=True)
    ]


def _same(run: ComparedRun) -> str | None:
    return run.configuration if run.state == "finished" else None


def _columns(groups: Sequence[Sequence[ComparedRun]]) -> tuple[Column, ...]:
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


def _shown_settings(runs: Sequence[ComparedRun], *, all_settings: bool) -> tuple[str, ...]:
    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    if all_settings:
        return tuple(keys)
    return tuple(key for key in keys if key not in LOCATIONS and _differs(key, runs))


def _differs(key: str, runs: Sequence[ComparedRun]) -> bool:
    first, *others = (setting_of(run, key) for run in runs)
    # JSON's true and 1 are two values, Python's are equal.
    return any(
        other != first or isinstance(other, bool) != isinstance(first, bool) for other in others
    )


def setting_of(run: ComparedRun, key: str) -> Any:
    """Value of a run's setting, or `MISSING`."""
    return run.settings.get(key, MISSING)
