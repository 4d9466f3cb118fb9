"""A decoder-only transformer for `transformers` (5 or newer), as Transformer Playground trains it.

Self-contained: it needs only torch and transformers. Load it with `trust_remote_code=True`.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache
from transformers.modeling_outputs import CausalLMOutputWithPast


class PlaygroundConfig(PreTrainedConfig):  # type: ignore[misc]
    """Settings of the architecture, under the names of the `[model]` table."""

    model_type = "transformer_playground"
    attribute_map = {  # noqa: RUF012 - as transformers declares it
        "hidden_size": "n_embd",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
        "max_position_embeddings": "block_size",
    }

    def __init__(
        self,
        *,
        vocab_size: int = 256,
        n_layer: int = 4,
        n_head: int = 4,
        n_kv_head: int | None = None,
        n_embd: int = 128,
        block_size: int = 64,
        bias: bool = False,
        positional_encoding: str = "learned",
        rope_theta: float = 10_000.0,
        norm: str = "layernorm",
        norm_position: str = "pre",
        norm_eps: float = 1e-5,
        activation: str = "gelu",
        mlp_enabled: bool = True,
        mlp_hidden: int = 512,
        qk_norm: bool = False,
        attention_window: int | None = None,
        logit_softcap: float = 0.0,
        parallel_residual: bool = False,
        alibi_slopes: list[float] | None = None,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.n_layer = n_layer
        self.n_head = n_head
        self.n_kv_head = n_kv_head or n_head
        self.n_embd = n_embd
        self.block_size = block_size
        self.bias = bias
        self.positional_encoding = positional_encoding
        self.rope_theta = rope_theta
        self.norm = norm
        self.norm_position = norm_position
        self.norm_eps = norm_eps
        self.activation = activation
        self.mlp_enabled = mlp_enabled
        self.mlp_hidden = mlp_hidden
        self.qk_norm = qk_norm
        self.attention_window = attention_window
        self.logit_softcap = logit_softcap
        self.parallel_residual = parallel_residual
        self.alibi_slopes = alibi_slopes
        super().__init__(**kwargs)


def _norm(config: PlaygroundConfig) -> nn.Module:
    if config.norm == "rmsnorm":
        return nn.RMSNorm(config.n_embd, eps=config.norm_eps)
    return nn.LayerNorm(config.n_embd, eps=config.norm_eps, bias=config.bias)


def _activate(name: str, x: Tensor) -> Tensor:
    match name:
        case "gelu" | "geglu":
            return functional.gelu(x)
        case "gelu_tanh":
            return functional.gelu(x, approximate="tanh")
        case "relu":
            return functional.relu(x)
        case "relu2":
            return functional.relu(x).square()
        case "silu" | "swiglu":
            return functional.silu(x)
    raise ValueError(f"unknown activation {name!r}")


class Attention(nn.Module):
    """Causal self-attention; the rows of `qkv` are all queries, then keys, then values."""

    def __init__(self, config: PlaygroundConfig, layer: int) -> None:
        super().__init__()
        self.config, self.layer = config, layer
        self.head_dim = config.n_embd // config.n_head
        heads = config.n_head + 2 * config.n_kv_head
        self.qkv = nn.Linear(config.n_embd, heads * self.head_dim, bias=config.bias)
        self.output = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)

    def forward(
        self, x: Tensor, mask: Tensor, rotation: tuple[Tensor, Tensor] | None, cache: Cache | None
    ) -> Tensor:
        """(B, T, n_embd) to (B, T, n_embd); `mask` (B, heads or 1, T, L) is added to the scores."""
        config = self.config
        batch, length, width = x.shape
        heads = self.qkv(x).view(batch, length, -1, self.head_dim).transpose(1, 2)
        sizes = [config.n_head, config.n_kv_head, config.n_kv_head]
        queries, keys, values = heads.split(sizes, dim=1)
        if config.qk_norm:
            shape = (self.head_dim,)
            queries = functional.rms_norm(queries, shape, eps=config.norm_eps)
            keys = functional.rms_norm(keys, shape, eps=config.norm_eps)
        if rotation is not None:
            queries, keys = _rotate(queries, rotation), _rotate(keys, rotation)
        if cache is not None:
            keys, values = cache.update(keys, values, self.layer)
        group = config.n_head // config.n_kv_head
        if group > 1:
            keys = keys.repeat_interleave(group, dim=1)
            values = values.repeat_interleave(group, dim=1)
        mixed = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        combined: Tensor = self.output(mixed.transpose(1, 2).reshape(batch, length, width))
        return combined


def _rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate channel pairs (i, i + head_dim / 2)."""
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


class MLP(nn.Module):
    """`down(activation(up(x)))`, or gated `down(activation(gate(x)) * up(x))`."""

    def __init__(self, config: PlaygroundConfig) -> None:
        super().__init__()
        self.activation = config.activation
        self.up = nn.Linear(config.n_embd, config.mlp_hidden, bias=config.bias)
        gated = config.activation in ("swiglu", "geglu")
        self.gate = nn.Linear(config.n_embd, config.mlp_hidden, bias=config.bias) if gated else None
        self.down = nn.Linear(config.mlp_hidden, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_embd) to (..., n_embd)."""
        if self.gate is None:
            inner = _activate(self.activation, self.up(x))
        else:
            inner = _activate(self.activation, self.gate(x)) * self.up(x)
        narrowed: Tensor = self.down(inner)
        return narrowed


class Block(nn.Module):
    """Attention and an optional MLP: pre-norm, post-norm or parallel."""

    def __init__(self, config: PlaygroundConfig, layer: int) -> None:
        super().__init__()
        self.is_post = config.norm_position == "post"
        self.attention_norm = _norm(config)
        self.attention = Attention(config, layer)
        self.mlp = MLP(config) if config.mlp_enabled else None
        own_norm = config.mlp_enabled and not config.parallel_residual
        self.mlp_norm = _norm(config) if own_norm else None

    def forward(self, x: Tensor, *context: Any) -> Tensor:
        """(B, T, n_embd) to (B, T, n_embd)."""
        if self.is_post:
            x = self.attention_norm(x + self.attention(x, *context))
            if self.mlp is not None and self.mlp_norm is not None:
                x = self.mlp_norm(x + self.mlp(x))
            return x
        normed = self.attention_norm(x)
        attended: Tensor = x + self.attention(normed, *context)
        if self.mlp is None:
            return attended
        if self.mlp_norm is not None:
            normed = self.mlp_norm(attended)
        combined: Tensor = attended + self.mlp(normed)
        return combined


class PlaygroundForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """The whole model. Positions are counted from `attention_mask`; `position_ids` is not used."""

    config_class = PlaygroundConfig
    base_model_prefix = ""
    _no_split_modules = ["Block"]  # noqa: RUF012 - as transformers declares it
    _tied_weights_keys = {"head.weight": "token_embedding.weight"}  # noqa: RUF012

    def __init__(self, config: PlaygroundConfig) -> None:
        super().__init__(config)
        self.token_embedding = nn.Embedding(config.vocab_size, config.n_embd)
        has_table = config.positional_encoding in ("learned", "sinusoidal")
        self.positions = nn.Embedding(config.block_size, config.n_embd) if has_table else None
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layer))
        self.final_norm = _norm(config) if config.norm_position == "pre" else None
        self.head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The token embedding."""
        return self.token_embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embedding."""
        self.token_embedding = value  # type: ignore[assignment]

    def get_output_embeddings(self) -> nn.Module:
        """The head."""
        return self.head

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the head."""
        self.head = new_embeddings  # type: ignore[assignment]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits (B, T, vocab_size) for tokens (B, T), and the loss if `labels` are given."""
        x = self.token_embedding(input_ids) if inputs_embeds is None else inputs_embeds
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        start = 0 if past_key_values is None else past_key_values.get_seq_length()
        batch, length = x.shape[:2]
        if attention_mask is None:
            attention_mask = torch.ones(batch, start + length, device=x.device)
        # Padding has no position of its own.
        places = attention_mask.long().cumsum(-1).sub(1).clamp(min=0)
        if self.positions is not None:
            x = x + self.positions(places[:, start:])
        mask = self._mask(attention_mask, places, start, x.dtype)
        rotation = self._rotation(places[:, start:], x.dtype)
        for block in self.blocks:
            x = block(x, mask, rotation, past_key_values)
        if self.final_norm is not None:
            x = self.final_norm(x)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.head(x[:, kept])
        if cap := self.config.logit_softcap:
            logits = cap * torch.tanh(logits / cap)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size, **kwargs)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)

    def _mask(
        self, attention_mask: Tensor, places: Tensor, start: int, dtype: torch.dtype
    ) -> Tensor:
        """What is added to the scores, (B, heads or 1, T, L): -inf for hidden keys, and ALiBi."""
        config = self.config
        total = places.shape[1]
        order = torch.arange(total, device=places.device)
        hidden = order[None, :] > order[start:, None]
        if config.attention_window is not None:
            hidden = hidden | (order[None, :] <= order[start:, None] - config.attention_window)
        # A query of padding sees itself: a softmax of nothing would be NaN.
        itself = order[None, :] == order[start:, None]
        hidden = hidden | ((attention_mask[:, None, :] == 0) & ~itself)
        if config.alibi_slopes is None:
            mask = torch.zeros(1, 1, 1, 1, device=places.device, dtype=dtype)
        else:
            distance = (places[:, None, :] - places[:, start:, None]).unsqueeze(1)
            slopes = torch.tensor(config.alibi_slopes, device=places.device)
            mask = (slopes[:, None, None] * distance).to(dtype)
        return mask.masked_fill(hidden.unsqueeze(1), float("-inf"))

    def _rotation(self, places: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
        """Cosines and sines of rotary positions, each (B, 1, T, head_dim / 2)."""
        config = self.config
        if config.positional_encoding != "rope":
            return None
        channels = config.n_embd // config.n_head
        steps = torch.arange(0, channels, 2, device=places.device, dtype=torch.float32) / channels
        angles = (places[..., None].float() * config.rope_theta**-steps).unsqueeze(1)
        return angles.cos().to(dtype), angles.sin().to(dtype)
