"""Attention patterns, and scores that tell what a head does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from transformer_playground.inspection.parts import parts_of
from transformer_playground.inspection.recording import Site, record
from transformer_playground.model.base import LanguageModel

_LONGEST_REPEAT = 64
_SEQUENCES = 8
_CLEAR_SCORE, _CLEAR_SINK, _CLEAR_SPREAD = 0.3, 0.5, 0.8


def attention_patterns(model: LanguageModel, tokens: Tensor) -> Tensor:
    """Attention weights of all heads (Vaswani et al. 2017, equation 1).

    They are computed under the mask, window, positions and biases of the model.

    Args:
        model: The model.
        tokens: (B, T) int64.

    Returns:
        (n_layer, B, n_head, T, T): weights of each query (row) over the keys, which sum to 1.
    """
    sites = [Site("weights", layer) for layer in range(len(parts_of(model).layers))]
    recording = record(model, tokens, sites)
    return torch.stack([recording[site].float() for site in sites])


@dataclass(frozen=True)
class HeadScores:
    """Scores of each head between 0 and 1, (n_layer, n_head), measured on repeated random tokens.

    Attributes:
        previous_token: Mean attention to the token before.
        duplicate_token: Mean attention to the earlier occurrence of the same token.
        induction: Mean attention to the token after that occurrence.
    """

    previous_token: Tensor
    duplicate_token: Tensor
    induction: Tensor

    def by_kind(self) -> dict[str, Tensor]:
        """The scores by the name of their kind."""
        return dict(vars(self))


def score_heads(
    model: LanguageModel,
    *,
    vocab_size: int | None = None,
    excluded: int | None = None,
    seed: int = 0,
) -> HeadScores:
    """Scores of all heads on random tokens that are repeated once (Olsson et al. 2022).

    On such a text, only the earlier half can tell what comes next. Induction heads attend from a
    token to what followed it there ("In-context Learning and Induction Heads", section on
    prefix matching); in small models a previous-token head of an earlier layer makes that possible.

    Args:
        model: The model; its context must hold at least four tokens.
        vocab_size: Tokens below this id occur; None = all of the model's, padding included.
        excluded: A token that does not occur, such as one that ends a document.
        seed: Seed of the random tokens.
    """
    tokens = repeated_tokens(model, vocab_size=vocab_size, excluded=excluded, seed=seed)
    return scores_of(attention_patterns(model, tokens))


def repeated_tokens(
    model: LanguageModel,
    *,
    vocab_size: int | None = None,
    excluded: int | None = None,
    seed: int = 0,
) -> Tensor:
    """Random tokens (8, 2 n), each row n tokens and the same again; n is at most 64."""
    length = max(2, min(model.block_size // 2, _LONGEST_REPEAT))
    generator = torch.Generator().manual_seed(seed)
    limit = (vocab_size or model.vocab_size) - (excluded is not None)
    tokens = torch.randint(limit, (_SEQUENCES, length), generator=generator)
    if excluded is not None:
        tokens += tokens >= excluded
    return tokens.repeat(1, 2).to(model.device)


def scores_of(patterns: Tensor) -> HeadScores:
    """Scores of attention patterns (n_layer, B, n_head, 2 n, 2 n) on n tokens said twice."""
    length = patterns.shape[-1]
    repeat = length // 2
    return HeadScores(
        previous_token=_mean_diagonal(patterns, 1, 0),
        duplicate_token=_mean_diagonal(patterns, repeat, 0),
        induction=_mean_diagonal(patterns, repeat - 1, 1),
    )


class HeadKind(NamedTuple):
    """What a head does, in words, and how clearly: a score between 0 and 1."""

    name: str
    score: float


def head_kind(pattern: Tensor, scores: Mapping[str, float]) -> HeadKind | None:
    """What a head does: by its scores, else by where it looks in a text; None if neither says.

    A score names the head from 0.3 on. Else it is called after the first token if that gets half
    of the attention (an attention sink: Xiao et al. 2024, "Efficient Streaming Language Models
    with Attention Sinks"), and broad if its rows have 0.8 of the entropy of an even spread.

    Args:
        pattern: Attention weights of the head in a text, (T, T).
        scores: The head's scores by kind, as of `score_heads`; may be empty.
    """
    kind = max(scores, key=scores.__getitem__, default="")
    if kind and scores[kind] >= _CLEAR_SCORE:
        return HeadKind(kind.replace("_", " "), scores[kind])
    rows = pattern[2:].float()
    if len(rows) == 0:
        return None
    first = float(rows[:, 0].mean())
    if first >= _CLEAR_SINK:
        return HeadKind("first token", first)
    seen = (rows > 0).sum(dim=-1).clamp(min=2).float()
    spread = float((torch.special.entr(rows).sum(dim=-1) / seen.log()).mean())
    return HeadKind("broad", spread) if spread >= _CLEAR_SPREAD else None


def _mean_diagonal(patterns: Tensor, distance: int, skipped: int) -> Tensor:
    """Mean attention to the token `distance` before, without the first `skipped` queries."""
    diagonal = patterns.diagonal(offset=-distance, dim1=-2, dim2=-1)
    return diagonal[..., skipped:].mean(dim=(1, -1))
