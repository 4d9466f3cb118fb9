"""Keys and values of the tokens already read, so that each new token is read once."""

from typing import Self

import torch
from torch import Tensor

from transformer_playground.config.model import ModelConfig


class KVCache:
    """Preallocated keys and values of every layer; only key/value heads are stored.

    Args:
        config: Shape of the model.
        batch_size: Number of sequences decoded together.
        capacity: Most tokens a sequence can hold, at most `block_size`.
        device: Where the model computes.
        dtype: Number format of the model's activations.
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
        self.length = 0

    @property
    def batch_size(self) -> int:
        """Number of sequences."""
        return self._keys[0].shape[0]

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self._keys[0].shape[2]

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's new keys and values behind those of the tokens read before.

        `length` moves on only when the model has passed all layers (`advance`).

        Args:
            layer: Index of the layer.
            keys: (B, kv_heads, T, head_dim) of the T new tokens.
            values: Same shape.

        Returns:
            Views of all the layer's keys and values so far, (B, kv_heads, length + T, head_dim).
        """
        new = keys.shape[2]
        end = self.length + new
        all_keys, all_values = self._keys[layer], self._values[layer]
        all_keys.narrow(2, self.length, new).copy_(keys)
        all_values.narrow(2, self.length, new).copy_(values)
        return all_keys.narrow(2, 0, end), all_values.narrow(2, 0, end)

    def advance(self, tokens: int) -> None:
        """Count tokens that every layer has stored."""
        self.length += tokens

    def reset(self) -> None:
        """Forget every token and keep the memory."""
        self.length = 0

    def select(self, rows: Tensor) -> Self:
        """A cache whose sequences are the given ones of this cache, repeats allowed.

        Args:
            rows: Indices of sequences, int64 (new batch size,).
        """
        chosen = object.__new__(type(self))
        chosen._keys = [self._rows(stored, rows) for stored in self._keys]
        chosen._values = [self._rows(stored, rows) for stored in self._values]
        chosen.length = self.length
        return chosen

    def _rows(self, stored: Tensor, rows: Tensor) -> Tensor:
        chosen = stored.new_empty(len(rows), *stored.shape[1:])
        chosen[:, :, : self.length] = stored[rows, :, : self.length]
        return chosen
