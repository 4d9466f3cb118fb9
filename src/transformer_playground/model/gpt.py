"""Decoder-only transformer (Radford et al. 2019, GPT-2) with all settings of `[model]`."""

import math
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from transformer_playground.config.model import ModelConfig
from transformer_playground.model.attention import (
    Attention,
    AttentionContext,
    build_attention_context,
)
from transformer_playground.model.base import LanguageModel
from transformer_playground.model.decoding import decoding_copy, linear_function
from transformer_playground.model.kv_cache import KVCache
from transformer_playground.model.layers import MLP, build_norm, embedding, linear
from transformer_playground.model.positions import POSITIONS, embedding_std
from transformer_playground.model.quantization import Int8Linear, quantize_linear_layers


class Block(nn.Module):
    """Attention and, if enabled, an MLP, each added to the residual stream.

    - pre-norm: `x + branch(norm(x))` (Xiong et al. 2020; GPT-2).
    - post-norm: `norm(x + branch(x))`, as in the original transformer (Vaswani et al. 2017).
    - parallel: `x + attention(norm(x)) + mlp(norm(x))` with one shared norm (Wang & Komatsuzaki
      2021, GPT-J).
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.post_norm = config.norm_position == "post"
        self.attention_norm = build_norm(config)
        self.attention = Attention(config, layer)
        self.mlp = MLP(config) if config.mlp_enabled else None
        own_norm = config.mlp_enabled and not config.parallel_residual
        self.mlp_norm = build_norm(config) if own_norm else None
        self.dropout = config.dropout

    def forward(self, x: Tensor, context: AttentionContext, cache: KVCache | None = None) -> Tensor:
        """(B, T, n_embd) to (B, T, n_embd)."""
        if self.post_norm:
            return self._post_norm(x, context, cache)
        normed: Tensor = self.attention_norm(x)
        attended = x + self._dropped(self.attention(normed, context, cache))
        if self.mlp is None:
            return attended
        if self.mlp_norm is not None:
            normed = self.mlp_norm(attended)
        return attended + self._dropped(self.mlp(normed))

    def _post_norm(self, x: Tensor, context: AttentionContext, cache: KVCache | None) -> Tensor:
        attended: Tensor = self.attention_norm(x + self._dropped(self.attention(x, context, cache)))
        if self.mlp is None or self.mlp_norm is None:
            return attended
        combined: Tensor = self.mlp_norm(attended + self._dropped(self.mlp(attended)))
        return combined

    def _dropped(self, branch: Tensor) -> Tensor:
        if not (self.dropout and self.training):
            return branch
        return functional.dropout(branch, self.dropout)


class GPT(LanguageModel):
    """Embeddings, blocks, final norm (pre-norm only) and head.

    `vocab_size` includes padding; `generator` initialises the weights (default: seed 0).
    """

    def __init__(
        self, config: ModelConfig, vocab_size: int, *, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.block_size = config.block_size
        self.has_dropout = config.dropout > 0
        self.token_embedding = embedding(vocab_size, config.n_embd)
        self.positions = POSITIONS[config.positional_encoding](config)
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.final_norm = build_norm(config) if config.norm_position == "pre" else None
        # A tied head (Press & Wolf 2017) is the embedding table itself.
        self.head: nn.Linear | Int8Linear | None = (
            None if config.tie_embeddings else linear(config.n_embd, vocab_size, bias=False)
        )
        initialise(self, config, generator)

    def forward(self, tokens: Tensor, cache: KVCache | None = None) -> Tensor:
        """Logits (B, T, vocab_size) in the dtype of the weights for tokens (B, T) int64.

        With a cache, `tokens` follow the cached ones and are added to it.

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
        vectors = self.positions(start, end)
        if vectors is not None:
            x = x + vectors
        x = self.dropout(x)
        context = build_attention_context(
            self.config,
            self.positions,
            start,
            end,
            device=x.device,
            dtype=x.dtype if cache is None else cache.dtype,
        )
        for block in self.blocks:
            x = block(x, context, cache)
        if cache is not None:
            cache.advance(end - start)
        if self.final_norm is not None:
            x = self.final_norm(x)
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """The head: (..., n_embd) to (..., vocab_size)."""
        logits: Tensor
        if self.head is None:
            logits = functional.linear(hidden, self.token_embedding.weight)
        else:
            logits = self.head(hidden)
        if cap := self.config.logit_softcap:
            # Gemma Team 2024, "Gemma 2".
            logits = cap * torch.tanh(logits / cap)
        return logits

    def next_logits(self, tokens: Tensor, cache: KVCache) -> Tensor:
        """Logits after the last token, float32 (B, vocab_size)."""
        return self.logits(self.hidden(tokens, cache)[:, -1]).float()

    def new_cache(self, batch_size: int, capacity: int) -> KVCache:
        """An empty cache for `batch_size` sequences of at most `capacity` tokens."""
        weight = self.token_embedding.weight
        return KVCache(
            self.config,
            batch_size=batch_size,
            capacity=capacity,
            device=weight.device,
            dtype=self._cache_dtype,
        )

    def for_decoding(self) -> Self:
        """A copy in evaluation mode for decoding, see `decoding_copy`."""
        model = decoding_copy(self)
        if self.head is None:
            # Not an assignment, which would want a module.
            vars(model)["head"] = linear_function(self.token_embedding)
        return model

    def quantize(self) -> None:
        """Make all linear layers int8, the head included, which can then not be trained."""
        quantize_linear_layers(self)
        if self.head is None:
            self.head = Int8Linear(self.token_embedding.weight)

    def cache_bytes(self, capacity: int) -> int:
        """Size in bytes of the cache of one sequence of `capacity` tokens."""
        config = self.config
        values = 2 * config.n_layer * config.kv_heads * config.head_dim * capacity
        return values * self._cache_dtype.itemsize

    @property
    def _cache_dtype(self) -> torch.dtype:
        weight = self.token_embedding.weight
        # On a CPU, attention of one query is three times as fast in float32 as in bfloat16.
        return torch.float32 if weight.device.type == "cpu" else weight.dtype

    def args(self) -> dict[str, Any]:
        """The `[model]` table as JSON values, with the actual vocabulary size."""
        return self.config.model_dump(mode="json") | {"vocab_size": self.vocab_size}

    def layers(self) -> list[nn.Module]:
        """The blocks, in order."""
        return list(self.blocks)

    def hidden_matrices(self) -> set[str]:
        """Names of the matrices inside the blocks, which Muon optimizes."""
        return {
            name
            for name, parameter in self.named_parameters()
            if name.startswith("blocks.") and parameter.dim() == 2
        }


@torch.no_grad()
def initialise(
    model: nn.Module, config: ModelConfig, generator: torch.Generator | None = None
) -> None:
    """Initialise all parameters in a fixed order.

    - Norm gains are 1, biases 0.
    - Matrices inside the blocks are N(0, init_std). Branch outputs are N(0, s / sqrt(branches)),
      so that the variance of the residual stream does not grow with depth (Radford et al. 2019,
      GPT-2), or 0 with `zero_init_output` (Zhang et al. 2019, "Fixup"). s is the standard
      deviation of the embeddings, so that the branches do not dominate them.
    - Embeddings and head are small enough that untrained logits are near 0 at any width: the
      untrained loss is ln(vocab_size).

    `generator` (CPU) defaults to seed 0; the global generator is not used.
    """
    generator = generator or torch.Generator().manual_seed(0)
    outputs = _branch_outputs(model)
    output_std = 0.0 if config.zero_init_output else embedding_std(config) / math.sqrt(len(outputs))
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            continue
        if name in ("token_embedding.weight", "positions.weight"):
            std = embedding_std(config)
        elif name == "head.weight":
            # Of an untied head: the logits' standard deviation is at most 1/4.
            std = min(config.init_std, 0.25 / math.sqrt(config.n_embd))
        else:
            std = output_std if id(parameter) in outputs else config.init_std
        parameter.normal_(0.0, std, generator=generator)


def _branch_outputs(model: nn.Module) -> set[int]:
    """Ids of the weight tensors that write into the residual stream."""
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    layers = [block.attention.output for block in blocks]
    layers += [block.mlp.down for block in blocks if block.mlp is not None]
    return {id(layer.weight) for layer in layers}
