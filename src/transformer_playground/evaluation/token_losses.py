"""The loss of each token of the vocabulary over the whole validation split."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.dataset import Dataset
from transformer_playground.data.loader import IGNORED
from transformer_playground.evaluation.whole_split import split_batches
from transformer_playground.model.base import LanguageModel, evaluating
from transformer_playground.model.device import to_device


@dataclass(frozen=True)
class TokenLosses:
    """Losses of the validation split by the token that had to be predicted.

    Attributes:
        counts: How often each token is a target, (vocab_size,).
        sums: Its losses in nats, summed over these places, (vocab_size,).
    """

    counts: NDArray[np.int64]
    sums: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean loss of all targets, in nats per token."""
        return float(self.sums.sum() / max(1, self.counts.sum()))


def token_losses(
    model: LanguageModel,
    dataset: Dataset,
    config: ExperimentConfig | None,
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> TokenLosses | None:
    """Loss of each token over the windows of `split_batches`; None if cancelled.

    Raises:
        DataError: The split is too short or damaged.
    """
    counts = torch.zeros(model.vocab_size, dtype=torch.int64)
    sums = torch.zeros(model.vocab_size, dtype=torch.float64)
    with evaluating(model):
        for inputs, targets in split_batches(model, dataset, config):
            if cancelled():
                return None
            x, y = to_device(inputs, model.device), to_device(targets, model.device)
            flat = y.flatten()
            losses = functional.cross_entropy(
                model(x).flatten(0, 1).float(), flat, ignore_index=IGNORED, reduction="none"
            )
            kept = flat != IGNORED
            place, loss = flat[kept].cpu(), losses[kept].double().cpu()
            counts += torch.bincount(place, minlength=model.vocab_size)
            sums += torch.bincount(place, weights=loss, minlength=model.vocab_size)
    return TokenLosses(counts.numpy(), sums.numpy())
