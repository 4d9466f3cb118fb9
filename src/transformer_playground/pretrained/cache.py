"""Keys and values of the tokens that an adapted model has already read."""

import copy
from typing import Any, Self

from torch import Tensor


class AdaptedCache:
    """transformers' growing cache, with the interface of our own model's cache.

    It holds what each layer needs and no more: a sliding layer keeps its window.

    Args:
        config: transformers' configuration of the model.
        batch_size: Number of sequences decoded together.
        capacity: Most tokens a sequence can hold.

    Attributes:
        states: The cache that transformers' models write into.
        length: Tokens read so far; the model counts them.
    """

    def __init__(self, config: Any, *, batch_size: int, capacity: int) -> None:
        from transformers import DynamicCache

        self.states = DynamicCache(config=config)
        self.batch_size = batch_size
        self.capacity = capacity
        self.length = 0

    def reset(self) -> None:
        """Forget every token."""
        self.states.reset()
        self.length = 0

    def select(self, rows: Tensor) -> Self:
        """A cache whose sequences are the given ones of this cache, repeats allowed.

        Args:
            rows: Indices of sequences, int64 (new batch size,).
        """
        chosen = copy.copy(self)
        chosen.batch_size = len(rows)
        # Layers replace their tensors and never write into them, so that shallow copies will do.
        chosen.states = copy.copy(self.states)
        chosen.states.layers = [copy.copy(layer) for layer in self.states.layers]
        chosen.states.batch_select_indices(rows)
        return chosen
