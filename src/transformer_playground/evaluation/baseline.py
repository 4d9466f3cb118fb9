"""N-gram baseline of a dataset: counted once, and kept beside the prepared data."""

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from transformer_playground.evaluation.ngram import ngram_losses
from transformer_playground.files import read_regular, replace_json
from transformer_playground.jsonvalues import as_count, as_number, as_object

if TYPE_CHECKING:
    from transformer_playground.data.dataset import Dataset

USUAL_ORDER = 5
"""Length of the n-grams that a run is compared with unless another is asked for."""
BASELINE_FILE = "ngram-baseline.json"

# Counting needs about 50 bytes for each token and order.
_MOST_TOKENS = 20_000_000
_MOST_BYTES = 1 << 20
_MOST_ORDERS = 16


@dataclass(frozen=True)
class NGramBaseline:
    """What counting reaches on a dataset.

    Attributes:
        losses: Length of the n-grams -> mean loss on the validation split, in nats per token.
        train_tokens: Training tokens that were counted, the first 20 million at most.
    """

    losses: Mapping[int, float]
    train_tokens: int


@dataclass(frozen=True)
class BaselineResult:
    """A run against n-grams of one length.

    Attributes:
        order: Length of the n-grams.
        loss: Their mean loss on the whole validation split, in nats per token.
        beaten_at: First step whose evaluation has a lower validation loss; None = none has.
    """

    order: int
    loss: float
    beaten_at: int | None


def compare_with(
    baseline: NGramBaseline, order: int, steps: Iterable[float], losses: Iterable[float]
) -> BaselineResult | None:
    """When a run was first better than n-grams of a length; None if they were not counted.

    Args:
        baseline: That of the run's dataset.
        order: Length of the n-grams.
        steps: Steps of its evaluations, in order.
        losses: Their validation losses.
    """
    loss = baseline.losses.get(order)
    if loss is None:
        return None
    pairs = zip(steps, losses, strict=True)
    first = next((step for step, measured in pairs if measured < loss), None)
    return BaselineResult(order, loss, None if first is None else int(first))


def known_baseline(folder: Path, fingerprint: str | None) -> NGramBaseline | None:
    """The baseline that was counted before for a dataset, or None.

    Args:
        folder: The dataset's folder.
        fingerprint: Of the dataset; one that was counted before it was prepared again is ignored.
    """
    try:
        kept = as_object(json.loads(read_regular(folder / BASELINE_FILE, _MOST_BYTES)))
    except (OSError, ValueError, RecursionError):
        return None
    train_tokens = as_count(kept.get("train_tokens"))
    if fingerprint is None or kept.get("fingerprint") != fingerprint or train_tokens is None:
        return None
    losses = {
        order: loss
        for order in range(1, _MOST_ORDERS + 1)
        if (loss := as_number(as_object(kept.get("losses")).get(str(order)))) is not None
    }
    return NGramBaseline(losses, train_tokens) if losses else None


def ngram_baseline(dataset: "Dataset", order: int = USUAL_ORDER) -> NGramBaseline:
    """The baseline of a dataset with n-grams of 1 to `order` tokens.

    Counted models read the validation split (its first 20 million tokens) with all tokens before
    each one. The result is kept in the dataset's folder if it can be written.
    """
    known = known_baseline(dataset.folder, dataset.fingerprint)
    if known is not None and all(length in known.losses for length in range(1, order + 1)):
        return known
    train = np.asarray(dataset.train[:_MOST_TOKENS])
    validation = np.asarray(dataset.val[:_MOST_TOKENS])
    losses = ngram_losses(train, validation, dataset.vocab_size, range(1, order + 1))
    baseline = NGramBaseline({**(known.losses if known else {}), **losses}, len(train))
    document: dict[str, Any] = {
        "fingerprint": dataset.fingerprint,
        "train_tokens": baseline.train_tokens,
        "losses": {str(length): loss for length, loss in baseline.losses.items()},
    }
    # A dataset that may only be read is counted again the next time.
    with contextlib.suppress(OSError):
        replace_json(dataset.folder / BASELINE_FILE, document)
    return baseline
