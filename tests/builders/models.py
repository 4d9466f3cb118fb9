"""Tiny real models, and the whole space of architectures to draw them from."""

from typing import Any, get_args

import torch
from hypothesis import strategies as st
from torch import Tensor

from transformer_playground.config.model import (
    Activation,
    ModelConfig,
    Norm,
    NormPosition,
    PositionalEncoding,
)
from transformer_playground.model.gpt import GPT

VOCAB_SIZE = 13


def tiny_config(**changes: Any) -> ModelConfig:
    """Two layers, four heads, 16 channels, a context of 12 tokens."""
    settings = {"n_layer": 2, "n_head": 4, "n_embd": 16, "block_size": 12} | changes
    return ModelConfig(**settings)


def tiny_model(vocab_size: int = VOCAB_SIZE, seed: int = 0, **changes: Any) -> GPT:
    """An untrained model in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    return GPT(tiny_config(**changes), vocab_size, generator=generator).eval()


def lively_model(
    vocab_size: int = VOCAB_SIZE,
    seed: int = 0,
    *,
    config: ModelConfig | None = None,
    **changes: Any,
) -> GPT:
    """A model whose every weight, biases and gains included, matters for its logits.

    An untrained one scores all tokens nearly alike, which would hide most mistakes.
    """
    model = GPT(config or tiny_config(**changes), vocab_size).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            centre = 1.0 if parameter.dim() < 2 else 0.0
            parameter.normal_(centre, 0.4, generator=generator)
    return model


def tokens_of(seed: int, batch: int, length: int, vocab_size: int = VOCAB_SIZE) -> Tensor:
    """Random tokens (batch, length)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(vocab_size, (batch, length), generator=generator)


@st.composite
def architectures(draw: st.DrawFn, *, block_size: int = 12) -> ModelConfig:
    """Any combination of the architecture's knobs, at tiny sizes."""
    n_head = draw(st.sampled_from([1, 2, 3, 4]))
    norm_position: NormPosition = draw(st.sampled_from(["pre", "post"]))
    return ModelConfig(
        n_layer=draw(st.integers(1, 3)),
        n_head=n_head,
        n_kv_head=draw(st.sampled_from([None, *(k for k in (1, 2, 4) if n_head % k == 0)])),
        n_embd=n_head * draw(st.sampled_from([4, 6])),
        block_size=block_size,
        bias=draw(st.booleans()),
        positional_encoding=draw(st.sampled_from(get_args(PositionalEncoding))),
        rope_theta=draw(st.sampled_from([100.0, 10_000.0])),
        norm=draw(st.sampled_from(get_args(Norm))),
        norm_position=norm_position,
        activation=draw(st.sampled_from(get_args(Activation))),
        mlp_enabled=draw(st.booleans()),
        mlp_ratio=draw(st.sampled_from([0.5, 2.7, 4.0])),
        qk_norm=draw(st.booleans()),
        attention_window=draw(st.sampled_from([None, 1, 2, 3, 5, block_size])),
        logit_softcap=draw(st.sampled_from([0.0, 15.0])),
        tie_embeddings=draw(st.booleans()),
        parallel_residual=norm_position == "pre" and draw(st.booleans()),
        zero_init_output=draw(st.booleans()),
    )
