"""Training of the runs of a sweep, as `tp sweep run` and other commands do it."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from transformer_playground.cli.output import note, say, say_json
from transformer_playground.cli.preparation import PreparationDisplay
from transformer_playground.cli.train import StopRequest, stop_on_signals
from transformer_playground.formatting import counted, duration_text, loss_text
from transformer_playground.sweeps.folder import SWEEPS_DIR
from transformer_playground.training.launch import shell_command

if TYPE_CHECKING:
    from transformer_playground.sweeps.folder import SweepFolder
    from transformer_playground.sweeps.progress import Progress
    from transformer_playground.sweeps.runner import Ended, Started
    from transformer_playground.sweeps.trials import TrialState

_MOST_JOBS = 64

Jobs = Annotated[
    int,
    typer.Option("--jobs", metavar="N", min=1, max=_MOST_JOBS, help="Runs trained side by side."),
]


def sweep_arguments(verb: str, sweep_id: str, sweeps_dir: Path) -> list[str]:
    """The arguments of `tp` for a verb of a sweep."""
    folder = [] if sweeps_dir == SWEEPS_DIR else ["--sweeps-dir", str(sweeps_dir)]
    return ["sweep", verb, sweep_id, *folder]


@dataclass(frozen=True)
class SweepTraining:
    """Trains the runs of a saved sweep that are left.

    Attributes:
        jobs: Runs trained side by side, each but one in a process of its own.
        json_output: Print a JSON object as a run begins and ends.
        is_worker: Another process has allowed starts, and prints what concerns the sweep.
        print: Where lines go without `json_output`.
    """

    folder: "SweepFolder"
    progress: "Progress"
    jobs: int = 1
    json_output: bool = False
    is_worker: bool = False
    print: Callable[[str], object] = say

    def run(self) -> StopRequest:
        """Prepare the dataset if needed, then train; the signal that stopped it, if any.

        Raises:
            PlaygroundError: A setting is impossible, or several runs in a row have failed.
        """
        from transformer_playground.data.workers import core_count
        from transformer_playground.sweeps.runner import SweepRunner, allow_starts
        from transformer_playground.sweeps.tables import planned_runs
        from transformer_playground.sweeps.trials import prepare_dataset
        from transformer_playground.sweeps.workers import Workers

        progress = self.progress
        progress.keep_base(self.folder)
        sweep, experiments, runs = progress.sweep, progress.experiments_dir, progress.runs_dir
        with PreparationDisplay() as preparation:
            shown = preparation.note, preparation.progress
            fingerprint = prepare_dataset(sweep, experiments, runs, *shown)
        progress.keep_dataset(self.folder, fingerprint)
        planned = planned_runs(sweep, progress.states())
        display = _Display(planned, self.print, json_output=self.json_output)
        if not self.is_worker:
            allow_starts(self.folder)
        runner = SweepRunner(self.folder, progress, note, display.show)
        threads = max(1, core_count() // self.jobs)
        if self.jobs > 1:
            # Read when torch is imported.
            os.environ["OMP_NUM_THREADS"] = str(threads)
        command = sweep_arguments("run", sweep.sweep_id, self.folder.root.parent)
        command += ["--worker", *(["--json"] if self.json_output else [])]
        command += ["--experiments-dir", str(experiments), "--runs-dir", str(runs)]
        with (
            stop_on_signals(runner) as request,
            Workers(command, self.jobs - 1, threads) as workers,
        ):
            runner.run()
            workers.wait(lambda: request.signal is not None)
        return request

    def report_left(self) -> bool:
        """Print how many runs have failed, and who trains others; whether some have failed."""
        states = self.progress.states()
        failed = sum(state.state == "failed" for state in states)
        if failed:
            progress = self.progress
            words = sweep_arguments("show", progress.sweep.sweep_id, self.folder.root.parent)
            show = shell_command(["tp", *words], progress.experiments_dir, progress.runs_dir)
            self.print(f"{failed} of {len(states)} runs have failed: {show}")
        note_others(states, self.progress.runs_dir)
        return failed > 0


def note_others(states: "Sequence[TrialState]", runs_dir: Path) -> None:
    """Say which processes still train runs of a sweep when there is nothing else to train."""
    from transformer_playground.sweeps.order import writers

    for writer, run_ids in writers(states, runs_dir).items():
        runs = f"{len(run_ids)} of {counted(len(states), 'run')}"
        note(
            f"{writer} still trains {runs}: {', '.join(run_ids)}. "
            "The same command has all results once that is done."
        )


class _Display:
    """Prints a line, or with `json_output` a JSON object, as a trial begins and as it ends."""

    def __init__(self, runs: int, print_: Callable[[str], object], *, json_output: bool) -> None:
        self._runs, self._print, self._json = runs, print_, json_output

    def show(self, event: "Started | Ended") -> None:
        """Print one event."""
        from transformer_playground.sweeps.results import trial_text
        from transformer_playground.sweeps.runner import Started

        if self._json:
            say_json({"event": "trial", **event.as_json()})
            return
        name = f"{event.trial.number + 1}/{self._runs} {trial_text(event.trial)}"
        if isinstance(event, Started):
            self._print(f"{name}: {'resumed' if event.is_resumed else 'started'}")
        else:
            self._print(f"{name}: {_outcome(event)}")


def _outcome(event: "Ended") -> str:
    row = event.state.row
    if event.problem:
        return f"failed: {event.problem}"
    loss = None if row is None else row.summary.best_val_loss
    if row is None or loss is None or event.state.state != "finished":
        return "stopped"
    return f"val loss {loss_text(loss)}, {duration_text(row.summary.wall_time_s)}"
