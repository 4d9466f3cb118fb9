"""Rows of runs that this console trains, with what training has said since the files were read."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from transformer_playground.runs.row import RunRow
from transformer_playground.training.events import Evaluated, StepLogged
from transformer_playground.tui.state.jobs import Job, Update

_SETTLED = frozenset({"finished", "stopped", "failed"})


class LiveRows:
    """What training has said of each run; later than its row in a snapshot, or the same."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._evaluations: dict[str, Evaluated] = {}

    def take(self, updates: Iterable[Update]) -> set[str]:
        """Note what happened; the ids of the runs it happened to."""
        touched: set[str] = set()
        for update in updates:
            run_id = update.job.run_id
            if run_id is None:
                continue
            touched.add(run_id)
            self._jobs[run_id] = update.job
            if isinstance(update.event, Evaluated):
                self._evaluations[run_id] = update.event
        return touched

    def rename(self, old: str, new: str) -> None:
        """Forget what was said of a run that has another name now: its files hold all of it."""
        for run_id in (old, new):
            self._jobs.pop(run_id, None)
            self._evaluations.pop(run_id, None)

    def merge(self, runs: Mapping[str, RunRow]) -> dict[str, RunRow]:
        """The rows, those of runs in training brought up to date."""
        if not self._jobs:
            return dict(runs)
        return {run_id: self.up_to_date(row) for run_id, row in runs.items()}

    def up_to_date(self, row: RunRow) -> RunRow:
        """The row of one run with what training said."""
        job = self._jobs.get(row.run_id)
        if job is None:
            return row
        if job.has_ended:
            return self._ended(row, job)
        fresh = replace(row, state=job.state, max_iters=job.max_iters or row.max_iters)
        if job.step >= (row.step or 0):
            fresh = _with_step(fresh, job.step, job.latest)
        evaluated = self._evaluations.get(row.run_id)
        if evaluated is not None and evaluated.step >= (row.step or 0):
            fresh = replace(fresh, val_loss=evaluated.val_loss)
        return fresh

    def _ended(self, row: RunRow, job: Job) -> RunRow:
        if row.state in _SETTLED:
            # The files have the last word from here on, also if another process goes on.
            self.rename(row.run_id, row.run_id)
            return row
        problem = job.message if job.state == "failed" else row.problem
        return replace(row, state=job.state, problem=problem or row.problem)


def _with_step(row: RunRow, step: int, latest: StepLogged | None) -> RunRow:
    if latest is None:
        return replace(row, step=step)
    return replace(
        row,
        step=step,
        train_loss=latest.train_loss,
        # The files' median over all steps; the newest step's only until they have one.
        tokens_per_second=row.tokens_per_second or latest.tokens_per_sec,
        tokens_seen=latest.tokens_seen,
    )
