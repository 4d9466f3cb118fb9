"""Snapshot of experiments and runs, taken in a worker thread."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.errors import PlaygroundError

if TYPE_CHECKING:
    from transformer_playground.experiments.discovery import Experiment
    from transformer_playground.runs.fields import RunInfo
    from transformer_playground.runs.naming import RunNames

_MIN_INTERVAL = 1.0
_AFTER_A_FAULT = 5.0
# Share of one core that listing may use, so that training keeps the rest.
_MAX_CPU_SHARE = 0.02


@dataclass(frozen=True)
class Snapshot:
    """Experiments and runs at one moment.

    Attributes:
        runs: Run id -> run, newest first.
        names: What differs between them, and what to call each; None before the first listing.
        experiments: All folders of experiments by name, those that cannot be used included.
        start: Name and seconds of the experiment to start with, while there are no runs.
        problem: Why runs or experiments, or both, could not be listed.
    """

    runs: "Mapping[str, RunInfo]" = field(default_factory=dict)
    names: "RunNames | None" = None
    experiments: "tuple[Experiment, ...]" = ()
    start: tuple[str, int] | None = None
    problem: str | None = None
    next_refresh: float = _MIN_INTERVAL


def take_snapshot(
    experiments_dir: Path, runs_dir: Path, before: Snapshot | None = None
) -> Snapshot:
    """List experiments and runs; a folder that cannot be listed counts as empty.

    Args:
        experiments_dir: Folder of experiments.
        runs_dir: Folder of runs.
        before: The last snapshot: unchanged runs stay the same objects, and their names are not
            computed again.
    """
    # Imported by the first listing, after the first frame.
    from transformer_playground.experiments.discovery import list_folders, start_experiment
    from transformer_playground.runs.listing import list_runs, paused_collection
    from transformer_playground.runs.naming import name_runs, named

    began = time.thread_time()
    problems: list[str] = []
    experiments: list[Experiment] = []
    runs: list[RunInfo] = []
    with paused_collection():
        try:
            runs = _kept(list_runs(runs_dir), before.runs if before else {})
        except PlaygroundError as error:
            problems.append(str(error))
        try:
            experiments = list_folders(experiments_dir)
        except PlaygroundError as error:
            problems.append(str(error))
        names = name_runs(runs, before.names if before else None)
        # Computed here: the console's own thread must not wait for it.
        runs = named(runs, names)
    spent = time.thread_time() - began
    return Snapshot(
        {row.run_id: row for row in runs},
        names,
        tuple(experiments),
        None if runs else start_experiment(experiments),
        " ".join(problems) or None,
        max(_MIN_INTERVAL, spent / _MAX_CPU_SHARE),
    )


def _kept(rows: "Iterable[RunInfo]", before: "Mapping[str, RunInfo]") -> "list[RunInfo]":
    """The rows, where they equal earlier ones as the same objects, which compare quickly."""
    return [old if (old := before.get(row.run_id)) == row and old else row for row in rows]


def next_snapshot(experiments_dir: Path, runs_dir: Path, before: Snapshot) -> Snapshot:
    """`take_snapshot`, or after a fault the last one with the problem, so that listing goes on."""
    try:
        return take_snapshot(experiments_dir, runs_dir, before)
    except Exception as error:  # noqa: BLE001 - the console outlives any folder
        problem = f"Runs cannot be listed: {error or type(error).__name__}"
        return replace(before, problem=problem, next_refresh=_AFTER_A_FAULT)


class RowReader:
    """Refreshes the rows of training runs between two snapshots."""

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._fresh: Mapping[str, RunInfo] = {}

    def read(self, rows: "Iterable[RunInfo]") -> None:
        """Read the new metrics of these runs; blocks, so call it in a thread."""
        # Imported when something trains, long after the first frame.
        from transformer_playground.runs.listing import refresh_run

        newest = self.newest({row.run_id: row for row in rows})
        self._fresh = {each: refresh_run(self._runs_dir, row) for each, row in newest.items()}

    def newest(self, runs: "Mapping[str, RunInfo]") -> "dict[str, RunInfo]":
        """Rows of a snapshot, updated with metrics read since from the same files."""
        if not self._fresh:
            return dict(runs)
        return {run_id: self._newest(row) for run_id, row in runs.items()}

    def _newest(self, row: "RunInfo") -> "RunInfo":
        fresh = self._fresh.get(row.run_id)
        if fresh is None or fresh.position.inode != row.position.inode:
            return row
        if fresh.position.offset <= row.position.offset:
            return row
        # Settings, notes and tags may have changed in the snapshot.
        return replace(row, summary=fresh.summary, position=fresh.position, updated=fresh.updated)
