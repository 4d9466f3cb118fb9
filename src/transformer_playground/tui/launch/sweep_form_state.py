"""A launch as a sweep: its fields, the sweep that they ask for, and what it will cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from transformer_playground.config.override_text import setting_named, split_values
from transformer_playground.config.toml import shortened, toml_string
from transformer_playground.errors import ConfigError, PlaygroundError, UsageError
from transformer_playground.runs.naming import SEED
from transformer_playground.sweeps.create import NewSweep, PlannedSweep, plan_sweep
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.spec import Method, check_sweep_id, save_sweep
from transformer_playground.training.launch import Launch
from transformer_playground.tui.launch.variants import list_values
from transformer_playground.tui.shared.text import typed_number

METHODS: tuple[Method, ...] = ("grid", "random", "tpe")


@dataclass(frozen=True)
class SweepFields:
    """What stands in the fields; empty ones have a default.

    Attributes:
        name: Name of the sweep; one is made up.
        seeds: Number of seeds; 1, or those that the launch lists.
        method: "grid", "random" or "tpe"; the first.
        runs: Number of combinations of the other two.
    """

    name: str = ""
    seeds: str = ""
    method: str = ""
    runs: str = ""


@dataclass(frozen=True)
class CheckedSweep:
    """The sweep that was asked for.

    Attributes:
        planned: None if it is not valid.
        problem: Why it is not.
    """

    planned: PlannedSweep | None = None
    problem: str = ""


def asked_sweep(launch: Launch, fields: SweepFields) -> NewSweep:
    """The sweep of a launch and the fields.

    Raises:
        UsageError: A field is not valid.
    """
    if launch.origin is not None:
        raise UsageError("A resumed or branched run is no sweep.", "Start a new run.")
    overrides = [each for each in launch.overrides if _key(each) != SEED]
    listed = [each for each in launch.overrides if _key(each) == SEED]
    method = fields.method.strip() or METHODS[0]
    if method not in get_args(Method) or method not in METHODS:
        raise UsageError(f"'{shortened(method)}' is no method.", f"Use {', '.join(METHODS)}.")
    if listed and fields.seeds.strip():
        raise UsageError(
            "The seeds are those of the launch form.", "Leave the field empty, or take them back."
        )
    return NewSweep(
        launch.experiment,
        [_axis_text(each) for each in overrides],
        _seeds(listed[-1]) if listed else _number("seeds", fields.seeds) or 1,
        next(each for each in METHODS if each == method),
        _number("combinations", fields.runs),
        fields.name.strip() or None,
        launch.config,
    )


def check_sweep(
    experiments_dir: Path, runs_dir: Path, sweeps_dir: Path, launch: Launch, fields: SweepFields
) -> CheckedSweep:
    """Check all combinations of the sweep; nothing is written."""
    try:
        asked = asked_sweep(launch, fields)
        if asked.name and SweepFolder(sweeps_dir / check_sweep_id(asked.name)).root.exists():
            raise UsageError(f"There is already a sweep '{asked.name}'.", "Choose another name.")
        sweep = asked.create(experiments_dir, lambda _: None)
        return CheckedSweep(plan_sweep(sweep, experiments_dir, runs_dir))
    except PlaygroundError as error:
        return CheckedSweep(problem=_form_text(error))


def write_sweep(sweeps_dir: Path, planned: PlannedSweep) -> str:
    """Write a checked sweep; return why that failed, or ""."""
    try:
        save_sweep(sweeps_dir, planned.sweep)
    except PlaygroundError as error:
        return _form_text(error)
    return ""


def _form_text(error: PlaygroundError) -> str:
    """An error in the words of the form, which has fields instead of options."""
    text = error.message if isinstance(error, ConfigError) else str(error)
    for option, field in (
        ("--method ", ""),
        ("--runs", "combinations"),
        ("--seeds", "seeds"),
        ("--name", "name"),
        ("--set ", ""),
    ):
        text = text.replace(option, field)
    return text


def _key(override: str) -> str:
    key = override.partition("=")[0].strip()
    entry = setting_named(key)
    return entry.name if entry else key


def _axis_text(override: str) -> str:
    """An override as `--set` of `tp sweep new`, where commas separate texts, too."""
    values = list_values(override)
    key, _, text = override.partition("=")
    is_one_text = len(values) == 1 and len(split_values(text.strip())) > 1
    return f"{key}={toml_string(text.strip())}" if is_one_text else override


def _seeds(override: str) -> tuple[int, ...]:
    values: Sequence[str] = list_values(override)
    try:
        return tuple(map(int, values))
    except ValueError:
        text = shortened(override.partition("=")[2])
        raise UsageError(f"'{text}' are no seeds.", "Seeds are whole numbers.") from None


def _number(name: str, text: str) -> int | None:
    """A positive whole number; None for an empty field."""
    text = text.strip()
    if not text:
        return None
    number = typed_number(text)
    if number is None or not 0 < number <= 10_000:
        raise UsageError(f"{name}: '{shortened(text)}' is no number from 1 to 10000.", "")
    return number
