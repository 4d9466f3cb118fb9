"""Runs side by side: what differs in their settings, and what came of it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from transformer_playground.analysis.comparison_remarks import remarks_on
from transformer_playground.analysis.grouping import (
    Delta,
    Estimate,
    delta,
    estimate,
    group_by_seed,
)
from transformer_playground.analysis.measures import QUANTITIES
from transformer_playground.analysis.run_facts import (
    LOCATIONS,
    RunFacts,
    collect,
    same_tokenizer,
)
from transformer_playground.errors import UsageError
from transformer_playground.runs.layout import RunFolder

_ID_PART = re.compile(r"[^-._]*[-._]|[^-._]+")

MISSING = object()
"""Stands for a setting that a run does not have, which differs from every value, null too."""


@dataclass(frozen=True)
class Column:
    """A run, or several of the same configuration with different seeds.

    Attributes:
        label: The run's id, or what stands for the group's ids; untrusted text.
        runs: Its runs.
        estimates: Each key of `QUANTITIES` -> mean over the runs.
        deltas: Key -> difference from the first column, where one makes sense; the first column
            has none.
    """

    label: str
    runs: tuple[RunFacts, ...]
    estimates: Mapping[str, Estimate]
    deltas: Mapping[str, Delta]

    @property
    def best_run(self) -> RunFacts:
        """The run of lowest validation loss; the first, if none was evaluated."""
        worst = float("inf")
        losses = [run.measures["best_val_loss"] for run in self.runs]
        ranked = [worst if loss is None else loss for loss in losses]
        return self.runs[ranked.index(min(ranked))]


@dataclass(frozen=True)
class Comparison:
    """Runs compared with the first one.

    Attributes:
        columns: Runs or groups; the first is what the others are held against.
        settings: Dotted keys to show, in the order of the configuration.
        remarks: What a reader must know to read the numbers rightly, a sentence each.
    """

    columns: tuple[Column, ...]
    settings: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def runs(self) -> tuple[RunFacts, ...]:
        """Every run, column by column."""
        return tuple(run for column in self.columns for run in column.runs)

    @property
    def is_grouped(self) -> bool:
        """Whether some column stands for several runs."""
        return any(len(column.runs) > 1 for column in self.columns)


def compare(
    folders: Sequence[RunFolder], *, group: bool = True, all_settings: bool = False
) -> Comparison:
    """Compare runs with the first of them.

    Args:
        folders: At least two runs.
        group: Show finished runs that differ in nothing but their seed (and in where their data
            lies) as one column of means.
        all_settings: Name every setting, not only those that differ.

    Raises:
        UsageError: Fewer than two runs are given.
        RunError: The `config.json` of a run is missing or damaged.
    """
    if len(folders) < 2:
        only = folders[0].run_id if folders else "ID"
        raise UsageError(
            "A comparison takes at least two runs.", f"To look at one: tp runs show {only}"
        )
    runs = [collect(folder) for folder in folders]
    return compare_facts(runs, group=group, all_settings=all_settings)


def compare_facts(
    facts: Sequence[RunFacts], *, group: bool = True, all_settings: bool = False
) -> Comparison:
    """What `compare` makes of at least two runs that have been read."""
    runs = _hide_perplexity(facts)
    groups = group_by_seed(runs, _same, lambda run: run.seed) if group else [[run] for run in runs]
    return Comparison(
        columns=_columns(groups),
        settings=_shown_settings(runs, all_settings=all_settings),
        remarks=remarks_on(groups, grouped=group),
    )


def _hide_perplexity(runs: Sequence[RunFacts]) -> list[RunFacts]:
    """Keep perplexities where at least two runs, the first among them, count the same tokens."""
    agreeing = [same_tokenizer(runs[0], run) for run in runs[1:]]
    shown = [any(agreeing), *agreeing]
    hidden = {each.key: None for each in QUANTITIES if each.kind == "perplexity"}
    return [
        run if is_shown else replace(run, measures={**run.measures, **hidden})
        for run, is_shown in zip(runs, shown, strict=True)
    ]


def _same(run: RunFacts) -> str | None:
    """What runs of one group share; None for a run whose numbers are not its last ones."""
    return run.configuration if run.state == "finished" else None


def _columns(groups: Sequence[Sequence[RunFacts]]) -> tuple[Column, ...]:
    columns: list[Column] = []
    for runs in groups:
        estimates = {
            each.key: estimate(run.measures[each.key] for run in runs) for each in QUANTITIES
        }
        deltas = _deltas(columns[0], runs, estimates) if columns else {}
        columns.append(Column(_label(runs), tuple(runs), estimates, deltas))
    return tuple(columns)


def _deltas(
    first: Column, runs: Sequence[RunFacts], estimates: Mapping[str, Estimate]
) -> dict[str, Delta]:
    # Runs of one group share their tokenizer, so that the first of each speaks for all.
    comparable = same_tokenizer(first.runs[0], runs[0])
    found = {
        each.key: delta(first.estimates[each.key], estimates[each.key])
        for each in QUANTITIES
        if each.has_delta and (comparable or not each.per_token)
    }
    return {key: value for key, value in found.items() if value is not None}


def _label(runs: Sequence[RunFacts]) -> str:
    ids = [run.run_id for run in runs]
    if len(ids) == 1:
        return ids[0]
    parts = zip(*map(_ID_PART.findall, ids), strict=False)
    shared = "".join(same[0] for same in takewhile(lambda part: len(set(part)) == 1, parts))
    return f"{shared}{{{','.join(run_id.removeprefix(shared) for run_id in ids)}}}"


def _shown_settings(runs: Sequence[RunFacts], *, all_settings: bool) -> tuple[str, ...]:
    keys = list(dict.fromkeys(key for run in runs for key in run.settings))
    if all_settings:
        return tuple(keys)
    return tuple(key for key in keys if key not in LOCATIONS and _differs(key, runs))


def _differs(key: str, runs: Sequence[RunFacts]) -> bool:
    first = setting_of(runs[0], key)
    return any(_differ(setting_of(run, key), first) for run in runs[1:])


def _differ(left: Any, right: Any) -> bool:
    # JSON's true and 1 are two values, Python's are one.
    return left != right or isinstance(left, bool) != isinstance(right, bool)


def setting_of(run: RunFacts, key: str) -> Any:
    """A run's value of a setting, or `MISSING`."""
    return run.settings.get(key, MISSING)
