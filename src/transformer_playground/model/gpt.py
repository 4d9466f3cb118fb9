"""The decoder-only transformer (Radford et al. 2019, GPT-2), with every knob of `[model]`."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from transformer_playground.config.model import ModelConfig
from transformer_playground.model.attention import build_scope
from transformer_playground.model.block import Block
from transformer_playground.model.initialisation import initialise
from transformer_playground.model.interface import LanguageModel
from transformer_playground.model.kv_cache import KVCache
from transformer_playground.model.linear import embedding, linear
from transformer_playground.model.norms import build_norm
from transformer_playground.model.positions import build_added_positions


class GPT(LanguageModel):
    """Embeddings, blocks, final norm (pre-norm only: post-norm blocks end in one), head.

    What a setting switches off is not allocated.

    Args:
        config: The `[model]` table.
        vocab_size: Rows of the embedding table and of the head, padding included.
        generator: Source of the initial weights; None = one seeded with 0.
    """

    def __init__(
        self, config: ModelConfig, vocab_size: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.token_embedding = embedding(vocab_size, config.n_embd)
        self.positions = build_added_positions(config)
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.final_norm = build_norm(config) if config.norm_position == "pre" else None
        # A tied head (Press & Wolf 2017) is the embedding table itself.
        self.head = None if config.tie_embeddings else linear(config.n_embd, vocab_size, bias=False)
        initialise(self, config, generator)

    @property
    def block_size(self) -> int:
        """Longest context in tokens."""
        return self.config.block_size

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.token_embedding.weight.device

    @property
    def has_dropout(self) -> bool:
        """Whether a forward pass in training mode draws random numbers."""
        return self.config.dropout > 0

    def forward(self, tokens: Tensor, cache: KVCache | None = None) -> Tensor:
        """Score every possible next token at every position.

        Args:
            tokens: (B, T) int64, T at most `block_size`.
            cache: If given, `tokens` follow those it holds, and it holds them afterwards.

        Returns:
            Logits (B, T, vocab_size) in the format of the weights.

        Raises:
            ValueError: More tokens than `block_size` or the cache's capacity.
        """
        return self.logits(self.hidden(tokens, cache))

    def hidden(self, tokens: Tensor, cache: KVCache | None = None) -> Tensor:
        """`forward` up to the head: (B, T, n_embd)."""
        start = 0 if cache is None else cache.length
        end = start + tokens.shape[1]
        capacity = self.config.block_size if cache is None else cache.capacity
        if end > min(capacity, self.config.block_size):
            raise ValueError(f"{end} tokens do not fit into a context of {capacity}")
        x: Tensor = self.token_embedding(tokens)
        if self.positions is not None:
            x = x + self.positions(start, end)
        x = self.dropout(x)
        scope = build_scope(self.config, start, end, device=x.device, dtype=x.dtype)
        for block in self.blocks:
            x = block(x, scope, cache)
        if cache is not None:
            cache.advance(end - start)
        if self.final_norm is not None:
            x = self.final_norm(x)
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """The head: (..., n_embd) to (..., vocab_size)."""
        table = self.token_embedding if self.head is None else self.head
        logits = functional.linear(hidden, table.weight)
        if cap := self.config.logit_softcap:
            # Gemma Team 2024, "Gemma 2".
            logits = cap * torch.tanh(logits / cap)
        return logits

    def next_logits(self, tokens: Tensor, cache: KVCache) -> Tensor:
        """Logits of the token after the last one, float32 (B, vocab_size).

        Args:
            tokens: (B, T) int64; they follow those that `cache` holds.
            cache: It holds the tokens afterwards.
        """
        return self.logits(self.hidden(tokens, cache)[:, -1]).float()

    def new_cache(self, batch_size: int, capacity: int) -> KVCache:
        """An empty cache for `batch_size` sequences of at most `capacity` tokens."""
        weight = self.token_embedding.weight
        return KVCache(
            self.config,
            batch_size=batch_size,
            capacity=capacity,
            device=weight.device,
            dtype=weight.dtype,
        )

    def cache_bytes(self, capacity: int) -> int:
        """Bytes that the keys and values of one sequence of `capacity` tokens take."""
        config = self.config
        values = 2 * config.n_layer * config.kv_heads * config.head_dim * capacity
        return values * self.token_embedding.weight.element_size()

    def args(self) -> dict[str, Any]:
        """The `[model]` table as plain values, with the concrete vocabulary size."""
        return self.config.model_dump(mode="json") | {"vocab_size": self.vocab_size}

    def hidden_matrices(self) -> set[str]:
        """Names of the matrices inside the blocks, the ones that Muon is made for."""
        return {
            name
            for name, parameter in self.named_parameters()
            if name.startswith("blocks.") and parameter.dim() == 2
        }
