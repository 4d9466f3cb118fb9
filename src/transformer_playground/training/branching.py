"""What a branch or a resumed run has left to train, in steps and in time; reads no checkpoint."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.checkpoints.discovery import choose
from transformer_playground.errors import UsageError
from transformer_playground.files import stat_or_none
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.remaining import max_minutes_of
from transformer_playground.runs.status import derive_status

if TYPE_CHECKING:
    from transformer_playground.config.train import RuntimeConfig
    from transformer_playground.training.state import TrainingState


def branch_step(run: RunFolder, checkpoint: str) -> int | None:
    """Step of the checkpoint that a branch starts from; None if it has no sidecar.

    Raises:
        UsageError: The name is none of a checkpoint.
        CheckpointError: There is no such checkpoint.
    """
    info = choose(run.checkpoints, checkpoint, hash_file=None).info
    return None if info is None else info.step


def longer_training(step: int | None, max_iters: int | None) -> tuple[str, ...]:
    """The override that gives a branch from a step some more to train; none if it has some."""
    if step is None or max_iters is None or step < max_iters:
        return ()
    return (f"train.runtime.max_iters={2 * max(step, 1)}",)


def refuse_without_steps(run: RunFolder, branch: tuple[str, str] | None, max_iters: int) -> None:
    """Refuse a branch that would end where it starts.

    Args:
        run: The parent.
        branch: Its id and checkpoint; None for a launch that is no branch.
        max_iters: Last step of the branch.

    Raises:
        UsageError: The branch has no step to train.
        CheckpointError: There is no such checkpoint.
    """
    step = branch_step(run, branch[1]) if branch is not None else None
    if longer := longer_training(step, max_iters):
        raise UsageError(
            f"A branch from step {step} of run '{run.run_id}' has no step to train, because "
            f"train.runtime.max_iters is {max_iters}.",
            f"Raise it above {step}: --set {longer[0]}",
        )


def longer_time(step: int | None, parent: RunInfo) -> tuple[str, ...]:
    """The override that gives a branch some more time; none if it has some.

    Args:
        step: The step that it starts from.
        parent: The run that it continues, whose time counts.
    """
    minutes, summary = max_minutes_of(parent), parent.summary
    # Of an earlier step it is not known without reading the metrics.
    if not minutes or step != summary.step or summary.active_seconds < 60 * minutes:
        return ()
    return (f"train.runtime.max_minutes={2 * minutes:g}",)


def counted_seconds(run: RunFolder, step: int) -> float:
    """Seconds that count against the time limit of a branch that starts from a step of a run."""
    state = stat_or_none(run.metrics_path)
    version = (0, 0, 0) if state is None else (state.st_ino, state.st_size, state.st_mtime_ns)
    return _counted_seconds(run.metrics_path, step, version)


# The launch form asks at each edit, and a long run has many rows.
@lru_cache(maxsize=8)
def _counted_seconds(path: Path, step: int, _version: tuple[int, int, int]) -> float:
    from transformer_playground.runs.lineage import seconds_at
    from transformer_playground.runs.series import RunSeries

    series = RunSeries(path)
    series.poll()
    return seconds_at(series, step) + (series.earlier_seconds or 0.0)


def refuse_without_time(run: RunFolder, state: "TrainingState", runtime: "RuntimeConfig") -> None:
    """Refuse a branch whose time is over where it starts.

    Args:
        run: The parent.
        state: Of the checkpoint that the branch starts from.
        runtime: Settings of the branch.

    Raises:
        UsageError: The branch has no time to train.
    """
    minutes = runtime.max_minutes
    if minutes and state.active_seconds >= 60 * minutes:
        raise UsageError(
            f"A branch from step {state.step} of run '{run.run_id}' has no time to train, because "
            f"train.runtime.max_minutes is {minutes:g}, and the time of that run counts.",
            f"Raise it: --set train.runtime.max_minutes={2 * minutes:g}",
        )


def why_finished(run: RunFolder, state: "TrainingState", runtime: "RuntimeConfig") -> str:
    """Why a finished run has no step left, and how to train on; empty if training can resume."""
    limit = 60 * runtime.max_minutes
    reason = state.end_reason(runtime, state.active_seconds / limit if limit else 0.0)
    if reason is None or derive_status(run).state != "finished":
        return ""
    longer = f"--set train.runtime.max_iters={2 * max(state.step, 1)}"
    ended, how = "finished", [longer]
    if reason == "early stopped":
        ended, how = "stopped early", ["--set train.runtime.early_stop_patience=0"]
        how += [longer] if state.step >= runtime.max_iters else []
    if limit and state.active_seconds >= limit:
        how = [each for each in how if each != longer or state.step >= runtime.max_iters]
        how.append(f"--set train.runtime.max_minutes={2 * runtime.max_minutes:g}")
    return (
        f"run '{run.run_id}' has {ended} at step {state.step} of {runtime.max_iters} and is "
        f"unchanged; to train on, add {' '.join(how)}"
    )
