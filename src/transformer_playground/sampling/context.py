"""The sequences being written, and the model's memory of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from transformer_playground.model.interface import LanguageModel


class DecodingContext:
    """Sequences that began with one prompt and are continued together.

    The prompt is read once, whatever the number of sequences. Each further token costs one pass
    over one position. A context that no longer fits into `block_size` is cut to its newest half
    block, which is read again: the price of a token stays constant on average however long the
    text grows, and the model always sees at least the last `block_size // 2` tokens. Moving the
    stored keys and values along instead would be wrong, even for relative positions: beyond the
    first layer they still hold what was read of the tokens that were cut off.

    Args:
        model: The model, in evaluation mode.
        prompt: At least one token; the same cut applies if it is longer than `block_size`.
        n_samples: Number of sequences.
        max_new_tokens: Tokens to come, so that no more memory is taken than they can fill.
    """

    def __init__(
        self, model: LanguageModel, prompt: Sequence[int], *, n_samples: int, max_new_tokens: int
    ) -> None:
        self._model = model
        self._block = model.block_size
        self._kept = _kept(self._block)
        opening = list(prompt if len(prompt) <= self._block else prompt[-self._kept :])
        self._unread = torch.tensor([opening], device=model.device)
        self._cache = model.new_cache(1, needed_capacity(model, len(prompt), max_new_tokens))
        # Only the newest tokens can ever be read again.
        self._newest = self._unread[:, -self._kept :]
        self._n_samples = n_samples

    def next_logits(self) -> Tensor:
        """Read what was appended; logits of the next token, float32 (sequences, vocab_size)."""
        logits = self._model.next_logits(self._unread, self._cache)
        if len(logits) < self._n_samples:
            self.keep(torch.zeros(self._n_samples, dtype=torch.int64, device=logits.device))
            logits = logits.expand(self._n_samples, -1)
        return logits

    def append(self, tokens: Tensor) -> None:
        """Add one token to each sequence, int64 (sequences,)."""
        column = tokens.unsqueeze(1)
        self._newest = torch.cat((self._newest, column), dim=1)[:, -self._kept :]
        self._unread = column
        if self._cache.length == self._block:
            self._cache.reset()
            self._unread = self._newest

    def keep(self, rows: Tensor) -> None:
        """Go on with these sequences only, int64 indices; repeats are allowed."""
        self._n_samples = len(rows)
        self._cache = self._cache.select(rows)
        self._newest = self._newest[rows]
        self._unread = self._unread[rows]


def needed_capacity(model: LanguageModel, prompt_length: int, max_new_tokens: int) -> int:
    """Tokens that the cache of one sequence holds at most."""
    block = model.block_size
    opening = prompt_length if prompt_length <= block else _kept(block)
    return min(block, opening + max_new_tokens)


def _kept(block_size: int) -> int:
    return max(1, block_size // 2)
