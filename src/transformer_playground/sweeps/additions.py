"""More values, seeds or runs for a sweep that exists; its runs keep their ids, and so their place.

The file of the sweep is written again as `tp sweep new` would write it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transformer_playground.config.override_text import split_overrides
from transformer_playground.config.toml import shortened, toml_value
from transformer_playground.errors import UsageError
from transformer_playground.sweeps.axes import Axis, Choices, checked, parse_axis
from transformer_playground.sweeps.create import PlannedSweep, plan_sweep
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.spec import Sweep, load_sweep, write_sweep

_NUMBER = re.compile(r"(?:^|\s)(seeds|runs)\s*=\s*(\S*)")


@dataclass(frozen=True)
class Addition:
    """What is added to a sweep.

    Attributes:
        values: `KEY=VALUES` each, see `parse_axis`.
        seeds: Number of seeds of each combination, with those there are.
        runs: Number of combinations of a random sweep or a search, with those there are.
    """

    values: Sequence[str] = ()
    seeds: int | None = None
    runs: int | None = None

    def to(self, sweep: Sweep) -> Sweep:
        """The larger sweep; nothing is written.

        Raises:
            UsageError: Nothing is added, or the sweep cannot have it.
            ConfigError: A value is none.
        """
        if not self.values and self.seeds is None and self.runs is None:
            raise UsageError(
                "Nothing is added.", "State values of a setting, key=value, or seeds or runs."
            )
        found = sweep if self.seeds is None else _with_seeds(sweep, self.seeds)
        if self.runs is not None:
            found = _with_runs(found, self.runs)
        return _with_values(found, self.values) if self.values else found


def parse_addition(text: str) -> Addition:
    """What one line of text asks for: `learning_rate=3e-2,5e-2 seeds=5`.

    Raises:
        UsageError: A number is none.
    """
    numbers: dict[str, int] = {}
    for name, number in _NUMBER.findall(text):
        if not (number.isdecimal() and len(number) < 6):
            raise UsageError(f"{name} = {shortened(number)} is not a number.", "Write seeds=5.")
        numbers[name] = int(number)
    rest = _NUMBER.sub("", text).strip()
    values = tuple(split_overrides(rest)) if rest else ()
    return Addition(values, numbers.get("seeds"), numbers.get("runs"))


def add_to_sweep(
    folder: SweepFolder, addition: Addition, experiments_dir: Path, runs_dir: Path
) -> PlannedSweep:
    """Add to a saved sweep, after a check of every combination.

    Processes that train it already take the addition up when they are started again.

    Raises:
        PlaygroundError: It cannot be added, or the file not be written; the sweep is unchanged.
    """
    planned = plan_sweep(addition.to(load_sweep(folder)), experiments_dir, runs_dir)
    write_sweep(folder, planned.sweep)
    return planned


def _with_values(sweep: Sweep, values: Sequence[str]) -> Sweep:
    if sweep.method != "grid":
        raise UsageError(
            f"Values can be added to a grid, not to a sweep with the method {sweep.method}.",
            "Edit its list of combinations."
            if sweep.method == "list"
            else "Its draws are among the values there are: raise runs, or make a new sweep.",
        )
    axes: dict[str, Axis] = {axis.key: axis for axis in sweep.axes}
    for text in values:
        more = parse_axis(text)
        known = axes.get(more.key)
        if known is None:
            raise UsageError(
                f"{more.key} does not vary in this sweep.",
                f"It varies {', '.join(axes) or 'seeds alone'}; for others make a new sweep.",
            )
        texts = set(map(toml_value, known.values))
        added = [value for value in more.values if toml_value(value) not in texts]
        if not added:
            raise UsageError(
                f"The sweep has {more.key} = {shortened(more.text())} already.", "Add other values."
            )
        axes[more.key] = checked(Choices(more.key, _in_order((*known.values, *added))))
    return replace(sweep, axes=tuple(axes.values()))


def _with_seeds(sweep: Sweep, count: int) -> Sweep:
    """With further seeds from the largest one upwards."""
    more = count - len(sweep.seeds)
    if more <= 0:
        raise UsageError(
            f"The sweep has {len(sweep.seeds)} seeds already.",
            "State the number of seeds with those there are.",
        )
    first = max(sweep.seeds) + 1
    return replace(sweep, seeds=(*sweep.seeds, *range(first, first + more)))


def _with_runs(sweep: Sweep, runs: int) -> Sweep:
    if sweep.runs is None:
        raise UsageError(
            "A grid has no number of runs: all its combinations are trained.",
            "Add values or seeds.",
        )
    if runs <= sweep.runs:
        raise UsageError(
            f"The sweep has {sweep.runs} combinations already.",
            "State the number of combinations with those there are.",
        )
    return replace(sweep, runs=runs)


def _in_order(values: tuple[object, ...]) -> tuple[object, ...]:
    """Numbers ascending, as in tables; others as they are."""
    numbers = [value for value in values if isinstance(value, int | float)]
    is_numeric = len(numbers) == len(values) and not any(isinstance(each, bool) for each in values)
    return tuple(sorted(numbers)) if is_numeric else values
