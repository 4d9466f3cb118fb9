"""Comparison of runs: differing settings, metrics with deltas, and notes on their validity."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformer_playground.comparison.columns import Column, columns_of
from transformer_playground.comparison.compared_run import (
    METRICS,
    ComparedRun,
    read_run,
    same_tokenizer,
)
from transformer_playground.comparison.estimates import group_by_seed
from transformer_playground.comparison.notes import notes_on
from transformer_playground.comparison.verdict import Verdict, judge, tested
from transformer_playground.errors import UsageError
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.naming import LOCATIONS, most_telling
from transformer_playground.runs.setting_defaults import absent_settings

MISSING = object()
"""Value of a setting that a run does not have; differs from every value, null included."""


@dataclass(frozen=True)
class Comparison:
    """Runs compared with the first one.

    Attributes:
        columns: Runs or groups; the first is the baseline.
        settings: Dotted keys to show: all in the order of the configuration, or those that differ,
            the most telling first (`most_telling`).
        notes: Sentences about what limits the comparison.
        means: Groups of several seeds whose runs are single columns; empty if seeds are averaged.
        verdict: Which column is best and whether that can be chance; seeds are averaged for it.
        comparisons: Number of columns tested against the first, not below that of the verdict. The
            p-values of the columns are multiplied by it (Bonferroni), the verdict's by its own.
    """

    columns: tuple[Column, ...]
    settings: tuple[str, ...]
    notes: tuple[str, ...]
    verdict: Verdict
    comparisons: int
    means: tuple[Column, ...] = ()

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
    """Read run folders and compare them with the first: see `read_runs` and `compare_runs`."""
    return compare_runs(read_runs(folders), group=group, all_settings=all_settings)


def read_runs(folders: Sequence[RunFolder]) -> list[ComparedRun]:
    """Read the runs of a comparison.

    Raises:
        UsageError: Fewer than two runs are given.
        RunError: The `config.json` of a run is missing or damaged.
    """
    if len(folders) < 2:
        only = folders[0].run_id if folders else "ID"
        raise UsageError(
            "A comparison needs at least two runs.", f"To show one run: tp runs show {only}"
        )
    return [read_run(folder) for folder in folders]


def compare_runs(
    runs: Sequence[ComparedRun], *, group: bool = True, all_settings: bool = False
) -> Comparison:
    """Compare at least two runs with the first.

    Args:
        group: Average finished runs that differ only in their seed and in paths.
        all_settings: Include every setting, not only those that differ.
    """
    runs = _hide_perplexity(_with_defaults(runs))
    groups = group_by_seed(runs, _same, _seed)
    folded = columns_of(groups)
    columns = tested(folded if group else columns_of([[run] for run in runs]), folded)
    verdict = judge(folded)
    return Comparison(
        columns=columns,
        settings=_shown_settings(runs, all_settings=all_settings),
        notes=notes_on([column.runs for column in columns], grouped=group),
        verdict=verdict,
        comparisons=max(verdict.comparisons, sum(map(_is_tested, columns[1:]))),
        means=() if group else _means(runs[0], groups, folded),
    )


def _is_tested(column: Column) -> bool:
    return column.test is not None or any(
        each.p_value is not None for each in column.deltas.values()
    )


def _means(
    first: ComparedRun, groups: Sequence[Sequence[ComparedRun]], folded: Sequence[Column]
) -> tuple[Column, ...]:
    """A column for each group of several seeds, compared with the first run."""
    columns = columns_of([[first], *(group for group in groups if len(group) > 1)])
    return tested(columns, folded)[1:]


def _with_defaults(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """The runs with the defaults of settings that only others of them were recorded with."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    absent = [absent_settings(run.settings, keys) for run in runs]
    return [
        replace(run, settings={**run.settings, **more}) if more else run
        for run, more in zip(runs, absent, strict=True)
    ]


def _hide_perplexity(runs: Sequence[ComparedRun]) -> list[ComparedRun]:
    """Keep perplexities only for runs with the first run's tokenizer, if there are any."""
    agreeing = [same_tokenizer(runs[0], run) for run in runs[1:]]
    shown = [any(agreeing), *agreeing]
    hidden = {each.key: None for each in METRICS if each.kind == "perplexity"}
    return [
        run if is_shown else replace(run, metrics={**run.metrics, **hidden})
        for run, is_shown in zip(runs, shown, strict=True)
    ]


def seed_groups(runs: Sequence[ComparedRun]) -> list[list[ComparedRun]]:
    """Finished runs that differ only in their seed and in paths, together; others alone."""
    same = {id(run): _same(whole) for run, whole in zip(runs, _with_defaults(runs), strict=True)}
    return group_by_seed(runs, lambda run: same[id(run)], _seed)


def _seed(run: ComparedRun) -> int | None:
    return run.seed


def _same(run: ComparedRun) -> str | None:
    return run.configuration if run.state == "finished" else None


def _shown_settings(runs: Sequence[ComparedRun], *, all_settings: bool) -> tuple[str, ...]:
    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    if all_settings:
        return tuple(keys)
    varying = [key for key in keys if key not in LOCATIONS and _differs(key, runs)]
    return most_telling(varying, ((run.settings, run.state == "failed") for run in runs))


def _differs(key: str, runs: Sequence[ComparedRun]) -> bool:
    first, *others = (setting_of(run, key) for run in runs)
    # JSON's true and 1 are two values, Python's are equal.
    return any(
        other != first or isinstance(other, bool) != isinstance(first, bool) for other in others
    )


def setting_of(run: ComparedRun, key: str) -> Any:
    """Value of a run's setting, or `MISSING`."""
    return run.settings.get(key, MISSING)
