"""The weights of our transformer, layer by layer, in the parts that other formats have."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from transformer_playground.config.model import ModelConfig
from transformer_playground.model.gpt import GPT, Block


class Affine(NamedTuple):
    """Weight and bias of a linear layer (outputs, inputs) or a norm (channels)."""

    weight: Tensor
    bias: Tensor | None = None


class LayerWeights(NamedTuple):
    """Weights of one block.

    Attributes:
        query: (n_head * head_dim, n_embd); channel pairs of rope are (i, i + head_dim / 2).
        key: (kv_heads * head_dim, n_embd).
        value: (kv_heads * head_dim, n_embd).
        mlp_norm: The shared norm of a parallel block; a norm of ones without an MLP.
        up: Without an MLP, zeros of one hidden channel, as `down`.
        gate: None without a gated activation.
    """

    attention_norm: Affine
    query: Affine
    key: Affine
    value: Affine
    output: Affine
    mlp_norm: Affine
    up: Affine
    gate: Affine | None
    down: Affine


def layer_weights(model: GPT, *, repeat_heads: bool = False) -> list[LayerWeights]:
    """The weights of all blocks.

    Args:
        model: A pre-norm model.
        repeat_heads: Repeat keys and values, so that there is one head of each per query head.
    """
    return [_layer(block, model.config, repeat_heads) for block in model.blocks]  # type: ignore[arg-type]


def _layer(block: Block, config: ModelConfig, repeat_heads: bool) -> LayerWeights:
    sizes = [count * config.head_dim for count in (config.n_head, config.kv_heads, config.kv_heads)]
    query, key, value = _split(_affine(block.attention.qkv), sizes)
    if repeat_heads:
        key, value = (_repeated(part, config) for part in (key, value))
    attention_norm = _affine(block.attention_norm)
    if block.mlp is None:
        return LayerWeights(
            attention_norm,
            query,
            key,
            value,
            _affine(block.attention.output),
            Affine(torch.ones_like(attention_norm.weight)),
            Affine(torch.zeros(1, config.n_embd)),
            Affine(torch.zeros(1, config.n_embd)),
            Affine(torch.zeros(config.n_embd, 1)),
        )
    return LayerWeights(
        attention_norm,
        query,
        key,
        value,
        _affine(block.attention.output),
        attention_norm if block.mlp_norm is None else _affine(block.mlp_norm),
        _affine(block.mlp.up),
        None if block.mlp.gate is None else _affine(block.mlp.gate),
        _affine(block.mlp.down),
    )


def _affine(layer: nn.Module) -> Affine:
    bias = getattr(layer, "bias", None)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return Affine(weight.detach(), None if bias is None else bias.detach())


def _split(both: Affine, sizes: list[int]) -> list[Affine]:
    weights = torch.split(both.weight, sizes)
    biases = [None] * len(sizes) if both.bias is None else torch.split(both.bias, sizes)
    return [Affine(weight, bias) for weight, bias in zip(weights, biases, strict=True)]


def _repeated(part: Affine, config: ModelConfig) -> Affine:
    group = config.n_head // config.kv_heads

    def repeat(rows: Tensor) -> Tensor:
        heads = rows.reshape(config.kv_heads, config.head_dim, *rows.shape[1:])
        return heads.repeat_interleave(group, dim=0).flatten(0, 1)

    return Affine(repeat(part.weight), None if part.bias is None else repeat(part.bias))


def position_table(model: GPT) -> Tensor:
    """Vectors (block_size, n_embd) added to the embeddings; zeros for other encodings."""
    config = model.config
    with torch.no_grad():
        vectors = model.positions(0, config.block_size)
    return torch.zeros(config.block_size, config.n_embd) if vectors is None else vectors.clone()
