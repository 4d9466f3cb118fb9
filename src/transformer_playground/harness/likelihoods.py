"""Log-likelihoods of many token sequences in batches, and windows over texts of any length."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from transformer_playground.evaluation.whole_split import fitting_rows
from transformer_playground.generation.sampler import check_numbers
from transformer_playground.model.base import LanguageModel, evaluating


class Span(NamedTuple):
    """Tokens to score after others.

    Attributes:
        before: What the model reads first, at least one token.
        tokens: The tokens to score.
    """

    before: Sequence[int]
    tokens: Sequence[int]


class Likelihood(NamedTuple):
    """Log-likelihood of tokens in nats, and whether each was the likeliest."""

    nats: float
    is_greedy: bool


def rolling_windows(tokens: Sequence[int], first: int, size: int) -> Iterator[Span]:
    """Spans that score each token of a text once, as lm-eval divides long texts.

    All but the last have `size` new tokens. The last one begins earlier than it scores, so that
    the model reads `size` tokens there, too.

    Args:
        tokens: The text.
        first: Token that the first one follows.
        size: Most tokens that a model reads.
    """
    yield from (Span((first,), tokens[:size]) for _ in tokens[:1])
    for start in range(size, len(tokens), size):
        end = min(start + size, len(tokens))
        yield Span(tokens[end - size - 1 : start], tokens[start:end])


def likelihoods(model: LanguageModel, spans: Sequence[Span]) -> list[Likelihood]:
    """Score spans in batches of similar length.

    Args:
        model: A causal model; used in evaluation mode.
        spans: Together with what precedes it, each has at most `block_size` + 1 tokens.

    Raises:
        SamplingError: The model's output is NaN.
    """
    found = [Likelihood(0.0, True) for _ in spans]
    order = sorted(
        (index for index, span in enumerate(spans) if span.tokens),
        key=lambda index: -_length(spans[index]),
    )
    with evaluating(model):
        while order:
            rows = fitting_rows(model, _length(spans[order[0]]))
            batch, order = order[:rows], order[rows:]
            scores = _score(model, [spans[index] for index in batch])
            for index, score in zip(batch, scores, strict=True):
                found[index] = score
    return found


def _length(span: Span) -> int:
    """Number of tokens that the model reads."""
    return len(span.before) + len(span.tokens) - 1


def _score(model: LanguageModel, spans: Sequence[Span]) -> Iterator[Likelihood]:
    # What follows a text does not change its predictions: padding is any token.
    rows = torch.zeros(len(spans), _length(spans[0]), dtype=torch.int64)
    for row, span in enumerate(spans):
        rows[row, : _length(span)] = torch.tensor([*span.before, *span.tokens][:-1])
    logits: Tensor = model(rows.to(model.device))
    for row, span in enumerate(spans):
        predicted = logits[row, len(span.before) - 1 : _length(span)].float()
        targets = torch.tensor(span.tokens, device=predicted.device)
        of_targets = predicted.log_softmax(dim=-1).gather(1, targets.unsqueeze(1))
        check_numbers(of_targets)
        is_greedy = bool((predicted.argmax(dim=-1) == targets).all())
        yield Likelihood(float(of_targets.double().sum()), is_greedy)
