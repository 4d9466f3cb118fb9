"""Progress of a sweep: its trials and their states, as far as they are known now."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from filelock import FileLock

from transformer_playground.comparison.estimates import estimate
from transformer_playground.errors import ConfigError
from transformer_playground.sweeps.axes import Values
from transformer_playground.sweeps.halving import check_halving, decide, loss_until
from transformer_playground.sweeps.sequential import stop_when_clear
from transformer_playground.sweeps.spec import Sweep
from transformer_playground.sweeps.trials import (
    CheckedLaunch,
    Trial,
    TrialState,
    examples,
    most_combinations,
    plan,
    resolve_trial,
    search_of,
    trial_states,
)
from transformer_playground.training.launch import ResolvedLaunch

_LOCK = ".search.lock"


@dataclass
class Progress:
    """The trials of a sweep, read again from disk at each call.

    Attributes:
        launches: The checked configuration of each trial, by number.
    """

    sweep: Sweep
    experiments_dir: Path
    runs_dir: Path
    launches: dict[int, CheckedLaunch] = field(default_factory=dict)
    _max_iters: int | None = None

    def check(self) -> list[ResolvedLaunch]:
        """The configurations of all trials, or of examples of those that a search will choose.

        Raises:
            PlaygroundError: One is impossible.
        """
        trials = examples(self.sweep) if self.sweep.method == "tpe" else plan(self.sweep)
        launches = [self._launch(trial).resolved for trial in trials]
        if self.sweep.halving is not None:
            self._max_iters = check_halving(self.sweep.halving, launches)
        return launches

    def states(self) -> list[TrialState]:
        """The states of all trials that are known.

        Raises:
            PlaygroundError: One is impossible.
        """
        trials = [trial for trial in plan(self.sweep) if self._is_possible(trial)]
        launches = [self.launches[trial.number] for trial in trials]
        found = trial_states(trials, launches, self.runs_dir)
        if self.sweep.sequential:
            return stop_when_clear(found, self.sweep.seeds)
        if self.sweep.halving is None:
            return found
        if self._max_iters is None:
            self._max_iters = check_halving(
                self.sweep.halving, [launch.resolved for launch in launches]
            )
        loss_at = partial(loss_until, runs_dir=self.runs_dir)
        return decide(self.sweep.halving, found, self._max_iters, loss_at)

    def search_on(self, states: list[TrialState]) -> bool:
        """Record what is known in the search, and let it choose one more combination.

        Returns:
            Whether there was one more to choose.
        """
        sweep, size = self.sweep, len(self.sweep.seeds)
        if sweep.method != "tpe":
            return False
        search = search_of(sweep)
        for place in range(0, len(states), size):
            group = states[place : place + size]
            if all(state.state in ("finished", "failed") for state in group):
                losses = [
                    state.row.summary.best_val_loss
                    for state in group
                    if state.state == "finished" and state.row
                ]
                search.tell(group[0].trial.number // size, estimate(losses).mean)
        assert sweep.root is not None
        # Several processes choose one after the other.
        with FileLock(sweep.root / _LOCK):
            if len(search.combinations()) >= most_combinations(sweep):
                return False
            return search.choose(self._is_impossible)

    def _is_possible(self, trial: Trial) -> bool:
        """Whether a trial can be trained; its configuration is then in `launches`.

        Raises:
            ConfigError: It cannot, and no search has chosen it.
        """
        if trial.number in self.launches:
            return True
        try:
            self.launches[trial.number] = self._launch(trial)
        except ConfigError:
            # A search is killed before it has refused what it chose.
            if self.sweep.method != "tpe":
                raise
            return False
        return True

    def _is_impossible(self, values: Values) -> bool:
        try:
            self._launch(Trial(0, values, self.sweep.seeds[0], "check"))
        except ConfigError:
            return True
        return False

    def _launch(self, trial: Trial) -> CheckedLaunch:
        launch = resolve_trial(self.sweep, trial, self.experiments_dir, self.runs_dir)
        processes = launch.resolved.loaded.config.train.distributed.processes
        if processes > 1:
            raise ConfigError(
                f"train.distributed.processes = {processes}: runs of a sweep train in one process.",
                "Set it to 1, and train several runs side by side with tp sweep run --jobs.",
            )
        return launch
