"""The batches that training draws from a dataset, chosen by the settings of a run."""

from collections.abc import Iterator
from typing import Protocol

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.dataset import Dataset
from transformer_playground.data.loader import Batch, BatchSampler
from transformer_playground.data.padded_loader import PaddedBatchSampler, PaddedDocuments
from transformer_playground.data.token_shards import TokenSource


class Batches(Protocol):
    """Training batches by the number of their first window.

    Attributes:
        ignores_targets: Whether some targets are ignored, so that batches of one size differ in
            their number of targets.
    """

    ignores_targets: bool

    def batch(self, first: int, size: int) -> Batch:
        """Inputs and targets of windows `first` … `first + size - 1`, each (size, T) int64."""
        ...


def document_rows(
    tokens: TokenSource, config: ExperimentConfig, dataset: Dataset
) -> PaddedDocuments | None:
    """The split's documents as padded rows, or None if windows are packed."""
    if dataset.end_token is None or config.hf_model.packing:
        return None
    return PaddedDocuments(
        tokens,
        end_token=dataset.end_token,
        block_size=config.train_block_size,
        vocab_size=dataset.vocab_size,
    )


def training_batches(config: ExperimentConfig, dataset: Dataset) -> Batches:
    """The sampler of a run with these settings.

    Raises:
        DataError: The training split is too short.
    """
    data, seed = config.train.data, config.train.runtime.seed
    if (rows := document_rows(dataset.train, config, dataset)) is not None:
        return PaddedBatchSampler(rows, seed=seed, order=data.sampler)
    return BatchSampler(
        dataset.train,
        block_size=config.train_block_size,
        seed=seed,
        order=data.sampler,
        vocab_size=dataset.vocab_size,
        end_token=dataset.end_token,
    )


def micro_batches(config: ExperimentConfig, dataset: Dataset, step: int) -> Iterator[Batch]:
    """The micro-batches of an optimizer step, all processes together.

    Args:
        config: Settings of the run; batch size and accumulation are those of all its steps.
        dataset: Its dataset.
        step: Number of the step, counted from 1.

    Raises:
        DataError: The training split is too short or damaged.
    """
    data, batches = config.train.data, training_batches(config, dataset)
    first = (step - 1) * data.batch_size * data.grad_accum_steps
    for number in range(data.grad_accum_steps):
        yield batches.batch(first + number * data.batch_size, data.batch_size)
