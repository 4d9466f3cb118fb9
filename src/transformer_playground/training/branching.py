"""Where a branch starts, and whether it has steps to train; reads no checkpoint."""

from transformer_playground.checkpoints.discovery import choose
from transformer_playground.errors import UsageError
from transformer_playground.runs.folder import RunFolder


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
