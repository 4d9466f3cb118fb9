"""The tokens of a vocabulary: how often they occur, and what they cost a model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from transformer_playground.data.browsing.statistics import SplitStatistics
from transformer_playground.data.browsing.token_bytes import TokenBytes
from transformer_playground.dataset_views.measures import TokenCost

Sort = Literal["count", "loss", "cost", "id"]
SORTS: tuple[Sort, ...] = get_args(Sort)


@dataclass(frozen=True)
class VocabularyRow:
    """A token.

    Attributes:
        text: Untrusted.
        train: How often it occurs in the training split.
        train_share: Part of the training tokens.
        val: How often it occurs in the validation split.
        loss: Mean loss where it is the target, in nats; None if it was not measured or never is.
        cost: Part of the summed loss of the validation split; None if it was not measured.
    """

    token: int
    text: str
    train: int
    train_share: float
    val: int
    loss: float | None = None
    cost: float | None = None


def vocabulary_rows(
    table: TokenBytes,
    train: SplitStatistics,
    val: SplitStatistics,
    cost: TokenCost | None,
    sort: Sort,
    most: int | None = None,
) -> list[VocabularyRow]:
    """Rows of the vocabulary, what is largest first; by id, the smallest first.

    Args:
        table: The vocabulary.
        train: Counts of the training split.
        val: Counts of the validation split.
        cost: Losses of a run, if they were measured; without them all losses are equal.
        sort: What the rows are sorted by, then by id.
        most: Number of rows; None = all.
    """
    numbers = np.arange(table.vocab_size)
    keys = {
        "count": -train.counts,
        "loss": numbers if cost is None else -np.nan_to_num(cost.losses, nan=-1.0),
        "cost": numbers if cost is None else -cost.shares,
        "id": numbers,
    }
    order: Sequence[int] = np.argsort(keys[sort], kind="stable")[:most].tolist()
    return [
        VocabularyRow(
            token,
            table.shown(token),
            int(train.counts[token]),
            int(train.counts[token]) / max(1, train.tokens),
            int(val.counts[token]),
            None if cost is None else _finite(float(cost.losses[token])),
            None if cost is None else float(cost.shares[token]),
        )
        for token in order
    ]


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
