"""Lists and ranges of values: one override such as `seed=1, 2, 3` stands for several runs."""

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transformer_playground.config.override_text import setting_named, split_values
from transformer_playground.config.toml import toml_value
from transformer_playground.errors import ConfigError, PlaygroundError, UsageError
from transformer_playground.runs.folder import check_run_id, new_run_id
from transformer_playground.sweeps.axes import Range, parse_range
from transformer_playground.training.launch import Launch
from transformer_playground.tui.launch.service import check_launch

MOST_RUNS = 200
"""Maximum number of runs that one launch may queue."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NOT_IN_ID = re.compile(r"[^A-Za-z0-9._-]+")


def list_values(override: str) -> tuple[str, ...]:
    """The values of a `key=value`: several if they stand for one run each, otherwise one.

    A list setting has its values in brackets. A text has commas of its own, so a list of texts is
    one of quoted texts. A range such as `1e-4..1e-2:log:3` stands for its values; one that is not
    valid stays as it is.
    """
    key, separator, text = override.partition("=")
    text = text.strip()
    entry = setting_named(key.strip()) if separator else None
    with contextlib.suppress(ConfigError):
        if (found := _range(override)) is not None:
            return tuple(map(toml_value, found.values))
    parts = split_values(text)
    if entry is None or len(parts) < 2 or not all(parts):
        return (text,)
    if (entry.is_text or entry.is_path) and not all(part[0] in "\"'" for part in parts):
        return (text,)
    return tuple(dict.fromkeys(parts))


def combinations(overrides: Sequence[str]) -> list[tuple[str, ...]]:
    """The overrides of each run: every combination of the listed values, the last varying fastest.

    Raises:
        UsageError: There are more than `MOST_RUNS`.
        ConfigError: A range is impossible, or has no number of values.
    """
    for override in overrides:
        if (found := _range(override)) is not None:
            # The error says what is wrong with it.
            _ = found.values
    choices = [
        [f"{override.partition('=')[0]}={value}" for value in list_values(override)]
        if "=" in override
        else [override]
        for override in overrides
    ]
    count = 1
    for values in choices:
        count *= len(values)
    if count > MOST_RUNS:
        raise UsageError(f"These lists stand for {count:,} runs, more than {MOST_RUNS}.", "")
    return list(itertools.product(*choices))


def _range(override: str) -> Range | None:
    """The range of a number that an override has as its value.

    Raises:
        ConfigError: It is impossible.
    """
    key, _, text = override.partition("=")
    entry = setting_named(key.strip())
    if entry is None or entry.is_text or entry.is_path:
        return None
    return parse_range(entry, text.strip())


def listed_keys(overrides: Iterable[str]) -> list[str]:
    """Full keys of the overrides with several values."""
    return [
        override.partition("=")[0].strip()
        for override in overrides
        if len(list_values(override)) > 1
    ]


def suggested_id(overrides: Sequence[str], experiment: str) -> str:
    """A template of ids for several runs: `{seed}` stands for the value of the setting."""
    endings = [key.rpartition(".")[2] for key in listed_keys(overrides)]
    return "-".join([_NOT_IN_ID.sub("-", experiment), *(f"{{{ending}}}" for ending in endings)])


@dataclass(frozen=True)
class Plan:
    """The runs that a launch queues.

    Attributes:
        launches: One for each run, with its id if it has one.
        existing: Ids of runs that exist already and are left out.
        problem: Why nothing can be queued; empty if it can.
    """

    launches: tuple[Launch, ...] = ()
    existing: tuple[str, ...] = ()
    problem: str = ""


def plan_of(launch: Launch, runs_dir: Path) -> Plan:
    """The runs of a launch whose overrides may be lists; its run id may be a template."""
    try:
        found = combinations(launch.overrides)
        if len(found) == 1:
            return Plan((replace(launch, overrides=found[0]),))
        if launch.resume is not None:
            return Plan(problem="A resumed run is one run: give each setting one value.")
        ids = [_filled(launch.run_id or "", overrides) for overrides in found]
    except PlaygroundError as error:
        return Plan(problem=str(error).strip())
    if launch.run_id and len(set(ids)) < len(ids):
        names = " or ".join(
            f"{{{key.rpartition('.')[2]}}}" for key in listed_keys(launch.overrides)
        )
        return Plan(problem=f"{len(ids)} runs need ids of their own: use {names} in the run id.")
    existing = tuple(run_id for run_id in ids if run_id and (runs_dir / run_id).exists())
    launches = tuple(
        replace(launch, overrides=overrides, run_id=run_id or None)
        for overrides, run_id in zip(found, ids, strict=True)
        if run_id not in existing
    )
    if not launches:
        return Plan(existing=existing, problem=f"All {len(existing)} runs exist already.")
    return Plan(launches, existing)


def with_ids(launches: Sequence[Launch]) -> tuple[Launch, ...]:
    """The launches, each new run with an id."""
    return tuple(
        replace(
            launch,
            run_id=None if launch.resume else launch.run_id or new_run_id(launch.experiment),
        )
        for launch in launches
    )


def check_plan(
    experiments_dir: Path,
    runs_dir: Path,
    plan: Plan,
    is_wanted: Callable[[], bool] = lambda: True,
) -> str:
    """Why one of the runs cannot be launched; empty if all can.

    Args:
        experiments_dir: Folder of experiments.
        runs_dir: Folder of runs.
        plan: The runs.
        is_wanted: Asked before each run; the rest is left out once the answer is not wanted.
    """
    if plan.problem:
        return plan.problem
    launches = itertools.takewhile(lambda _: is_wanted(), plan.launches)
    problems = (check_launch(experiments_dir, runs_dir, launch) for launch in launches)
    return next(filter(None, problems), "")


def plan_text(plan: Plan) -> str:
    """How many runs there will be and which exist already; empty for a single run."""
    if plan.problem:
        return ""
    count = len(plan.launches)
    if count + len(plan.existing) < 2:
        return ""
    names = [launch.run_id for launch in plan.launches if launch.run_id]
    text = f"{count} run{'s' if count > 1 else ''}, one after the other"
    if names:
        text += f": {', '.join(names[:4])}{', …' if len(names) > 4 else ''}"
    if plan.existing:
        count = len(plan.existing)
        verb = "exists" if count == 1 else "exist"
        text += f" · {count} {verb} already and {'is' if count == 1 else 'are'} left out"
    return text


def _filled(template: str, overrides: Sequence[str]) -> str:
    """A run id with the values of these overrides in place of their names.

    Raises:
        UsageError: A name is that of no changed setting, or the id is not valid.
    """
    if not template:
        return ""
    values: dict[str, str] = {}
    for override in overrides:
        key, _, value = override.partition("=")
        entry = setting_named(key.strip())
        name = entry.name if entry else key.strip()
        short = _NOT_IN_ID.sub("-", value.strip().strip("\"'")).strip("-")
        values |= {name: short, name.rpartition(".")[2]: short}

    def value_of(found: re.Match[str]) -> str:
        if found[1] in values:
            return values[found[1]]
        raise UsageError(f"{found[0]} in the run id is not the name of a changed setting.", "")

    return check_run_id(_PLACEHOLDER.sub(value_of, template))
