"""Progress of a sweep: its trials and their states, as far as they are known now."""

import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from filelock import FileLock

from transformer_playground.comparison.estimates import estimate
from transformer_playground.errors import ConfigError, RunError, translate_os_errors
from transformer_playground.experiments.discovery import (
    CONFIG_FILE,
    Experiment,
    load_experiment,
)
from transformer_playground.experiments.recorded import recorded_experiment
from transformer_playground.files import modified
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.sweeps.axes import Values
from transformer_playground.sweeps.base import (
    Base,
    base_of_experiment,
    base_of_run,
    save_base,
)
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.halving import check_halving, decide, loss_until
from transformer_playground.sweeps.sequential import stop_when_clear
from transformer_playground.sweeps.spec import Sweep
from transformer_playground.sweeps.trials import (
    CheckedLaunch,
    Trial,
    TrialState,
    check_dataset,
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

    def keep_base(self, folder: SweepFolder) -> None:
        """Keep the settings that the runs begin with, unless it was done before.

        They are those of the experiment now, or of a run that the sweep already has.

        Raises:
            PlaygroundError: The experiment cannot be loaded, or the file not be written.
        """
        if self.sweep.base is None:
            self._replace_base(folder, self.found_base())

    def keep_dataset(self, folder: SweepFolder, fingerprint: str | None) -> None:
        """Keep the fingerprint of the dataset that the first run begins with.

        Raises:
            ConfigError: The file cannot be written.
        """
        base = self.sweep.base
        if base is not None and base.dataset is None and fingerprint is not None:
            self._replace_base(folder, base.with_dataset(fingerprint))

    def check_dataset(self, trial: Trial) -> None:
        """Refuse to train a trial on another dataset than the runs there are.

        Raises:
            DataError: It is another one.
        """
        if self.sweep.base is not None:
            config = self.launches[trial.number].resolved.loaded.config
            check_dataset(config.prepare.dataset_dir, self.sweep.base.dataset)

    def found_base(self) -> Base:
        """The settings of the experiment now, or of a run that the sweep already has.

        Raises:
            PlaygroundError: The experiment cannot be loaded.
        """
        sweep = self.sweep
        stated = sweep.experiment, self._config_text
        # Also runs of values and seeds that the file no longer has.
        own = self.runs_dir.glob(f"{sweep.sweep_id}-{sweep.created}-*")
        for path in sorted(own, key=lambda path: modified(RunFolder(path).config_path) or 0.0):
            try:
                record = read_run_config(RunFolder(path))
            except RunError:
                continue
            name = recorded_experiment(record) or sweep.experiment
            home = self.experiments_dir / name
            known = Experiment(name, home, sweep.config or home / CONFIG_FILE)
            return base_of_run(*stated, sweep.settings, known, record)
        return self.current_base()

    def current_base(self) -> Base:
        """The settings of the experiment now.

        Raises:
            PlaygroundError: The experiment cannot be loaded.
        """
        sweep = self.sweep
        found = load_experiment(
            self.experiments_dir,
            sweep.experiment or None,
            sweep.config,
            sweep.settings,
            os.environ,
        )
        return base_of_experiment(sweep.experiment, self._config_text, sweep.settings, found)

    @property
    def _config_text(self) -> str:
        config = self.sweep.config
        return "" if config is None else str(config.absolute())

    def _replace_base(self, folder: SweepFolder, base: Base) -> None:
        save_base(folder, base)
        self.sweep = replace(self.sweep, base=base)
        self.launches.clear()

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
        lock = FileLock(sweep.root / _LOCK)
        with translate_os_errors(ConfigError, f"{lock.lock_file} cannot be locked"):
            lock.acquire()
        try:
            if len(search.combinations()) >= most_combinations(sweep):
                return False
            return search.choose(self._is_impossible)
        finally:
            lock.release()

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
