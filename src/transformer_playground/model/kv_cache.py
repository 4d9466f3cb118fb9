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
        shape = (config.n_layer, batch_size, config.kv_heads, capacity, config.head_dim)
        self._keys = torch.empty(shape, device=device, dtype=dtype)
        self._values = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0

    @property
    def batch_size(self) -> int:
        """Number of sequences."""
        return self._keys.shape[1]

    @property
    def capacity(self) -> int:
        """Tokens that fit."""
        return self._keys.shape[3]

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
        end = self.length + keys.shape[2]
        all_keys = self._keys[layer, :, :, :end]
        all_values = self._values[layer, :, :, :end]
        all_keys[:, :, self.length :].copy_(keys)
        all_values[:, :, self.length :].copy_(values)
        return all_keys, all_values

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
        chosen._keys, chosen._values = self._rows(self._keys, rows), self._rows(self._values, rows)
        chosen.length = self.length
        return chosen

    def _rows(self, stored: Tensor, rows: Tensor) -> Tensor:
        layers, _, heads, capacity, channels = stored.shape
        chosen = stored.new_empty(layers, len(rows), heads, capacity, channels)
        chosen[:, :, :, : self.length] = stored[:, rows, :, : self.length]
        return chosen
