"""Evaluation loss of a model over fixed windows of a split."""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.dataset import Dataset
from transformer_playground.data.loader import Batch, blank, count_targets, evaluation_batches
from transformer_playground.data.order import EvaluationSet
from transformer_playground.data.padded_loader import evaluation_rows
from transformer_playground.data.token_shards import TokenSource
from transformer_playground.data.training_batches import document_rows
from transformer_playground.model.base import LanguageModel, evaluating
from transformer_playground.model.device import to_device
from transformer_playground.model.loss import summed_cross_entropy


@dataclass(frozen=True)
class Sharing:
    """How processes share an evaluation: each takes every n-th batch, and sums are over all.

    Attributes:
        rank: Number of this process.
        processes: Number of all.
        sum: The sum of each value over all processes.
    """

    rank: int = 0
    processes: int = 1
    sum: Callable[..., Sequence[float]] = lambda *values: values

    def own(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches of this process, as many as those of every other.

        In the last round there may be too few: a process then takes a sequence without targets,
        since all must take part in what a model communicates.
        """
        remaining = iter(batches)
        while round_ := tuple(itertools.islice(remaining, self.processes)):
            if self.rank < len(round_):
                yield round_[self.rank]
            else:
                yield blank(round_[0])


def mean_loss(
    model: LanguageModel,
    batches: Iterable[Batch],
    device: torch.device,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    sharing: Sharing | None = None,
) -> float | None:
    """Mean cross-entropy per token in nats; None if cancelled.

    Args:
        model: Evaluated in evaluation mode; its mode is restored afterwards.
        batches: Inputs and targets, each (B, T) token ids; sizes may differ.
        device: Device of the model.
        cancelled: Called before each batch; true ends the evaluation.
        sharing: Processes that share the batches.
    """
    sharing = sharing or Sharing()
    total, count = 0.0, 0.0
    with evaluating(model):
        for inputs, targets in sharing.own(batches):
            if cancelled():
                return None
            x, y = to_device(inputs, device), to_device(targets, device)
            total += summed_cross_entropy(model(x), y).item()
            count += count_targets(targets)
    total, count = sharing.sum(total, count)
    return total / max(count, 1)


@dataclass(frozen=True)
class Losses:
    """Mean losses of both splits in nats per token, and derived metrics."""

    train_loss: float
    val_loss: float
    val_bytes_per_token: float
    eval_set: EvaluationSet

    @property
    def train_ppl(self) -> float:
        """Perplexity on the training split."""
        return perplexity(self.train_loss)

    @property
    def val_ppl(self) -> float:
        """Perplexity on the validation split."""
        return perplexity(self.val_loss)

    @property
    def val_bits_per_byte(self) -> float:
        """Validation loss in bits per UTF-8 byte, comparable across tokenizers."""
        return bits_per_byte(self.val_loss, self.val_bytes_per_token)


def evaluate(
    model: LanguageModel,
    dataset: Dataset,
    config: ExperimentConfig,
    device: torch.device,
    *,
    cancelled: Callable[[], bool] = lambda: False,
    sharing: Sharing | None = None,
) -> Losses | None:
    """Losses on the fixed windows of both splits; None if cancelled."""
    losses = []
    for tokens in (dataset.train, dataset.val):
        windows = fixed_windows(tokens, config, dataset)
        loss = mean_loss(model, windows, device, cancelled=cancelled, sharing=sharing)
        if loss is None:
            return None
        losses.append(loss)
    return Losses(
        losses[0], losses[1], dataset.val_bytes_per_token, evaluation_set(config, dataset)
    )


def evaluation_set(config: ExperimentConfig, dataset: Dataset) -> EvaluationSet:
    """Number and length of the windows that a validation loss is measured on."""
    count, length = config.train.eval_windows, config.train_block_size
    rows = document_rows(dataset.val, config, dataset)
    available = len(rows) if rows is not None else (len(dataset.val) - 1) // length
    return EvaluationSet(min(count, available), length)


def fixed_windows(
    tokens: TokenSource, config: ExperimentConfig, dataset: Dataset
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The evaluation batches of a split: the same windows for every batch size and seed.

    Args:
        tokens: `dataset.train` or `dataset.val`.
        config: Block size and number of windows; the batch size only limits memory.
        dataset: The dataset of the split.

    Raises:
        DataError: The split is shorter than a block, or has a token beyond the vocabulary.
    """
    size, count = config.train.data.batch_size, config.train.eval_windows
    if (rows := document_rows(tokens, config, dataset)) is not None:
        return evaluation_rows(rows, batch_size=size, n_rows=count)
    return evaluation_batches(
        tokens,
        batch_size=size,
        block_size=config.train_block_size,
        n_windows=count,
        vocab_size=dataset.vocab_size,
        end_token=dataset.end_token,
    )


def perplexity(loss: float) -> float:
    """The exponential of a mean loss in nats per token."""
    # math.exp overflows above 709.
    return math.exp(min(loss, 700.0))


def bits_per_byte(loss: float, bytes_per_token: float) -> float:
    """Convert a mean loss in nats per token to bits per UTF-8 byte of text."""
    return loss / math.log(2) / bytes_per_token
