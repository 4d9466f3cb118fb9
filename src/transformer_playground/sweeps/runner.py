"""Training of a sweep: trial after trial, beside other processes that share its folder.

The run folders are the only record of progress. A process takes the first trial that has no run,
or whose run was interrupted; creating the run folder and its lock decide between processes that
take the same one. So a process that is killed loses nothing: its run is resumed by the next.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformer_playground.checkpoints.discovery import scan_folder
from transformer_playground.errors import (
    PlaygroundError,
    RunError,
    UsageError,
    is_full_disk,
    translate_os_errors,
)
from transformer_playground.jsonvalues import to_jsonable
from transformer_playground.runs.folder import open_run
from transformer_playground.runs.manage import delete_runs
from transformer_playground.runs.requests import send_request
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.order import requested, take_request
from transformer_playground.sweeps.progress import Progress
from transformer_playground.sweeps.spec import Sweep
from transformer_playground.sweeps.trials import State, Trial, TrialState, plan
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import Evaluated, Event
from transformer_playground.training.launch import Launch, ResolvedLaunch, resolve_launch
from transformer_playground.training.sinks.base import Sink

_POLL_SECONDS = 0.5
MOST_FAILURES = 3
"""So many failures in a row end a sweep: what fails is then not the settings of one run."""


class _TakenError(PlaygroundError):
    """Another process begins the same run again."""


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
    progress: Progress
    notify: Callable[[str], object]
    report: Callable[[Started | Ended], object]
    _control: TrainingControl = field(default_factory=TrainingControl)
    _begun: float = field(default_factory=time.time)
    _is_stopped: bool = False
    _passed: set[tuple[str, int | None]] = field(default_factory=set)

    def stop(self) -> None:
        """Stop the run in training, which is saved first, and start no other; from any thread."""
        self._is_stopped = True
        self._control.stop()

    def run(self) -> list[TrialState]:
        """Train until no trial is left, or until `stop`; return the states of all trials.

        Raises:
            PlaygroundError: A setting is impossible, or several trials in a row have failed.
        """
        failures, states = 0, self.progress.states()
        while True:
            if self._is_stopped or self.folder.stop_path.exists():
                return states
            chosen = self._next(states)
            if chosen is None:
                if not self.progress.search_on(states):
                    if not self._waits(states):
                        return states
                    time.sleep(_POLL_SECONDS)
                states = self.progress.states()
                continue
            self._control = TrainingControl()
            # `stop` may have come before this control was there.
            if self._is_stopped:
                return states
            problem = self._train(chosen)
            if problem is not None and is_full_disk(problem):
                # No other run could be trained either, and this one is not counted as failed.
                hint = "Free some disk space and start it again: it goes on where it was."
                raise type(problem)(problem.message, hint) from problem
            # All runs are listed once after each.
            states = self.progress.states()
            error = self._report(chosen.trial, problem, states)
            failures = 0 if error is None else failures + 1
            if error is not None and failures == MOST_FAILURES:
                raise type(error)(
                    f"{failures} runs in a row have failed, the last one with: {error.message}",
                    error.hint,
                )

    def _next(self, states: Sequence[TrialState]) -> TrialState | None:
        due = [state for state in states if state.state == "open" and not state.waits]
        ids = {state.trial.run_id: state for state in due}
        for run_id in requested(self.folder):
            if run_id in ids:
                return ids[run_id]
        for state in due:
            is_passed = (state.trial.run_id, state.goal) in self._passed
            if not is_passed and not self._was_stopped(state):
                return state
        return None

    def _was_stopped(self, state: TrialState) -> bool:
        """Whether the user has stopped this very run, whichever process trained it.

        With successive halving runs are also stopped at their step.
        """
        row = state.row
        if row is None or row.state != "stopped" or self.progress.sweep.halving is not None:
            return False
        return (row.updated or 0.0) > self._begun

    def _waits(self, states: Sequence[TrialState]) -> bool:
        """Whether runs of other processes will decide which trials go on."""
        is_undecided = any(state.state == "open" and state.waits for state in states)
        return is_undecided and any(state.state == "running" for state in states)

    def _train(self, chosen: TrialState) -> PlaygroundError | None:
        """Train one trial; return what ended it, if anything did."""
        trial = chosen.trial
        # Whatever becomes of it, this process does not take the trial again.
        self._passed.add((trial.run_id, chosen.goal))
        control = self._control
        # Not a fault of this run: no other could be trained either.
        self.progress.check_dataset(trial)
        begun = _Begun(self.folder, trial.run_id)
        sinks: list[Sink] = [begun]
        if chosen.goal is not None:
            sinks.append(_StopAt(chosen.goal, control))
        problem = None
        try:
            is_resumed = chosen.row is not None and not self._begins_again(trial)
            launch = self.progress.launches[trial.number].resolved
            resolved = self._resumed(trial) if is_resumed else launch
            self.report(Started(trial, is_resumed))
            resolved.train(sinks, control, self.notify)
        except PlaygroundError as error:
            problem = error
        # Also one that has not begun: it would be chosen again and again.
        take_request(self.folder, trial.run_id)
        return problem

    def _report(
        self, trial: Trial, problem: PlaygroundError | None, states: Sequence[TrialState]
    ) -> PlaygroundError | None:
        """Report how a trial has ended; return why it failed, if it did."""
        (state,) = (each for each in states if each.trial == trial)
        is_taken = isinstance(problem, _TakenError)
        if is_taken or (problem is not None and state.state in ("running", "finished")):
            # Another process was faster.
            return None
        self.report(Ended(state, "" if problem is None else problem.message))
        return problem

    def _begins_again(self, trial: Trial) -> bool:
        """Whether the run ended before its first checkpoint; its folder goes to the trash.

        Raises:
            _TakenError: Another process was faster: the folder is gone, or locked.
            PlaygroundError: The folder cannot be read or moved.
        """
        try:
            run = open_run(self.progress.runs_dir, trial.run_id)
            if scan_folder(run.checkpoints).files:
                return False
            delete_runs([run])
        except RunError as error:
            # What the disk refuses has a cause.
            if error.__cause__ is None:
                raise _TakenError(error.message, error.hint) from error
            raise
        return True

    def _resumed(self, trial: Trial) -> ResolvedLaunch:
        launch = Launch(
            "",
            resume=trial.run_id,
            prepare="never",
            reads_environment=self.progress.sweep.base is None,
        )
        return resolve_launch(self.progress.experiments_dir, self.progress.runs_dir, launch)


class _Begun:
    """A sink that takes the request for a run as soon as it is trained."""

    essential = False

    def __init__(self, folder: SweepFolder, run_id: str) -> None:
        self._folder, self._run_id = folder, run_id
        self._is_taken = False

    def handle(self, event: Event) -> None:
        """Take it at the first event."""
        if not self._is_taken:
            self._is_taken = True
            take_request(self._folder, self._run_id)

    def sync(self) -> None:
        """Nothing to flush."""

    def close(self) -> None:
        """Nothing to close."""


class _StopAt:
    """A sink that stops training after the evaluation of a step; at the end it has no effect."""

    essential = False

    def __init__(self, step: int, control: TrainingControl) -> None:
        self._step, self._control = step, control

    def handle(self, event: Event) -> None:
        """Stop at the step."""
        if isinstance(event, Evaluated) and event.step >= self._step:
            self._control.stop()

    def sync(self) -> None:
        """Nothing to flush."""

    def close(self) -> None:
        """Nothing to close."""


def allow_starts(folder: SweepFolder) -> None:
    """Let processes train a sweep again after `stop_sweep`.

    Raises:
        UsageError: The folder cannot be written.
    """
    with translate_os_errors(UsageError, f"{folder.stop_path} cannot be removed"):
        folder.stop_path.unlink(missing_ok=True)


def stop_sweep(
    folder: SweepFolder, sweep: Sweep, runs_dir: Path, *, finish_runs: bool = False
) -> list[str]:
    """Let no process start a further run of a sweep, and ask those in training to stop.

    Args:
        folder: The sweep's folder.
        sweep: The sweep.
        runs_dir: Folder of runs.
        finish_runs: Let those in training end.

    Returns:
        The runs that were asked.

    Raises:
        UsageError: The folder cannot be written.
    """
    with translate_os_errors(UsageError, f"The sweep cannot be stopped in {folder.root}"):
        folder.stop_path.touch()
    if finish_runs:
        return []
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
