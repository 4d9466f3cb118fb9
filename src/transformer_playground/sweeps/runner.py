"""Training of a sweep: trial after trial, beside other processes that share its folder.

The run folders are the only record of progress. A process takes the first trial that has no run,
or whose run was interrupted; creating the run folder and its lock decide between processes that
take the same one. So a process that is killed loses nothing: its run is resumed by the next.
"""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformer_playground.errors import PlaygroundError, UsageError, translate_os_errors
from transformer_playground.jsonvalues import to_jsonable
from transformer_playground.runs.folder import open_run
from transformer_playground.runs.requests import send_request
from transformer_playground.sweeps.spec import Sweep, SweepFolder
from transformer_playground.sweeps.trials import (
    State,
    Trial,
    TrialState,
    plan,
    resolve_trials,
    trial_states,
)
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.launch import Launch, ResolvedLaunch, resolve_launch

MOST_FAILURES = 3
"""So many failures in a row end a sweep: what fails is then not the settings of one run."""


@dataclass(frozen=True)
class Started:
    """A trial whose training begins, or goes on if its run exists."""

    trial: Trial
    is_resumed: bool

    def as_json(self) -> dict[str, Any]:
        """One flat JSON object."""
        return _as_json(self.trial, "running", None, None)


@dataclass(frozen=True)
class Ended:
    """A trial whose training has ended; `problem` is empty unless it failed."""

    state: TrialState
    problem: str = ""

    @property
    def trial(self) -> Trial:
        """The trial."""
        return self.state.trial

    def as_json(self) -> dict[str, Any]:
        """One flat JSON object."""
        row = self.state.row
        loss = None if row is None else row.summary.best_val_loss
        return _as_json(self.trial, self.state.state, loss, self.problem or None)


@dataclass
class SweepRunner:
    """Trains the trials of a sweep that are left.

    Attributes:
        notify: Called with each notice of training, as `training.run.start` does.
        report: Called as trials begin and end.
    """

    folder: SweepFolder
    sweep: Sweep
    experiments_dir: Path
    runs_dir: Path
    notify: Callable[[str], object]
    report: Callable[[Started | Ended], object]
    _control: TrainingControl = field(default_factory=TrainingControl)
    _is_stopped: bool = False
    _passed: set[str] = field(default_factory=set)

    def stop(self) -> None:
        """Stop the run in training, which is saved first, and start no other; from any thread."""
        self._is_stopped = True
        self._control.stop()

    def run(self) -> list[TrialState]:
        """Train until no trial is left, or until `stop`; return the states of all trials.

        Raises:
            PlaygroundError: A setting is impossible, or several trials in a row have failed.
        """
        trials = plan(self.sweep)
        resolved = resolve_trials(self.sweep, trials, self.experiments_dir, self.runs_dir)
        self._allow_starts()
        failures = 0
        while True:
            states = trial_states(trials, resolved, self.runs_dir)
            chosen = self._next(states)
            if chosen is None:
                return states
            error = self._train(chosen, resolved[chosen.trial.number])
            failures = 0 if error is None else failures + 1
            if error is not None and failures == MOST_FAILURES:
                raise type(error)(
                    f"{failures} runs in a row have failed, the last one with: {error.message}",
                    error.hint,
                )

    def _allow_starts(self) -> None:
        with translate_os_errors(PlaygroundError, f"{self.folder.stop_path} cannot be removed"):
            self.folder.stop_path.unlink(missing_ok=True)

    def _next(self, states: Sequence[TrialState]) -> TrialState | None:
        if self._is_stopped or self.folder.stop_path.exists():
            return None
        left = (state for state in states if state.state == "open")
        return next((each for each in left if each.trial.run_id not in self._passed), None)

    def _train(self, chosen: TrialState, resolved: ResolvedLaunch) -> PlaygroundError | None:
        """Train one trial; return why it failed, if it did."""
        trial = chosen.trial
        # Whatever becomes of it, this process does not take the trial again: a run that the user
        # stops by itself stays stopped.
        self._passed.add(trial.run_id)
        self._control = TrainingControl()
        if self._is_stopped:
            return None
        problem = None
        try:
            if chosen.row is not None:
                resolved = self._resumed(trial)
            self.report(Started(trial, chosen.row is not None))
            resolved.train([], self._control, self.notify)
        except PlaygroundError as error:
            problem = error
        (state,) = trial_states([trial], [resolved], self.runs_dir)
        if problem is not None and state.state in ("running", "finished"):
            # Another process was faster.
            return None
        self.report(Ended(state, "" if problem is None else problem.message))
        return problem

    def _resumed(self, trial: Trial) -> ResolvedLaunch:
        launch = Launch("", resume=trial.run_id, prepare="never")
        return resolve_launch(self.experiments_dir, self.runs_dir, launch)


def stop_sweep(folder: SweepFolder, sweep: Sweep, runs_dir: Path) -> list[str]:
    """Let no process start a further run of a sweep, and ask those in training to stop.

    Returns:
        The runs that were asked.

    Raises:
        UsageError: The folder cannot be written.
    """
    with translate_os_errors(UsageError, f"The sweep cannot be stopped in {folder.root}"):
        folder.stop_path.touch()
    asked = []
    for trial in plan(sweep):
        # Those that are not training refuse.
        with contextlib.suppress(PlaygroundError):
            send_request(open_run(runs_dir, trial.run_id), "stop")
            asked.append(trial.run_id)
    return asked


def _as_json(trial: Trial, state: State, loss: float | None, problem: str | None) -> dict[str, Any]:
    return {
        "number": trial.number,
        "run_id": trial.run_id,
        "values": to_jsonable(dict(trial.values)),
        "seed": trial.seed,
        "state": state,
        "best_val_loss": loss,
        "problem": problem,
    }
