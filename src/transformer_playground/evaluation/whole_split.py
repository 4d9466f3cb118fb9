"""The whole validation split: its windows in order, and the loss of each of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.dataset import Dataset
from transformer_playground.data.loader import IGNORED, all_batches
from transformer_playground.data.padded_loader import all_rows
from transformer_playground.data.training_batches import document_rows
from transformer_playground.model.base import LanguageModel, evaluating
from transformer_playground.model.device import to_device
from transformer_playground.model.loss import row_cross_entropy

_MAX_WINDOWS = 64
# Logits of one batch: 128 MiB in float32.
_MAX_LOGITS = 1 << 25


def split_batches(
    model: LanguageModel, dataset: Dataset, config: ExperimentConfig | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of consecutive windows of the validation split, or of its documents.

    Args:
        model: The model that they are for; its logits limit the size of a batch.
        dataset: Its `val` tokens are read.
        config: Of the training. Windows are as long as there, since more context lowers the loss,
            and documents are packed or padded as there. None = windows of the model's block size.

    Raises:
        DataError: The split is too short or damaged.
    """
    block_size = model.block_size if config is None else config.train_block_size
    batch_size = fitting_rows(model, block_size)
    rows = None if config is None else document_rows(dataset.val, config, dataset)
    if rows is not None:
        return all_rows(rows, batch_size=batch_size)
    return all_batches(
        dataset.val,
        batch_size=batch_size,
        block_size=block_size,
        vocab_size=dataset.vocab_size,
        end_token=dataset.end_token,
    )


def fitting_rows(model: LanguageModel, length: int) -> int:
    """How many texts of `length` tokens a forward pass reads, by the memory of their logits."""
    return windows_at_once(length, model.vocab_size)


def windows_at_once(block_size: int, vocab_size: int) -> int:
    """Windows of a batch of `split_batches`, limited by its logits."""
    return max(1, min(_MAX_WINDOWS, _MAX_LOGITS // (block_size * vocab_size)))


@dataclass(frozen=True)
class SplitLosses:
    """Losses of the windows of a split, in order.

    Attributes:
        sums: Loss of each window in nats, summed over its targets, shape (windows,).
        targets: Number of targets of each window, shape (windows,).
    """

    sums: NDArray[np.float64]
    targets: NDArray[np.int64]


def split_losses(
    model: LanguageModel,
    dataset: Dataset,
    config: ExperimentConfig,
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> SplitLosses | None:
    """Loss of each window of the whole validation split; None if cancelled.

    Args:
        model: Evaluated in evaluation mode; its mode is restored afterwards.
        dataset: The dataset of the run.
        config: Of the training: see `split_batches`.
        cancelled: Called before each batch; true ends the evaluation.

    Raises:
        DataError: The split is too short or damaged.
    """
    sums: list[NDArray[np.float64]] = []
    counts: list[NDArray[np.int64]] = []
    with evaluating(model):
        for inputs, targets in split_batches(model, dataset, config):
            if cancelled():
                return None
            x, y = to_device(inputs, model.device), to_device(targets, model.device)
            sums.append(row_cross_entropy(model(x), y).double().cpu().numpy())
            counts.append(np.count_nonzero(targets != IGNORED, axis=1).astype(np.int64))
    return SplitLosses(np.concatenate(sums), np.concatenate(counts))
