"""N-gram language model over tokens, a baseline that needs no training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ids = NDArray[np.int64]

_UNSEEN = -1


@dataclass(frozen=True)
class _Order:
    """The n-grams of one length in the training tokens.

    Attributes:
        keys: Id of the n-gram without its last token, times the vocabulary size, plus that token;
            sorted. The index of a key is the id of the n-gram.
        counts: How often each occurs; of all but the longest n-grams, after how many different
            tokens.
        totals: Sum of the counts of the n-grams with the same history, by id of the history.
        kinds: Number of these n-grams.
        discount: What is taken from each count for tokens that were not seen.
    """

    keys: Ids
    counts: Ids
    totals: Ids
    kinds: Ids
    discount: float


class NGramModel:
    """Interpolated Kneser-Ney smoothing (Kneser & Ney 1995; Chen & Goodman 1999).

    The discount of each order is n1 / (n1 + 2 n2), of the numbers of n-grams that occur once and
    twice. Below single tokens all tokens are equally likely, so no probability is 0.

    Args:
        tokens: Training tokens, at least one.
        vocab_size: Number of token ids.
        order: Length of the n-grams: 5 = the last four tokens predict the next.
    """

    def __init__(self, tokens: ArrayLike, vocab_size: int, order: int) -> None:
        tokens = np.asarray(tokens).astype(np.int64)
        # A shorter text has no longer n-grams.
        self.vocab_size, self.order = vocab_size, min(order, len(tokens))
        tables: list[tuple[Ids, Ids, Ids]] = []
        ids = np.zeros(len(tokens), dtype=np.int64)
        for length in range(1, self.order + 1):
            # Where an n-gram of this length ends; its history ends one token earlier.
            history = ids if length == 1 else ids[:-1]
            keys, first, inverse, counts = np.unique(
                history * vocab_size + tokens[length - 1 :],
                return_index=True,
                return_inverse=True,
                return_counts=True,
            )
            tables.append((keys, first, counts.astype(np.int64)))
            if length > 1:
                # Distinct tokens before each shorter n-gram: the longer ones that end with it.
                suffixes = ids[1:][first]
                shorter = tables[length - 2]
                continuations = np.bincount(suffixes, minlength=len(shorter[0]))
                tables[length - 2] = (shorter[0], shorter[1], continuations.astype(np.int64))
            ids = inverse.reshape(-1).astype(np.int64)
        self._orders = [_smoothed(keys, counts, vocab_size) for keys, _, counts in tables]

    def losses(self, tokens: ArrayLike) -> NDArray[np.float64]:
        """-ln p of each token given those before it, in nats, shape (T,)."""
        targets = np.asarray(tokens).astype(np.int64)
        probabilities = np.full(len(targets), 1.0 / self.vocab_size)
        # Id of the n-gram that ends before each token, growing by a token with each order.
        history = np.zeros(len(targets), dtype=np.int64)
        for length, order in enumerate(self._orders, start=1):
            if len(targets) < length:
                break
            known = history >= 0
            known[: length - 1] = False
            probabilities = _interpolated(
                order, history, targets, self.vocab_size, probabilities, known
            )
            ends = _find(order.keys, np.where(known, history * self.vocab_size + targets, _UNSEEN))
            history = np.append(_UNSEEN, ends[:-1])
        losses: NDArray[np.float64] = -np.log(probabilities)
        return losses


def ngram_losses(
    train: ArrayLike, validation: ArrayLike, vocab_size: int, orders: Sequence[int]
) -> dict[int, float]:
    """Mean loss of n-gram models of these orders on validation tokens, in nats per token."""
    return {
        order: float(NGramModel(train, vocab_size, order).losses(validation).mean())
        for order in orders
    }


def _smoothed(keys: Ids, counts: Ids, vocab_size: int) -> _Order:
    histories = keys // vocab_size
    size = int(histories.max(initial=0)) + 1
    once, twice = (int(np.count_nonzero(counts == times)) for times in (1, 2))
    # With few n-grams none may occur once or twice.
    discount = once / (once + 2 * twice) if once and twice else 0.5
    return _Order(
        keys=keys,
        counts=counts,
        totals=np.bincount(histories, weights=counts, minlength=size).astype(np.int64),
        # What only begins the text follows no token.
        kinds=np.bincount(histories[counts > 0], minlength=size).astype(np.int64),
        discount=discount,
    )


def _interpolated(
    order: _Order,
    history: Ids,
    targets: Ids,
    vocab_size: int,
    shorter: NDArray[np.float64],
    known: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Probabilities of one order where the history is known, else those of the shorter one."""
    probabilities = shorter.copy()
    within = known & (history < len(order.totals))
    places = np.flatnonzero(within)
    totals = order.totals[history[places]]
    places, totals = places[totals > 0], totals[totals > 0]
    found = _find(order.keys, history[places] * vocab_size + targets[places])
    counts = np.where(found >= 0, order.counts[found], 0)
    left = order.discount * order.kinds[history[places]]
    kept = np.maximum(counts - order.discount, 0.0)
    probabilities[places] = (kept + left * shorter[places]) / totals
    return probabilities


def _find(keys: Ids, wanted: Ids) -> Ids:
    """Index of each wanted key, or -1."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, _UNSEEN)
