"""Reading of sweeps for the console: all of them as rows, and the results of one.

Everything here blocks, so call it in a thread.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from transformer_playground.errors import PlaygroundError, describe_error
from transformer_playground.files import stat_or_none, timestamped, write_new_file
from transformer_playground.runs.remaining import remaining_of_run
from transformer_playground.sweeps import tables
from transformer_playground.sweeps.create import estimate_seconds
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.order import request_next, requested
from transformer_playground.sweeps.progress import Progress
from transformer_playground.sweeps.results import (
    Combination,
    Effect,
    combine,
    effects,
    verdict,
)
from transformer_playground.sweeps.spec import Sweep, list_sweeps, load_sweep
from transformer_playground.sweeps.trials import TrialState

FORMATS = {"csv": "CSV: a row for each run", "md": "Markdown: configurations, effects, verdict"}

# Seconds in which sweeps are read that have not been read before.
_PATIENCE = 0.5


@dataclass(frozen=True)
class SweepRow:
    """A sweep in the list. Names and problems are untrusted text.

    Attributes:
        counts: Runs by state; None before it has been read, or if it cannot be.
        best_loss: Mean of the best combination.
        problem: Why it cannot be read.
    """

    sweep_id: str
    experiment: str = ""
    method: str = ""
    counts: Mapping[str, int] | None = None
    best_loss: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class SweepResults:
    """What is known about a sweep.

    Attributes:
        effects: Of each setting on the loss, the largest first.
        size: Such as "24 runs = 4 norm × 6 seeds".
        spent: Seconds of training of its own runs so far.
        left: Seconds until its last run ends, as far as is known.
        requested: Ids of the runs that are trained before the others.
        is_stopped: Whether no further run is to be started.
    """

    sweep: Sweep
    states: tuple[TrialState, ...]
    combinations: tuple[Combination, ...]
    effects: tuple[Effect, ...]
    verdict: str
    counts: Mapping[str, int]
    size: str
    spent: float
    left: float | None
    requested: tuple[str, ...]
    is_stopped: bool


def results_of(
    sweep: Sweep,
    states: tuple[TrialState, ...],
    order: tuple[str, ...] = (),
    is_stopped: bool = False,
    left: float | None = None,
) -> SweepResults:
    """What the states of all trials show."""
    combinations = combine(states)
    return SweepResults(
        sweep,
        states,
        tuple(combinations),
        tuple(effects(sweep.axes, combinations)),
        verdict(combinations, tables.looks(sweep)),
        tables.counts(sweep, states),
        tables.size_text(sweep, states),
        sum(each.row.wall_time or 0.0 for each in states if each.row and not each.is_reused),
        left,
        order,
        is_stopped,
    )


@dataclass(frozen=True)
class SweepReading:
    """All sweeps at a moment.

    Attributes:
        rows: The newest sweep first.
        chosen: The one whose results were read; None if there is none.
        results: None if it cannot be read: its row says why.
    """

    rows: tuple[SweepRow, ...] = ()
    chosen: str | None = None
    results: SweepResults | None = None

    def without_results(self, problem: str) -> "SweepReading":
        """The same, if the chosen sweep has results that cannot be shown."""
        rows = (
            replace(row, counts=None, best_loss=None, problem=problem)
            if row.sweep_id == self.chosen
            else row
            for row in self.rows
        )
        return SweepReading(tuple(rows), self.chosen)


@dataclass
class _Known:
    """A sweep that has been read.

    Attributes:
        stamp: Time and size of its file then.
        open_seconds: Training time of the runs that wait, and their number when it was estimated.
    """

    stamp: tuple[int, int]
    progress: Progress
    results: SweepResults | None = None
    open_seconds: tuple[int, float | None] = (-1, None)


@dataclass
class SweepReader:
    """Reads sweeps; what has not changed is not compared again, and stays the same object."""

    sweeps_dir: Path
    experiments_dir: Path
    runs_dir: Path
    _known: dict[str, _Known] = field(default_factory=dict)
    _rows: dict[str, SweepRow] = field(default_factory=dict)

    def read(self, wanted: str | None) -> SweepReading:
        """All sweeps, and the results of one.

        Others are read again one at a time, so that many of them take no longer than one.

        Args:
            wanted: The sweep whose results are read; the newest one if it is None or gone.
        """
        began = time.monotonic()
        folders = {folder.root.name: folder for folder in list_sweeps(self.sweeps_dir)}
        for gone in self._rows.keys() - folders.keys():
            del self._rows[gone]
            self._known.pop(gone, None)
        chosen = wanted if wanted in folders else next(iter(folders), None)
        results = self._read(folders[chosen]) if chosen is not None else None
        others = [name for name in folders if name != chosen]
        # The one that was read the longest time ago, and new ones while there is time.
        stale = [name for name in self._rows if name in others][:1]
        new = [name for name in others if name not in self._rows]
        for name in stale + new:
            if name in new and time.monotonic() - began > _PATIENCE:
                break
            self._read(folders[name])
        rows = tuple(self._rows.get(name, SweepRow(name)) for name in folders)
        return SweepReading(rows, chosen, results)

    def _read(self, folder: SweepFolder) -> SweepResults | None:
        """Results of a sweep; its row becomes the newest."""
        name = folder.root.name
        row = self._rows.pop(name, SweepRow(name))
        results = None
        try:
            known = self._progress(folder)
            results = self._results(folder, known)
            best = next((each.loss.mean for each in results.combinations), None)
            sweep = results.sweep
            row = SweepRow(name, sweep.experiment, sweep.method, results.counts, best)
        except Exception as error:  # noqa: BLE001 - one sweep must not hide the others
            row = SweepRow(name, row.experiment, row.method, problem=problem_of(error))
            self._known.pop(name, None)
        self._rows[name] = row
        return results

    def _progress(self, folder: SweepFolder) -> _Known:
        """The sweep of a folder, from its file unless that is the same as before."""
        name, state = folder.root.name, stat_or_none(folder.spec_path)
        stamp = (state.st_mtime_ns, state.st_size) if state else (0, 0)
        known = self._known.get(name)
        if known is None or known.stamp != stamp:
            progress = Progress(load_sweep(folder), self.experiments_dir, self.runs_dir)
            known = self._known[name] = _Known(stamp, progress)
        return known

    def _results(self, folder: SweepFolder, known: _Known) -> SweepResults:
        states = tuple(known.progress.states())
        order, is_stopped = tuple(requested(folder)), folder.stop_path.exists()
        before = known.results
        if before is not None and (states, order, is_stopped) == (
            before.states,
            before.requested,
            before.is_stopped,
        ):
            return before
        left = self._left(known, states)
        known.results = results_of(known.progress.sweep, states, order, is_stopped, left)
        return known.results

    def _left(self, known: _Known, states: Sequence[TrialState]) -> float | None:
        """Seconds until all runs have ended, side by side as many as train now."""
        sweep = known.progress.sweep
        waiting = tables.counts(sweep, states)["open"]
        if known.open_seconds[0] != waiting:
            known.open_seconds = waiting, self._open_seconds(known, states)
        seconds = known.open_seconds[1]
        running = [each.row for each in states if each.state == "running" and each.row]
        if seconds is None or not (waiting or running):
            return None
        ends = sum(remaining_of_run(row) or 0.0 for row in running)
        return (seconds + ends) / max(1, len(running))

    @staticmethod
    def _open_seconds(known: _Known, states: Sequence[TrialState]) -> float | None:
        progress = known.progress
        if progress.sweep.method == "tpe":
            launches = progress.check()
            seconds = estimate_seconds(progress.sweep, states, launches)
            done = sum(each.state != "open" for each in states)
            planned = tables.planned_runs(progress.sweep, states)
            return None if seconds is None else seconds * (1 - done / max(1, planned))
        launches = [progress.launches[each.trial.number].resolved for each in states]
        return estimate_seconds(progress.sweep, states, launches)


def problem_of(error: Exception) -> str:
    """Why something cannot be read or done, in a sentence."""
    if isinstance(error, PlaygroundError):
        return error.message
    return str(error) if isinstance(error, OSError) else describe_error(error)


def train_next(folder: SweepFolder, states: Sequence[TrialState]) -> int:
    """Let the waiting runs of a combination be trained before all others.

    Returns:
        Their number.

    Raises:
        UsageError: None of them waits, or the request cannot be written.
    """
    waiting = [each for each in states if each.state == "open" and not each.waits]
    # The request that was made last comes first.
    for state in reversed(waiting or states[:1]):
        request_next(folder, state)
    return len(waiting)


def export_results(results: SweepResults, kind: str, folder: Path) -> Path:
    """Write a new file with the results of a sweep; `kind` is a key of `FORMATS`."""
    text = tables.runs_csv(results.states) if kind == "csv" else markdown_text(results)
    stem = timestamped(f"sweep-{results.sweep.sweep_id}")
    return write_new_file(folder, stem, kind, lambda path: path.write_text(text, encoding="utf-8"))


def markdown_text(results: SweepResults) -> str:
    """The results as Markdown."""
    parts = tables.results_parts(results.sweep, results.states)
    return "".join(f"{line}\n" for line in tables.markdown_lines(parts))
