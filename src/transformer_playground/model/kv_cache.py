"""Key-value cache for token-by-token decoding."""

import copy
from typing import Self

import torch
from torch import Tensor

from transformer_playground.config.model import ModelConfig


class KVCache:
    """Preallocated keys and values of all layers for at most `capacity` tokens per sequence.

    Attributes:
        length: Number of cached tokens.
        dtype: Dtype of the keys and values, to which new ones are converted.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        batch_size: int,
        capacity: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        shape = (batch_size, config.kv_heads, capacity, config.head_dim)
        layers = range(config.n_layer)
        self._keys = [torch.empty(shape, device=device, dtype=dtype) for _ in layers]
        self._values = [torch.empty(shape, device=device, dtype=dtype) for _ in layers]
        self.batch_size, self.capacity, self.length = batch_size, capacity, 0
        self.dtype = dtype

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append the keys and values of one layer, (B, kv_heads, T, head_dim) for T new tokens.

        `length` only changes when all layers are done (`advance`).

        Returns:
            Views of all keys and values of the layer, (B, kv_heads, length + T, head_dim).
        """
        new = keys.shape[2]
        end = self.length + new
        all_keys, all_values = self._keys[layer], self._values[layer]
        all_keys.narrow(2, self.length, new).copy_(keys)
        all_values.narrow(2, self.length, new).copy_(values)
        return all_keys.narrow(2, 0, end), all_values.narrow(2, 0, end)

    def advance(self, tokens: int) -> None:
        """Increase `length` after all layers have stored the tokens."""
        self.length += tokens

    def reset(self) -> None:
        """Remove all tokens but keep the memory."""
        self.length = 0

    def select(self, rows: Tensor) -> Self:
        """A cache with the sequences at the indices `rows`, int64 (new batch size,)."""
        chosen = copy.copy(self)
        chosen.batch_size = len(rows)
        chosen._keys = [self._rows(stored, rows) for stored in self._keys]
        chosen._values = [self._rows(stored, rows) for stored in self._values]
        return chosen

    def _rows(self, stored: Tensor, rows: Tensor) -> Tensor:
        chosen = stored.new_empty(len(rows), *stored.shape[1:])
        chosen[:, :, : self.length] = stored[rows, :, : self.length]
        return chosen
