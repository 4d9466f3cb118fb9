"""A new sweep from what a user has typed, and what it will cost."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from transformer_playground.config.toml import shortened, toml_value
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import load_experiment
from transformer_playground.experiments.scaffold import find_or_install
from transformer_playground.formatting import duration_text
from transformer_playground.sweeps.axes import Choices, override, parse_axis
from transformer_playground.sweeps.base import Base
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.progress import Progress
from transformer_playground.sweeps.spec import (
    Halving,
    Method,
    Sweep,
    check_sweep_id,
    load_sweep,
    new_sweep_id,
    save_sweep,
)
from transformer_playground.sweeps.tables import size_text
from transformer_playground.sweeps.trials import TrialState
from transformer_playground.training.launch import ResolvedLaunch

# An estimate lists all runs; more of them would take longer than it saves.
_MOST_ESTIMATES = 40


@dataclass(frozen=True)
class NewSweep:
    """A sweep as it is asked for.

    Attributes:
        values: `KEY=VALUES` each, see `parse_axis`; a single value is a setting of all runs.
        seeds: Number of seeds, from the experiment's own one upwards; or the seeds themselves.
        runs: Number of combinations of the methods "random" and "tpe".
        halving: Steps of the first rung of successive halving; None = without.
        factor: One of so many combinations goes on.
        sequential: Train no further seeds once the best combination is clear.
        name: Name of the sweep; None makes one up.
        config: Configuration file instead of the experiment's.
    """

    experiment: str
    values: Sequence[str]
    seeds: int | tuple[int, ...] = 1
    method: Method = "grid"
    runs: int | None = None
    name: str | None = None
    config: Path | None = None
    halving: int | None = None
    factor: int | None = None
    sequential: bool = False

    def create(self, experiments_dir: Path, notify: Callable[[str], object]) -> Sweep:
        """The sweep; nothing is written.

        Raises:
            UsageError: Nothing varies, or the number of runs does not fit the method.
            ConfigError: A value is none, or the experiment's configuration is not valid.
        """
        if self.method != "grid" and self.runs is None:
            raise UsageError(
                f"--method {self.method} needs --runs.", "Add the number of combinations."
            )
        if self.method == "grid" and self.runs is not None:
            raise UsageError(
                "--runs has no effect on a grid, which trains all combinations.",
                "Leave it out, or add --method random.",
            )
        if self.factor is not None and self.halving is None:
            raise UsageError("--factor has no effect without --halving.", "Add --halving STEPS.")
        if self.method == "tpe" and self.halving is not None:
            raise UsageError(
                "--halving needs all combinations at the start, which tpe chooses one by one.",
                "Leave it out, or use --method random.",
            )
        count = self.seeds if isinstance(self.seeds, int) else len(self.seeds)
        if self.sequential and (self.method == "tpe" or self.halving is not None or count < 3):
            raise UsageError(
                "--sequential compares seeds of the same combinations.",
                "Give at least --seeds 3, and neither --method tpe nor --halving.",
            )
        found = [parse_axis(text) for text in self.values]
        keys = [axis.key for axis in found]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise UsageError(f"--set {twice} is given twice.", "List its values in one --set.")
        fixed = [axis for axis in found if isinstance(axis, Choices) and len(axis.values) == 1]
        axes = tuple(axis for axis in found if axis not in fixed)
        if self.method == "tpe" and not axes:
            raise UsageError("Nothing varies that tpe could choose.", "Add --set key=value,value.")
        if not axes and count == 1:
            raise UsageError(
                "Nothing varies in this sweep.",
                "Give a setting several values, --set key=value,value, or several --seeds.",
            )
        settings = tuple(override(axis.key, axis.values[0]) for axis in fixed)
        if self.experiment:
            find_or_install(experiments_dir, self.experiment, notify)
        experiment, loaded = load_experiment(
            experiments_dir, self.experiment or None, self.config, settings, os.environ
        )
        first = loaded.config.train.runtime.seed
        return Sweep(
            new_sweep_id(experiment.name) if self.name is None else check_sweep_id(self.name),
            self.experiment,
            axes,
            tuple(range(first, first + self.seeds)) if isinstance(self.seeds, int) else self.seeds,
            method=self.method,
            runs=self.runs,
            settings=settings,
            config=self.config,
            halving=None
            if self.halving is None
            else Halving(steps=self.halving, factor=self.factor or 3),
            sequential=self.sequential,
        )


@dataclass(frozen=True)
class PlannedSweep:
    """A checked sweep and what it will cost.

    Attributes:
        seconds: Training time of the runs that are left, see `estimate_seconds`.
    """

    sweep: Sweep
    states: list[TrialState]
    seconds: float | None

    def lines(self) -> Iterator[str]:
        """Number of runs, how many exist already, and the time that the others take."""
        yield f"{self.sweep.sweep_id}: {size_text(self.sweep, self.states)}"
        if reused := sum(state.is_reused for state in self.states):
            yield f"exist already, not trained again: {reused}"
        unknown = "not known, there is no earlier run on this machine"
        seconds = self.seconds
        yield f"time: {unknown if seconds is None else f'about {duration_text(seconds)}'}"


def plan_sweep(sweep: Sweep, experiments_dir: Path, runs_dir: Path) -> PlannedSweep:
    """Check every combination of a new sweep, and estimate its time; nothing is written.

    Raises:
        PlaygroundError: One is impossible; the message names its values.
    """
    progress = Progress(sweep, experiments_dir, runs_dir)
    # All runs begin with the settings that are checked here, whatever becomes of the files.
    progress.sweep = sweep = replace(sweep, base=progress.found_base())
    launches = progress.check()
    states = progress.states()
    return PlannedSweep(sweep, states, estimate_seconds(sweep, states, launches))


def open_sweep(sweeps_dir: Path, sweep: Sweep, *, save: bool) -> Sweep:
    """The sweep of this name as it was saved before, so that its runs are found again.

    Args:
        sweep: With the settings that its runs would begin with now as its `base`.
        save: Whether a new one is written.

    Raises:
        UsageError: A sweep of this name trains other runs, or has begun with other settings.
        ConfigError: Its file is damaged or cannot be written.
    """
    folder = SweepFolder(sweeps_dir / sweep.sweep_id)
    if not folder.spec_path.exists():
        if not save:
            return sweep
        try:
            return load_sweep(save_sweep(sweeps_dir, sweep))
        except UsageError:
            # Another process may have saved it meanwhile.
            if not folder.spec_path.exists():
                raise
    known = load_sweep(folder)
    if replace(known, created=sweep.created) != sweep:
        raise UsageError(
            f"The sweep '{sweep.sweep_id}' in {sweeps_dir} trains other runs.",
            "Choose another --name.",
        )
    if known.base is not None and sweep.base is not None:
        _check_same(known.sweep_id, known.base, sweep.base)
    return known


def _check_same(sweep_id: str, kept: Base, now: Base) -> None:
    was, is_ = kept.learned, now.learned
    for key in sorted(was | is_):
        if was.get(key) != is_.get(key):
            before, after = (shortened(toml_value(each.get(key))) for each in (was, is_))
            raise UsageError(
                f"The runs of the sweep '{sweep_id}' begin with {key} = {before}; the experiment "
                f"has {after} now.",
                "Set it back, or choose another --name.",
            )


def estimate_seconds(
    sweep: Sweep, states: Sequence[TrialState], launches: Sequence[ResolvedLaunch]
) -> float | None:
    """Training time of the runs that are left, one after the other; None if it is not known.

    From earlier runs on this machine. Of many launches some are looked at, evenly spread.

    Args:
        sweep: Of which all runs are trained to their end; halving saves some of this time.
        states: Its trials.
        launches: Their configurations; examples of them for a search.
    """
    is_search = sweep.method == "tpe"
    left = [
        launch
        for place, launch in enumerate(launches)
        if is_search or states[place].state == "open"
    ]
    step = -(-len(left) // _MOST_ESTIMATES) or 1
    total, some = 0.0, left[::step]
    for launch in some:
        found = launch.known_estimate(rough=True)
        if found is None or found.seconds is None:
            return None
        total += found.seconds
    count = (sweep.runs or 0) * len(sweep.seeds) if is_search else len(left)
    return total / len(some) * count if some else 0.0
