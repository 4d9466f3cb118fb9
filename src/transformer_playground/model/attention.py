"""Causal self-attention with grouped queries, sliding window and key-value cache."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from transformer_playground.config.model import ModelConfig
from transformer_playground.model.kv_cache import KVCache
from transformer_playground.model.layers import linear
from transformer_playground.model.positions import Positions

# With more keys, the (heads, T, T) score matrix needs too much memory.
_PLAIN_CPU_KEYS = 512


@dataclass(frozen=True)
class AttentionContext:
    """Attention mask and position transform shared by all layers of a forward pass.

    Attributes:
        mask: Added to the scaled scores, (1 or n_head, T, L); None if not needed.
        causal: The fused kernel applies the causal mask itself.
        fused: Use the fused kernel instead of two matrix products.
        transform: Transform of queries and keys by the positional encoding, if any.
    """

    mask: Tensor | None
    causal: bool
    fused: bool
    transform: Callable[[Tensor], Tensor] | None


def build_attention_context(
    config: ModelConfig,
    positions: Positions,
    start: int,
    end: int,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> AttentionContext:
    """The context of queries at positions `start` to `end - 1` and keys at 0 to `end - 1`."""
    transform = positions.head_transform(start, end, device=device, dtype=dtype)
    bias = positions.score_bias(start, end, device=device, dtype=dtype)
    fused = _prefers_fused(device, dtype, queries=end - start, keys=end)
    windowed = config.attention_window is not None and config.attention_window < end
    if bias is None and not windowed:
        if end - start == 1:
            return AttentionContext(mask=None, causal=False, fused=fused, transform=transform)
        if fused and start == 0:
            return AttentionContext(mask=None, causal=True, fused=True, transform=transform)
    if bias is None:
        bias = torch.zeros(1, 1, 1, device=device, dtype=dtype)
    mask = bias.masked_fill(_hidden_keys(config, start, end, device), float("-inf"))
    return AttentionContext(mask=mask, causal=False, fused=fused, transform=transform)


def _prefers_fused(device: torch.device, dtype: torch.dtype, *, queries: int, keys: int) -> bool:
    """Whether torch's fused kernel is faster than two matrix products.

    On accelerators it is. On a CPU, forward and backward of short contexts with matrix products are
    equally fast in float32 and two to four times as fast in bfloat16; a single float32 query, as in
    sampling, is faster with the fused kernel.
    """
    if device.type != "cpu" or keys > _PLAIN_CPU_KEYS:
        return True
    return queries == 1 and dtype == torch.float32


def _hidden_keys(config: ModelConfig, start: int, end: int, device: torch.device) -> Tensor:
    """Boolean mask of keys hidden from each query, (T, L)."""
    queries = torch.arange(start, end, device=device).unsqueeze(1)
    keys = torch.arange(end, device=device)
    hidden = keys > queries
    if config.attention_window is not None:
        # Sliding window (Child et al. 2019; Beltagy et al. 2020, "Longformer"; Mistral 7B).
        hidden |= keys <= queries - config.attention_window
    return hidden


class Attention(nn.Module):
    """Multi-head (Vaswani et al. 2017), grouped-query or multi-query attention.

    `n_kv_head` < `n_head` is grouped-query attention (Ainslie et al. 2023), 1 is multi-query
    attention (Shazeer 2019). The rows of `qkv` are all queries, then keys, then values.

    `qk_norm` scales queries and keys of each head to unit root mean square, without a learned gain,
    before the positional encoding (Henry et al. 2020, "Query-Key Normalization"; as in nanochat).
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.n_head, self.kv_heads, self.head_dim = config.n_head, config.kv_heads, config.head_dim
        self.dropout = config.dropout
        self.qk_norm_eps = config.norm_eps if config.qk_norm else None
        heads = config.n_head + 2 * config.kv_heads
        self.qkv = linear(config.n_embd, heads * config.head_dim, bias=config.bias)
        self.output = linear(config.n_embd, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor, context: AttentionContext, cache: KVCache | None = None) -> Tensor:
        """(B, T, n_embd) to (B, T, n_embd); with a cache, T tokens after the cached ones."""
        batch, length, width = x.shape
        queries, keys, values = self._heads(x, context)
        if cache is not None:
            keys, values = cache.write(self.layer, keys, values)
            queries = queries.to(cache.dtype)
        dropout = self.dropout if self.training else 0.0
        attend = attend_fused if context.fused else attend_plain
        mixed = attend(queries, keys, values, context, dropout)
        mixed = mixed.transpose(1, 2).reshape(batch, length, width).to(x.dtype)
        combined: Tensor = self.output(mixed)
        return combined

    def weights(self, x: Tensor, context: AttentionContext) -> Tensor:
        """Attention weights (B, n_head, T, L) that `forward` mixes the values with."""
        queries, keys, _ = self._heads(x, context)
        return attention_weights(queries, keys, context)

    def _heads(self, x: Tensor, context: AttentionContext) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (B, n_head, T, head_dim); keys and values (B, kv_heads, T, head_dim)."""
        batch, length, _ = x.shape
        heads = self.qkv(x).view(batch, length, -1, self.head_dim)
        sizes = (self.n_head, self.kv_heads, self.kv_heads)
        if self.qk_norm_eps is None and context.transform is None:
            queries, keys, values = heads.split_with_sizes(sizes, dim=2)
        else:
            # Queries and keys are transformed together.
            both, values = heads.split_with_sizes((sizes[0] + sizes[1], sizes[2]), dim=2)
            if self.qk_norm_eps is not None:
                both = functional.rms_norm(both, (self.head_dim,), eps=self.qk_norm_eps)
            if context.transform is not None:
                both = context.transform(both)
            queries, keys = both.split_with_sizes(sizes[:2], dim=2)
        return queries.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)


def attention_weights(queries: Tensor, keys: Tensor, context: AttentionContext) -> Tensor:
    """Softmax of the masked scores, (B, n_head, T, L), in either way of computing attention.

    Queries (B, n_head, T, head_dim), keys (B, kv_heads, L, head_dim).
    """
    keys = keys.repeat_interleave(queries.shape[1] // keys.shape[1], dim=1)
    scores = queries @ keys.transpose(2, 3) * queries.shape[-1] ** -0.5
    if context.mask is not None:
        scores = scores + context.mask
    elif context.causal:
        length = scores.shape[-1]
        hidden = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(hidden, float("-inf"))
    weights: Tensor = scores.softmax(dim=-1)
    return weights


def attend_plain(
    queries: Tensor, keys: Tensor, values: Tensor, context: AttentionContext, dropout: float
) -> Tensor:
    """Attention as two matrix products and a masked softmax.

    Queries (B, n_head, T, head_dim), keys and values (B, kv_heads, L, head_dim) give
    (B, n_head, T, head_dim); `dropout` applies to the attention weights.
    """
    batch, n_head, length, channels = queries.shape
    kv_heads = keys.shape[1]
    # The query heads of a group are stacked, so that shared keys need no copies.
    grouped = queries.reshape(batch * kv_heads, -1, channels)
    transposed = keys.reshape(batch * kv_heads, -1, channels).transpose(1, 2)
    scale = channels**-0.5
    if context.mask is None:
        scores = torch.bmm(grouped * scale, transposed)
    else:
        mask = _expand_mask(context.mask, batch, kv_heads, n_head // kv_heads)
        scores = torch.baddbmm(mask, grouped, transposed, alpha=scale)
    weights = scores.softmax(dim=-1)
    if dropout:
        weights = functional.dropout(weights, dropout)
    mixed = torch.bmm(weights, values.reshape(batch * kv_heads, -1, channels))
    return mixed.view(batch, n_head, length, channels)


def _expand_mask(mask: Tensor, batch: int, kv_heads: int, group: int) -> Tensor:
    """Expand a mask (1 or n_head, T, L) so that it broadcasts to (B * kv_heads, group * T, L)."""
    if mask.shape[0] == 1:
        return mask if group == 1 else mask.repeat(1, group, 1)
    return mask.view(kv_heads, group * mask.shape[1], -1).repeat(batch, 1, 1)


def attend_fused(
    queries: Tensor, keys: Tensor, values: Tensor, context: AttentionContext, dropout: float
) -> Tensor:
    """`attend_plain` with torch's fused kernel (Dao et al. 2022, "FlashAttention")."""
    group = queries.shape[1] // keys.shape[1]
    shares_keys = group > 1 and kernel_shares_keys(
        queries.device, queries.dtype, masked=context.mask is not None
    )
    if group > 1 and not shares_keys:
        keys = keys.repeat_interleave(group, dim=1)
        values = values.repeat_interleave(group, dim=1)
    return functional.scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=context.mask,
        dropout_p=dropout,
        is_causal=context.causal,
        enable_gqa=shares_keys,
    )


def kernel_shares_keys(device: torch.device, dtype: torch.dtype, *, masked: bool) -> bool:
    """Whether the fused kernel reads one copy of the keys for a group of query heads.

    That of the CPU does. On CUDA only flash attention does, which takes half precision and no mask;
    for anything else torch would fall back to a slow kernel if asked to share. Elsewhere unknown.
    """
    if device.type == "cuda":
        return not masked and dtype in (torch.bfloat16, torch.float16)
    return device.type == "cpu"
