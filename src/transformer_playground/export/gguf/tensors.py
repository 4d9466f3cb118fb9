"""The tensors of a model of ours under llama.cpp's names and conventions.

Scales are powers of two where possible, so that scaled weights are rounded like the original ones.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from transformer_playground.config.model import ModelConfig
from transformer_playground.export.gguf.architectures import Architecture
from transformer_playground.export.weights import (
    Affine,
    LayerWeights,
    layer_weights,
    position_table,
)
from transformer_playground.model.gpt import GPT

NamedTensor = tuple[str, Tensor]

STEEPNESS = 128.0
"""Factor c of steep activations: relu(x) is gelu(c x) / c up to 0.17 / c. The square of a larger
one would overflow float16."""

# A score whose exponential is zero beside any other.
_NO_SINK = -1e30


def residual_scale(config: ModelConfig, architecture: Architecture) -> float:
    """Factor of the residual stream, which absorbs that of steep activations.

    Norms undo it, with an epsilon multiplied by its square. Weights divided by it instead would be
    too small for float16.
    """
    return STEEPNESS if architecture.is_steep(config) else 1.0


def gpt_tensors(model: GPT, architecture: Architecture) -> Iterator[NamedTensor]:
    """All tensors of the model, float32."""
    config = model.config
    with torch.no_grad():
        yield from _embeddings(model, architecture)
        for index, layer in enumerate(layer_weights(model)):
            parts = [*_attention(layer, config, architecture), *_mlp(layer, config, architecture)]
            for name, tensor in parts:
                yield f"blk.{index}.{name}", tensor
        yield from _head(model, architecture)


def _embeddings(model: GPT, architecture: Architecture) -> Iterator[NamedTensor]:
    scale = residual_scale(model.config, architecture)
    table = scale * model.token_embedding.weight
    yield "token_embd.weight", table / _table_scale(model.config, architecture)
    if architecture.table:
        yield "position_embd.weight", scale * position_table(model)


def _table_scale(config: ModelConfig, architecture: Architecture) -> float:
    return math.sqrt(config.n_embd) if architecture.scaled_table else 1.0


def _head(model: GPT, architecture: Architecture) -> Iterator[NamedTensor]:
    config, norm = model.config, model.final_norm
    assert norm is not None
    is_shared = config.tie_embeddings and not architecture.own_head
    # The head is the scaled table then.
    scale = residual_scale(config, architecture) / _table_scale(config, architecture)
    factor = 1 / scale if is_shared else 1.0
    own = Affine(_weight(norm) * factor, _bias(norm, factor))
    yield from _norm("output_norm", own, architecture)
    if not is_shared:
        yield "output.weight", (model.token_embedding if model.head is None else model.head).weight


def _weight(layer: nn.Module) -> Tensor:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight


def _bias(layer: nn.Module, factor: float) -> Tensor | None:
    bias = getattr(layer, "bias", None)
    return None if bias is None else bias * factor


def _norm(name: str, norm: Affine, architecture: Architecture) -> Iterator[NamedTensor]:
    yield f"{name}.weight", norm.weight
    if architecture.norm_bias:
        yield f"{name}.bias", torch.zeros_like(norm.weight) if norm.bias is None else norm.bias


def _attention(
    layer: LayerWeights, config: ModelConfig, architecture: Architecture
) -> Iterator[NamedTensor]:
    yield from _norm("attn_norm", layer.attention_norm, architecture)
    scale = residual_scale(config, architecture)
    # The norm of queries and keys has the same epsilon as those of the residual stream.
    factor = scale if architecture.qk_norm else 1.0
    query_factor = math.sqrt(config.head_dim) if architecture.divides_by_head_dim else factor
    named = {
        "attn_q": _rotated(_scaled(layer.query, query_factor), config, architecture),
        "attn_k": _rotated(_scaled(layer.key, factor), config, architecture),
        "attn_v": layer.value,
    }
    if architecture.fused:
        parts = [
            torch.cat([tensor for tensor in kind if tensor is not None])
            for kind in zip(*named.values(), strict=True)
            if kind[0] is not None
        ]
        named = {"attn_qkv": Affine(*parts)}
    for name, part in named.items():
        yield from _linear(name, part, architecture)
    if architecture.qk_norm:
        for letter in "qk":
            yield f"attn_{letter}_norm.weight", torch.ones(config.head_dim)
    if architecture.windows:
        yield "attn_sinks.weight", torch.full((config.n_head,), _NO_SINK)
    yield from _linear("attn_output", _scaled(layer.output, scale), architecture)


def _scaled(part: Affine, factor: float) -> Affine:
    return Affine(part.weight * factor, None if part.bias is None else part.bias * factor)


def _rotated(part: Affine, config: ModelConfig, architecture: Architecture) -> Affine:
    if not architecture.pairs:
        return part
    tensors = (None if one is None else pair_channels(one, config.head_dim) for one in part)
    return Affine(*tensors)  # type: ignore[arg-type]


def pair_channels(rows: Tensor, head_dim: int) -> Tensor:
    """Rows of a query or key projection, ordered so that rotary pairs are neighbours.

    Args:
        rows: (heads * head_dim, ...), with the pairs (i, i + head_dim / 2) in each head.
        head_dim: Channels of a head.

    Returns:
        The same rows, with the pairs (2i, 2i + 1).
    """
    halves = rows.reshape(-1, 2, head_dim // 2, *rows.shape[1:])
    return halves.transpose(1, 2).reshape(rows.shape)


def _linear(name: str, part: Affine, architecture: Architecture) -> Iterator[NamedTensor]:
    yield f"{name}.weight", part.weight
    if part.bias is not None:
        yield f"{name}.bias", part.bias
    elif architecture.biases == "required":
        yield f"{name}.bias", torch.zeros(part.weight.shape[0])


def _mlp(
    layer: LayerWeights, config: ModelConfig, architecture: Architecture
) -> Iterator[NamedTensor]:
    is_parallel = config.parallel_residual and config.mlp_enabled
    if not is_parallel or architecture.second_norm:
        yield from _norm("ffn_norm", layer.mlp_norm, architecture)
    up, gate = _written_mlp(layer, config, architecture)
    if gate is not None:
        yield from _linear("ffn_gate", gate, architecture)
    yield from _linear("ffn_up", up, architecture)
    # The output of a steep activation has the factor of the residual stream already.
    scale = residual_scale(config, architecture)
    bias = None if layer.down.bias is None else scale * layer.down.bias
    yield from _linear("ffn_down", Affine(layer.down.weight, bias), architecture)


def _written_mlp(
    layer: LayerWeights, config: ModelConfig, architecture: Architecture
) -> tuple[Affine, Affine | None]:
    """The matrix up, and the gate if there is one."""
    up = layer.up
    match architecture.mlp(config):
        case "plain":
            return up, None
        case "relu":
            return _scaled(up, STEEPNESS), None
        case "gated":
            return up, up if layer.gate is None else layer.gate
        case "gated_relu2":
            return up, _scaled(up, STEEPNESS)
        case "gated_silu":
            return _ones(up), up
        case "gated_relu":
            return _ones(up), _scaled(up, STEEPNESS)


def _ones(part: Affine) -> Affine:
    """A layer whose outputs are 1."""
    return Affine(torch.zeros_like(part.weight), torch.ones(part.weight.shape[0]))
