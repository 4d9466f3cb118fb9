"""`[model]`: the transformer architecture."""

import math
from typing import Literal, Self

from pydantic import model_validator

from transformer_playground.config.base import Table, conflict, setting

PositionalEncoding = Literal["learned", "sinusoidal", "rope", "alibi", "none"]
Norm = Literal["layernorm", "rmsnorm"]
NormPosition = Literal["pre", "post"]
Activation = Literal["gelu", "gelu_tanh", "relu", "relu2", "silu", "swiglu", "geglu"]

GATED: frozenset[Activation] = frozenset({"swiglu", "geglu"})
"""Gated activations, which have an additional gate matrix."""


MIN_SCORED = 4
"""Shortest context in tokens in which attention heads can be scored: two tokens, repeated."""


class ModelConfig(Table):
    """Architecture of the decoder-only transformer."""

    n_layer: int = setting(4, "Number of transformer blocks.", ge=1, le=1000)
    n_head: int = setting(4, "Number of query heads per attention layer.", ge=1)
    n_kv_head: int | None = setting(
        None,
        "Number of key/value heads: omitted = n_head (MHA), fewer = GQA, 1 = MQA.",
        ge=1,
    )
    n_embd: int = setting(128, "Embedding dimension.", ge=1, le=65_536)
    block_size: int = setting(64, "Maximum context length in tokens.", ge=1, le=16_777_216)
    vocab_size: int | None = setting(
        None, "Vocabulary size: omitted = that of the tokenizer, larger = padded.", ge=2
    )
    dropout: float = setting(
        0.0, "Dropout probability on embeddings, attention and residual branches.", ge=0, lt=1
    )
    bias: bool = setting(False, "Bias terms in linear layers and layer norms.")
    positional_encoding: PositionalEncoding = setting("learned", "Positional encoding.")
    rope_theta: float = setting(
        10_000.0, "Base of the rotary frequencies (positional_encoding = rope).", gt=0
    )
    norm: Norm = setting("layernorm", "Normalisation layer.")
    norm_position: NormPosition = setting(
        "pre", "Normalise the input of each branch (pre) or the sum after it (post)."
    )
    norm_eps: float = setting(1e-5, "Epsilon of the normalisation.", gt=0)
    activation: Activation = setting("gelu", "MLP activation; swiglu and geglu add a gate matrix.")
    mlp_enabled: bool = setting(True, "Include an MLP in each block.")
    mlp_ratio: float = setting(
        4.0, "MLP hidden size as a multiple of n_embd, also for gated activations.", gt=0
    )
    qk_norm: bool = setting(False, "RMS-normalise queries and keys per head.")
    attention_window: int | None = setting(
        None, "Sliding attention window in tokens; omitted = full attention.", ge=1
    )
    logit_softcap: float = setting(0.0, "Cap logits to (-cap, cap) with tanh; 0 = off.", ge=0)
    tie_embeddings: bool = setting(True, "Tie the output head to the token embedding.")
    parallel_residual: bool = setting(
        False, "Compute attention and MLP in parallel from the same input (pre-norm only)."
    )
    init_std: float = setting(
        0.02, "Standard deviation of the initial weights before depth scaling.", gt=0
    )
    zero_init_output: bool = setting(
        False, "Initialise the output projection of each branch to zero."
    )

    @property
    def kv_heads(self) -> int:
        """Number of key/value heads, with the default `n_head`."""
        return self.n_kv_head if self.n_kv_head is not None else self.n_head

    @property
    def head_dim(self) -> int:
        """Channels of one attention head."""
        return self.n_embd // self.n_head

    @property
    def mlp_hidden(self) -> int:
        """Hidden size of the MLP."""
        return max(1, round(self.mlp_ratio * self.n_embd))

    @property
    def position_table(self) -> tuple[int, ...]:
        """Shape of the learned position table; empty for other encodings."""
        return (self.block_size, self.n_embd) if self.positional_encoding == "learned" else ()

    def parameter_count(self, vocab_size: int) -> int:
        """Number of trainable parameters, in closed form without torch; tied ones count once.

        `vocab_size` includes padding.
        """
        width, bias = self.n_embd, int(self.bias)
        norm = width * (1 + bias) if self.norm == "layernorm" else width
        block = norm + sum(outputs * (inputs + bias) for outputs, inputs in self._block_matrices)
        if self.mlp_enabled and not self.parallel_residual:
            block += norm
        total = self.n_layer * block + vocab_size * width * (1 if self.tie_embeddings else 2)
        total += norm if self.norm_position == "pre" else 0
        return total + (math.prod(self.position_table) if self.position_table else 0)

    @property
    def hidden_parameter_count(self) -> int:
        """Number of weights in the matrices of all blocks."""
        return self.n_layer * sum(outputs * inputs for outputs, inputs in self._block_matrices)

    def flop_per_token(self, vocab_size: int, length: int) -> int:
        """Floating-point operations of forward and backward per token of a window.

        A multiplication and an addition for each weight of a matrix and each product of attention,
        which is counted without its mask; twice as many again in the backward pass.
        """
        attention = 2 * self.n_layer * self.n_embd * length
        weights = self.hidden_parameter_count + vocab_size * self.n_embd
        return 3 * 2 * (weights + attention)

    @property
    def _block_matrices(self) -> list[tuple[int, int]]:
        """Shapes (outputs, inputs) of the matrices of a block."""
        width, hidden = self.n_embd, self.mlp_hidden
        matrices = [((self.n_head + 2 * self.kv_heads) * self.head_dim, width), (width, width)]
        if self.mlp_enabled:
            widening = 2 if self.activation in GATED else 1
            matrices += [(widening * hidden, width), (width, hidden)]
        return matrices

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        if self.n_embd % self.n_head:
            raise conflict(
                f"n_embd = {self.n_embd} is not divisible by n_head = {self.n_head}; "
                "each head needs a whole number of channels",
                "model.n_embd",
                "model.n_head",
            )
        if self.n_head % self.kv_heads:
            raise conflict(
                f"n_head = {self.n_head} is not divisible by n_kv_head = {self.kv_heads}",
                "model.n_head",
                "model.n_kv_head",
            )
        if self.positional_encoding == "rope" and self.head_dim % 2:
            raise conflict(
                f"rope rotates pairs of channels, but a head has {self.head_dim} "
                "(n_embd / n_head); choose an even number",
                "model.positional_encoding",
                "model.n_embd",
                "model.n_head",
            )
        if self.parallel_residual and self.norm_position == "post":
            raise conflict(
                "parallel_residual needs norm_position = 'pre'",
                "model.parallel_residual",
                "model.norm_position",
            )
        if self.attention_window is not None and self.attention_window > self.block_size:
            raise conflict(
                f"attention_window = {self.attention_window} is larger than "
                f"block_size = {self.block_size}; omit it for full attention",
                "model.attention_window",
                "model.block_size",
            )
        return self
