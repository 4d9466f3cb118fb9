"""Elementary layers: normalisation by its name in the configuration, linear and embedding.

Weights of linear and embedding are allocated and left unset; `gpt.initialise` fills them.
"""

from collections.abc import Callable

import torch
from torch import nn

from transformer_playground.config.model import ModelConfig, Norm


def layer_norm(config: ModelConfig) -> nn.Module:
    """Centre and scale each token to unit variance (Ba et al. 2016, "Layer Normalization")."""
    return nn.LayerNorm(config.n_embd, eps=config.norm_eps, bias=config.bias)


def rms_norm(config: ModelConfig) -> nn.Module:
    """Scale to unit root mean square only (Zhang & Sennrich 2019); has no bias to switch on."""
    return nn.RMSNorm(config.n_embd, eps=config.norm_eps)


NORMS: dict[Norm, Callable[[ModelConfig], nn.Module]] = {
    "layernorm": layer_norm,
    "rmsnorm": rms_norm,
}


def build_norm(config: ModelConfig) -> nn.Module:
    """One normalisation layer over `n_embd` channels; both compute in float32 inside."""
    return NORMS[config.norm](config)


def linear(inputs: int, outputs: int, *, bias: bool) -> nn.Linear:
    """A linear layer with unset weights: torch's own start would disturb the global generator.

    A widening layer's weight (outputs, inputs) lies transposed in memory. Drawing one token at a
    time multiplies matrices by single vectors, and a CPU does that about twice as fast along the
    longer side of the matrix; training is as fast either way.
    """
    layer = nn.Linear(inputs, outputs, bias=bias, device="meta").to_empty(device="cpu")
    if outputs > inputs:
        layer.weight = nn.Parameter(torch.empty(inputs, outputs).t())
    return layer


def embedding(rows: int, width: int) -> nn.Embedding:
    """An embedding table with unset weights."""
    # Built on the meta device like the above, it would import half a second of torch's internals.
    return nn.Embedding(rows, width, _weight=torch.empty(rows, width))
