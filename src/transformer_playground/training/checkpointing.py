"""Checkpointing of a run: contents, schedule and exact resume."""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from transformer_playground.checkpoints.format import FORMAT, VERSION
from transformer_playground.checkpoints.store import CheckpointStore
from transformer_playground.errors import CheckpointError, TrainingError
from transformer_playground.training.events import CheckpointSaved
from transformer_playground.training.mixed_precision import MixedPrecisionParams
from transformer_playground.training.optimizers import OptimizerSet
from transformer_playground.training.rng import BATCH_SCHEME, RANDOMNESS_SCHEME
from transformer_playground.training.setup import TrainingSetup
from transformer_playground.training.state import TrainingState


@dataclasses.dataclass(frozen=True)
class ResumePoint:
    """A checkpoint to resume from, or to branch from if `same_run` is false."""

    payload: Mapping[str, Any]
    path: Path
    same_run: bool = True


def read_state(payload: Mapping[str, Any]) -> TrainingState:
    """Training state of a checkpoint.

    Raises:
        CheckpointError: It is damaged, or a version with other random numbers wrote it.
    """
    scheme = payload["generators"].get("scheme")
    if scheme not in {RANDOMNESS_SCHEME, BATCH_SCHEME}:
        raise CheckpointError(
            "the checkpoint uses an unknown random number scheme.",
            "Resume the run with the version that wrote it, or start a new one.",
        )
    try:
        progress = dict(payload["progress"])
        if scheme == BATCH_SCHEME:
            batch_size = payload["config"]["train"]["data"]["batch_size"]
            progress["windows_drawn"] = progress.pop("batches_drawn") * batch_size
        # Checkpoints of older versions do not tell pauses apart.
        progress.setdefault("active_seconds", progress.get("wall_time", 0.0))
        return TrainingState(**progress)
    except (KeyError, TypeError, ValueError) as error:
        raise _state_error(error) from error


def _state_error(error: Exception) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint's training state does not fit this run: {error}.",
        "Keep the optimizer settings of the run, or start a new one.",
    )


class Checkpointer:
    """Saves the last and best checkpoints as configured in `[train.checkpointing]`; restores one.

    Args:
        folder: The run's checkpoints folder.
        setup: Configuration and model.
        params: Float32 master weights and their EMA.
        optimizers: Optimizers whose state is saved.
        scaler: Float16 loss scaler; a disabled one has no state.
        resume_from: Checkpoint that training starts from; never pruned if it is the run's own.
    """

    def __init__(
        self,
        folder: Path,
        setup: TrainingSetup,
        params: MixedPrecisionParams,
        optimizers: OptimizerSet,
        scaler: torch.amp.GradScaler,
        resume_from: ResumePoint | None,
    ) -> None:
        self._config, self._model = setup.config, setup.model
        train = self._config.train
        policy = train.checkpointing
        self._interval = policy.interval or train.runtime.eval_interval
        self._seconds = policy.interval_minutes * 60
        self._store = CheckpointStore(
            folder, keep_last=policy.keep.last, keep_best=policy.keep.best
        )
        self._params, self._optimizers, self._scaler = params, optimizers, scaler
        # A new branch has no checkpoint of its own yet.
        resumed = resume_from if resume_from and resume_from.same_run else None
        self._protected = resumed.path if resumed else None
        self._saved_step = resumed.payload["step"] if resumed else None
        self._saved_at = time.perf_counter()
        # Of the newest save that failed.
        self._cause: BaseException | None = None

    def is_due(self, step: int, *, ending: bool) -> bool:
        """Whether a last checkpoint is due at this step and not saved yet."""
        if self.has_saved(step):
            return False
        elapsed = time.perf_counter() - self._saved_at
        return ending or step % self._interval == 0 or 0 < self._seconds <= elapsed

    def has_saved(self, step: int) -> bool:
        """Whether the newest checkpoint, saved or resumed from, is of this step."""
        return self._saved_step == step

    def check_end(self, step: int) -> None:
        """Refuse to end training at a step whose checkpoint was not saved.

        Raises:
            TrainingError: It was not; its cause is why.
        """
        if not self.has_saved(step):
            raise TrainingError(
                f"training ended, but its last checkpoint (step {step}) was not saved.",
                "Free some disk space and resume the run from its newest checkpoint.",
            ) from self._cause

    def save(self, state: TrainingState, *, last: bool, best: bool) -> CheckpointSaved:
        """Save one checkpoint as last, best or both.

        Raises:
            CheckpointError: OSError while writing; earlier checkpoints are intact. The next
                scheduled save retries.
        """
        self._saved_at = time.perf_counter()
        try:
            saved = self._store.save(
                self._payload(state),
                step=state.step,
                last=last,
                best_metric=state.val_loss if best else None,
                protect=self._protected,
            )
        except CheckpointError as error:
            cause = error.__cause__
            # The frames of its traceback would keep the payload in memory.
            self._cause = cause and cause.with_traceback(None)
            raise
        if last:
            self._saved_step = state.step
        path = saved[0].path
        kinds = tuple(info.kind for info in saved)
        return CheckpointSaved(step=state.step, kinds=kinds, path=f"{path.parent.name}/{path.name}")

    def take_part(self, state: TrainingState) -> None:
        """Do what the other ranks must do while the first one saves."""
        if self._params.shards is not None:
            self._payload(state)

    def restore(self, payload: Mapping[str, Any]) -> TrainingState:
        """Load a payload into model, optimizers and scaler; return its training state.

        Raises:
            CheckpointError: The payload is damaged or does not fit the model or the optimizers.
        """
        state = read_state(payload)
        self._params.load(payload["model"], payload["ema"])
        try:
            self._optimizers.load_state_dict(payload["optimizer"])
            if payload["scaler"] is not None and self._scaler.is_enabled():
                self._scaler.load_state_dict(payload["scaler"])
            return state
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _state_error(error) from error

    def _payload(self, state: TrainingState) -> dict[str, Any]:
        """Plain values and tensors for a bit-exact resume; see `training.rng` for the seeds."""
        config, model = self._config, self._model
        return {
            "format": FORMAT,
            "version": VERSION,
            "kind": config.experiment.kind,
            "step": state.step,
            "tokens_seen": state.tokens_seen,
            "model": self._params.state_dict(),
            "model_args": model.args(),
            "optimizer": self._optimizers.state_dict(),
            "scaler": self._scaler.state_dict() or None,
            "ema": self._params.ema_state_dict(),
            "generators": {"scheme": RANDOMNESS_SCHEME, "seed": config.train.runtime.seed},
            "batch_cursor": state.windows_drawn,
            "best_val_loss": state.best_val_loss,
            "best_step": state.best_step,
            "val_loss": state.val_loss,
            "progress": dataclasses.asdict(state),
            "config": config.model_dump(mode="json"),
        }
