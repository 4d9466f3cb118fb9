"""Continuous batching for our GPT: sequences of different lengths in one forward pass.

Sequences join and leave between two steps (Yu et al. 2022, "Orca"). Each row of a batch has its own
position, so its keys are masked and its positions encoded by its own length. Up to rounding, the
logits are those of decoding the sequence alone with `DecodingContext`.
"""

import functools
from collections.abc import Hashable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from transformer_playground.generation.generate import kept_tokens
from transformer_playground.model.attention import AttentionContext
from transformer_playground.model.gpt import GPT
from transformer_playground.model.positions import (
    AlibiPositions,
    RotaryPositions,
    alibi_bias,
    rotate,
    rotation,
)

_FIRST_ROWS = 4


class RaggedCache:
    """Keys and values of rows with different numbers of cached tokens.

    Args:
        model: The model, whose device the cache has.

    Attributes:
        lengths: Number of cached tokens of each row.
        dtype: Dtype of the keys and values, that of the model's own cache.
    """

    def __init__(self, model: GPT) -> None:
        config = model.config
        weight = model.token_embedding.weight
        self.dtype = model.new_cache(1, 1).dtype
        self._shape = (config.kv_heads, config.block_size, config.head_dim)
        self._layers = [
            # Masked entries are multiplied by zero, so memory must not hold NaN.
            (
                weight.new_zeros(0, *self._shape, dtype=self.dtype),
                weight.new_zeros(0, *self._shape, dtype=self.dtype),
            )
            for _ in range(config.n_layer)
        ]
        self.lengths: list[int] = []
        self._positions = torch.empty(0, dtype=torch.int64, device=weight.device)

    @property
    def positions(self) -> Tensor:
        """Position of the next token of each row, int64 (rows,)."""
        if len(self._positions) != len(self.lengths):
            self._positions = torch.tensor(self.lengths, device=self._positions.device)
        return self._positions

    def append_row(self) -> "RowCache":
        """Add an empty row at the end; the returned cache fills it."""
        row = len(self.lengths)
        if row == len(self._layers[0][0]):
            self._grow(max(_FIRST_ROWS, 2 * row))
        self.lengths.append(0)
        return RowCache(self, row)

    def copy_row(self, row: int) -> None:
        """Add a copy of a row at the end."""
        self._move(row, self.append_row().row)

    def remove_row(self, row: int) -> None:
        """Remove a row; the last row takes its place."""
        if row != len(self.lengths) - 1:
            self._move(len(self.lengths) - 1, row)
        self.lengths.pop()
        self._positions = self._positions[:0]

    def rewrite_row(self, row: int) -> "RowCache":
        """Empty a row; the returned cache fills it again."""
        self._set_length(row, 0)
        return RowCache(self, row)

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append one token to each row: keys and values (rows, kv_heads, 1, head_dim).

        Returns:
            All keys and values of the layer, (rows, kv_heads, longest row, head_dim).
        """
        rows, longest = len(self.lengths), max(self.lengths) + 1
        numbers = torch.arange(rows, device=keys.device)
        stored = []
        for kept, new in zip(self._layers[layer], (keys, values), strict=True):
            kept[numbers, :, self.positions] = new[:, :, 0].to(self.dtype)
            stored.append(kept[:rows, :, :longest])
        return stored[0], stored[1]

    def advance(self) -> None:
        """Count the token that `write` appended to each row in all layers."""
        positions = self.positions + 1
        self.lengths = [length + 1 for length in self.lengths]
        self._positions = positions

    def fill(self, row: int, layer: int, keys: Tensor, values: Tensor) -> None:
        """Store the first tokens of a row, keys and values (1, kv_heads, T, head_dim)."""
        for kept, new in zip(self._layers[layer], (keys, values), strict=True):
            kept[row, :, : new.shape[2]] = new[0]

    def _set_length(self, row: int, length: int) -> None:
        self.lengths[row] = length
        self._positions = self._positions[:0]

    def _move(self, source: int, target: int) -> None:
        length = self.lengths[source]
        for pair in self._layers:
            for kept in pair:
                kept[target, :, :length] = kept[source, :, :length]
        self._set_length(target, length)

    def _grow(self, rows: int) -> None:
        def grown(kept: Tensor) -> Tensor:
            larger = kept.new_zeros(rows, *self._shape)
            larger[: len(kept)] = kept
            return larger

        self._layers = [(grown(keys), grown(values)) for keys, values in self._layers]


class RowCache:
    """One row of a `RaggedCache` with the interface of the model's own cache, to read a prompt."""

    length = 0

    def __init__(self, cache: RaggedCache, row: int) -> None:
        self._cache = cache
        self.row = row
        self.dtype = cache.dtype
        self.capacity = cache._shape[1]

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store the keys and values of one layer, (1, kv_heads, T, head_dim)."""
        keys, values = keys.to(self.dtype), values.to(self.dtype)
        self._cache.fill(self.row, layer, keys, values)
        return keys, values

    def advance(self, tokens: int) -> None:
        """Set the length of the row after all layers have stored the tokens."""
        self._cache._set_length(self.row, tokens)


class RaggedDecoder:
    """Decodes sequences that join and leave between steps; use it in evaluation mode.

    A context longer than `block_size` is truncated to its last half block, as in `DecodingContext`.

    Args:
        model: The model.

    Attributes:
        rows: The decoded sequences, in the order of the rows of all tensors.
    """

    def __init__(self, model: GPT) -> None:
        self._model = model
        self._block = model.block_size
        self._kept = kept_tokens(self._block)
        self.rows: list[Hashable] = []
        # Last half block of each row, which is read again when the block is full.
        self._newest: list[list[int]] = []
        device = model.token_embedding.weight.device
        with torch.inference_mode():
            self._cache = RaggedCache(model)
            self._vectors = model.positions(0, self._block)
            self._rotation = (
                rotation(model.config, 0, self._block, device=device, dtype=self._cache.dtype)
                if isinstance(model.positions, RotaryPositions)
                else None
            )

    @torch.inference_mode()
    def add(
        self, sequences: Sequence[Hashable], prompt: Sequence[int], *, max_new_tokens: int
    ) -> Tensor:
        """Add sequences with a common prompt as last rows.

        Args:
            sequences: Names of the new rows, each unique.
            prompt: At least one token; of a longer one the last `block_size` are used.
            max_new_tokens: Not used: every row has room for a whole context.

        Returns:
            Logits of the next token, float32 (len(sequences), vocab_size).
        """
        opening = list(prompt[-self._block :])
        first = self._cache.append_row()
        logits = self._read(opening, first)
        for _ in sequences[1:]:
            self._cache.copy_row(first.row)
        self.rows += sequences
        self._newest += [opening[-self._kept :] for _ in sequences]
        return logits.expand(len(sequences), -1)

    @torch.inference_mode()
    def step(self, tokens: Tensor) -> Tensor:
        """Append one token to each row, int64 (rows,); logits, float32 (rows, vocab_size)."""
        full = []
        for row, token in enumerate(tokens.tolist()):
            newest = self._newest[row] = [*self._newest[row], token][-self._kept :]
            if self._cache.lengths[row] == self._block:
                # Its token is read below with the truncated context.
                self._cache.rewrite_row(row)
                full.append((row, newest))
        logits = self._next_logits(tokens)
        for row, newest in full:
            logits[row] = self._read(newest, self._cache.rewrite_row(row))[0]
        return logits

    @torch.inference_mode()
    def remove(self, sequence: Hashable) -> None:
        """Remove a sequence; the last row takes its place."""
        row = self.rows.index(sequence)
        self._cache.remove_row(row)
        self.rows[row], self._newest[row] = self.rows[-1], self._newest[-1]
        self.rows.pop()
        self._newest.pop()

    def _read(self, tokens: Sequence[int], row: RowCache) -> Tensor:
        read = torch.tensor([tokens], device=self._model.device)
        return self._model.next_logits(read, cast("Any", row))

    def _next_logits(self, tokens: Tensor) -> Tensor:
        model, cache = self._model, self._cache
        positions = cache.positions
        x: Tensor = model.token_embedding(tokens.unsqueeze(1))
        if self._vectors is not None:
            x = x + self._vectors[positions].unsqueeze(1)
        context = AttentionContext(
            mask=self._mask(positions, cache.dtype),
            causal=False,
            fused=True,
            transform=self._transform(positions),
        )
        for block in model.blocks:
            x = block(x, context, cache)
        cache.advance()
        if model.final_norm is not None:
            x = model.final_norm(x)
        return model.logits(x[:, -1]).float()

    def _transform(self, positions: Tensor) -> Any:
        if self._rotation is None:
            return None
        cos, sin = (table[positions].unsqueeze(1) for table in self._rotation)
        return functools.partial(rotate, rotation=(cos, sin))

    def _mask(self, positions: Tensor, dtype: torch.dtype) -> Tensor | None:
        """Added to the scores, (rows, 1 or n_head, 1, longest row); None if not needed."""
        config = self._model.config
        lengths = self._cache.lengths
        longest = max(lengths) + 1
        window = config.attention_window
        has_bias = isinstance(self._model.positions, AlibiPositions)
        is_windowed = window is not None and window < longest
        if not has_bias and not is_windowed and min(lengths) + 1 == longest:
            return None
        keys = torch.arange(longest, device=positions.device)
        hidden = keys > positions.unsqueeze(1)
        if window is not None:
            hidden |= keys <= positions.unsqueeze(1) - window
        if has_bias:
            bias = alibi_bias(config.n_head, positions, keys, dtype).transpose(0, 1).unsqueeze(2)
        else:
            bias = torch.zeros(1, 1, 1, 1, device=positions.device, dtype=dtype)
        return bias.masked_fill(hidden[:, None, None], float("-inf"))
