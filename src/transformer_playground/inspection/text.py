"""How well a model predicts each token of a text, and what it would have said instead."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class TokenScores:
    """Predictions of each token from those before it, for one text of T tokens.

    The first token has no prediction: its surprisal, probability and rank are None. What is
    expected after the last token is the last entry of `entropies` and `likeliest`.

    Attributes:
        surprisals: -ln p(token), in nats (Hale 2001; Levy 2008).
        probabilities: Probability of the token.
        ranks: 1 = the likeliest token.
        entropies: Entropy in nats of the prediction *after* each token, at most ln(vocab_size).
        likeliest: The likeliest tokens after each token with their probabilities.
    """

    tokens: tuple[int, ...]
    surprisals: tuple[float | None, ...]
    probabilities: tuple[float | None, ...]
    ranks: tuple[int | None, ...]
    entropies: tuple[float, ...]
    likeliest: tuple[tuple[tuple[int, float], ...], ...]

    @property
    def mean_loss(self) -> float | None:
        """Mean surprisal in nats per token; None for a single token."""
        known = [each for each in self.surprisals if each is not None]
        return sum(known) / len(known) if known else None


def score_tokens(logits: Tensor, tokens: Tensor, *, alternatives: int = 5) -> TokenScores:
    """Score a text by the logits of a forward pass over it.

    Args:
        logits: (T, vocab_size), any floating dtype.
        tokens: (T,) int64.
        alternatives: How many of the likeliest tokens to keep.
    """
    log_probs = functional.log_softmax(logits.float(), dim=-1)
    targets = tokens[1:].unsqueeze(1)
    of_targets = log_probs[:-1].gather(1, targets)
    # Of equally likely tokens, the one in question comes first.
    ranks = (log_probs[:-1] > of_targets).sum(dim=1) + 1
    top = top_tokens(logits, alternatives)
    return TokenScores(
        tokens=tuple(tokens.tolist()),
        surprisals=(None, *(-of_targets).squeeze(1).tolist()),
        probabilities=(None, *of_targets.exp().squeeze(1).tolist()),
        ranks=(None, *ranks.tolist()),
        entropies=tuple(entropy(logits).tolist()),
        likeliest=tuple(top),
    )


def entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of predictions (..., vocab_size), shape (...) (Shannon 1948)."""
    log_probs = functional.log_softmax(logits.float(), dim=-1)
    # 0 ln 0 is 0, also where a logit is -inf.
    entropies: Tensor = torch.special.entr(log_probs.exp()).sum(dim=-1)
    return entropies


def top_tokens(logits: Tensor, count: int) -> list[tuple[tuple[int, float], ...]]:
    """The likeliest tokens of each prediction (T, vocab_size) with their probabilities."""
    count = min(count, logits.shape[-1])
    values, tokens = logits.float().softmax(dim=-1).topk(count, dim=-1)
    return [
        tuple(zip(row_tokens, row_values, strict=True))
        for row_tokens, row_values in zip(tokens.tolist(), values.tolist(), strict=True)
    ]
