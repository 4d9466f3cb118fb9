"""Greedy decoding by whole forward passes, for readers without a cache of their own."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def continue_greedily(
    scores: Callable[[Tensor], Tensor], prompt: Sequence[int], count: int, vocab_size: int
) -> list[int]:
    """The `count` most likely tokens after a prompt.

    Args:
        scores: Logits or log-probabilities (1, T, rows) for tokens (1, T) int64.
        prompt: At least one token.
        count: Number of tokens.
        vocab_size: Ids from here on are padding and never chosen.
    """
    tokens = list(prompt)
    for _ in range(count):
        last = scores(torch.tensor([tokens]))[0, -1]
        tokens.append(int(last[:vocab_size].argmax()))
    return tokens[len(prompt) :]
