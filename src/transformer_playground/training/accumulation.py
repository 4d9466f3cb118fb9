"""Loss and gradients of one optimizer step, over its micro-batches and all ranks."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from transformer_playground.data.loader import Batch, blank, count_targets
from transformer_playground.model.device import to_device
from transformer_playground.model.loss import summed_cross_entropy
from transformer_playground.training.distributed import DistInfo
from transformer_playground.training.dropout_rows import DropoutRows
from transformer_playground.training.mixed_precision import MixedPrecisionParams
from transformer_playground.training.rng import seed_dropout
from transformer_playground.training.setup import TrainingSetup
from transformer_playground.training.shares import Piece, pieces
from transformer_playground.training.step_parts import StepParts


@dataclass(frozen=True)
class StepGradients:
    """What a step has computed besides the gradients.

    Attributes:
        loss: Mean loss of all targets, a scalar on the device.
        targets: Number of targets, over all ranks.
    """

    loss: Tensor
    targets: int


class Accumulation:
    """Computes the gradients of a step: its sequences, forward, backward and sums over all ranks.

    Args:
        setup: Config, data and model.
        params: Receives the gradients.
        scaler: Float16 loss scaler.
        ranks: The processes that share each step.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        params: MixedPrecisionParams,
        scaler: torch.amp.GradScaler,
        ranks: DistInfo,
    ) -> None:
        self._setup, self._params, self._scaler, self._ranks = setup, params, scaler, ranks
        config, model = setup.config, setup.model
        self._data, self._seed = config.train.data, config.train.runtime.seed
        self._forward: Callable[[Tensor], Tensor] = (
            torch.compile(model) if config.train.runtime.compile else model
        )
        # Masks of whole micro-batches: see DropoutRows.
        self._shares_masks = (
            model.has_dropout
            and setup.device.type == "cpu"
            and not config.train.runtime.compile
            and ranks.world_size <= self._data.batch_size
        )
        self._pieces = pieces(
            self._data, ranks.rank, ranks.world_size, of_each_batch=self._shares_masks
        )

    @property
    def windows(self) -> int:
        """Windows of a step, over all micro-batches and ranks."""
        return self._data.batch_size * self._data.grad_accum_steps

    def compute(self, step: int, first_window: int, parts: StepParts) -> StepGradients:
        """Add the gradients of the step's mean loss to `params`, summed over all ranks.

        Args:
            step: Number of the step, which seeds dropout.
            first_window: Windows drawn before this step.
            parts: Counts the time of batches, forward and backward pass.
        """
        device, params = self._setup.device, self._params
        if self._setup.model.has_dropout:
            stream = 0 if self._shares_masks else self._ranks.rank
            seed_dropout(self._seed, step, device, stream=stream)
        batches = [self._load(piece, first_window) for piece in self._pieces]
        parts.lap("data")

        # Micro-batches and ranks differ in their number of targets (padding is ignored), so the
        # loss is a sum over all of them divided by the total, not a mean of means.
        n_targets = self._count_targets(batches)
        loss = params.loss
        for piece, batch in zip(self._pieces, batches, strict=True):
            inputs, targets = (to_device(array, device) for array in batch)
            # Backward, too: with gradient checkpointing it computes layers again.
            with DropoutRows(piece) if self._draws_for_all(piece) else contextlib.nullcontext():
                total = summed_cross_entropy(self._forward(inputs), targets)
                micro_loss = total / max(n_targets, 1)
                loss += micro_loss.detach()
                if piece is self._pieces[-1]:
                    params.begin_last_pass()
                parts.lap("forward")
                self._scaler.scale(micro_loss).backward()  # type: ignore[no-untyped-call]
            params.accumulate_grads()
            parts.lap("backward")
        params.sum_over_ranks()
        return StepGradients(loss.clone(), n_targets)

    def _draws_for_all(self, piece: Piece) -> bool:
        return self._shares_masks and piece.is_part

    def _load(self, piece: Piece, first_window: int) -> Batch:
        size = piece.batch_stop - piece.batch_start
        if not size:
            return blank(self._setup.batches.batch(first_window, 1))
        # Rows of a padded micro-batch are as long as its longest one.
        batch = self._setup.batches.batch(first_window + piece.batch_start, size)
        if not piece.is_part:
            return batch
        inputs, targets = batch
        return inputs[piece.rows], targets[piece.rows]

    def _count_targets(self, batches: list[Batch]) -> int:
        if not self._setup.batches.ignores_targets and not self._ranks.is_alone:
            return int(self.windows * batches[0][1].shape[1])
        local = sum(count_targets(targets) for _, targets in batches)
        (total,) = self._ranks.sum(local)
        return int(total)
