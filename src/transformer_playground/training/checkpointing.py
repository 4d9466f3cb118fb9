"""What a training checkpoint holds, when one is due, and how training goes on from one."""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from transformer_playground.checkpoints.payload import FORMAT, VERSION
from transformer_playground.checkpoints.sidecar import CheckpointInfo
from transformer_playground.checkpoints.store import CheckpointStore
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.errors import CheckpointError
from transformer_playground.model.interface import LanguageModel
from transformer_playground.training.optimizers import OptimizerSet
from transformer_playground.training.randomness import RANDOMNESS_SCHEME
from transformer_playground.training.state import TrainingState
from transformer_playground.training.weights import MasterWeights


@dataclasses.dataclass(frozen=True)
class Resumption:
    """A checkpoint to go on from; one of another run if `same_run` is false."""

    payload: Mapping[str, Any]
    path: Path
    same_run: bool = True


class Checkpointer:
    """Saves a run's last and best checkpoints by the policy of `[train.checkpointing]`.

    Args:
        config: The run's configuration.
        folder: The run's checkpoints folder.
        model: Gives the model arguments.
        weights: The float32 masters and their average.
        optimizers: Their states are saved too.
        scaler: The float16 loss scaler; a disabled one saves nothing.
        resumed: The checkpoint this run goes on from, which pruning must spare.
    """

    def __init__(
        self,
        config: ExperimentConfig,
        folder: Path,
        *,
        model: LanguageModel,
        weights: MasterWeights,
        optimizers: OptimizerSet,
        scaler: torch.amp.GradScaler,
        resumed: Resumption | None,
    ) -> None:
        policy = config.train.checkpointing
        self._config = config
        self._interval = policy.interval or config.train.runtime.eval_interval
        self._seconds = policy.interval_minutes * 60
        self._store = CheckpointStore(
            folder, keep_last=policy.keep.last, keep_best=policy.keep.best
        )
        self._model, self._weights = model, weights
        self._optimizers, self._scaler = optimizers, scaler
        self._protected = resumed.path if resumed else None
        self._saved_step = resumed.payload["step"] if resumed else None
        self._saved_at = time.perf_counter()

    def is_due(self, step: int) -> bool:
        """Whether the policy wants a last checkpoint at this step that is not saved yet."""
        if self.has_saved(step):
            return False
        waited = time.perf_counter() - self._saved_at
        return step % self._interval == 0 or 0 < self._seconds <= waited

    def has_saved(self, step: int) -> bool:
        """Whether the last checkpoint saved or resumed from is of this step."""
        return self._saved_step == step

    def save(self, state: TrainingState, *, last: bool, best: bool) -> list[CheckpointInfo]:
        """Write the checkpoint once, as last, best or both.

        Raises:
            CheckpointError: The disk refused; earlier checkpoints are intact. The next save is
                tried when it is due again, not at every step.
        """
        self._saved_at = time.perf_counter()
        saved = self._store.save(
            self._payload(state),
            step=state.step,
            last=last,
            best_metric=state.val_loss if best else None,
            protect=self._protected,
        )
        if last:
            self._saved_step = state.step
        return saved

    def _payload(self, state: TrainingState) -> dict[str, Any]:
        """Everything needed to go on bit for bit, as plain values and tensors.

        No generator state is among it: all randomness derives from the seed and the step
        (see `training.randomness`), and the batch cursor counts the micro-batches drawn.
        """
        config, model = self._config, self._model
        return {
            "format": FORMAT,
            "version": VERSION,
            "kind": config.experiment.kind,
            "step": state.step,
            "tokens_seen": state.tokens_seen,
            "model": self._weights.state_dict(),
            "model_args": model.args(),
            "optimizer": self._optimizers.state_dict(),
            "scaler": self._scaler.state_dict() or None,
            "ema": self._weights.ema_state_dict(),
            "generators": {"scheme": RANDOMNESS_SCHEME, "seed": config.train.runtime.seed},
            "batch_cursor": state.batches_drawn,
            "best_val_loss": state.best_val_loss,
            "best_step": state.best_step,
            "val_loss": state.val_loss,
            "progress": dataclasses.asdict(state),
            "config": config.model_dump(mode="json"),
        }


def restore(
    payload: Mapping[str, Any],
    *,
    weights: MasterWeights,
    optimizers: OptimizerSet,
    scaler: torch.amp.GradScaler,
) -> TrainingState:
    """Put a payload back; the returned state is where training goes on.

    Raises:
        CheckpointError: It belongs to another model or optimizer, or is damaged.
    """
    if payload["generators"].get("scheme") != RANDOMNESS_SCHEME:
        raise CheckpointError(
            "the checkpoint's random numbers were drawn in a way that this version does not know.",
            "Continue the run with the version that wrote it, or start a new one.",
        )
    weights.load(payload["model"], payload["ema"])
    try:
        optimizers.load_state_dict(payload["optimizer"])
        if payload["scaler"] is not None and scaler.is_enabled():
            scaler.load_state_dict(payload["scaler"])
        return TrainingState(**payload["progress"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"the checkpoint's training state does not fit this run: {error}.",
            "Keep the optimizer settings of the run, or start a new one.",
        ) from error
