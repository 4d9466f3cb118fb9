"""Normalisation, linear, embedding and MLP layers.

Weights of linear and embedding layers are not initialised; `gpt.initialise` does that.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from transformer_playground.config.model import GATED, Activation, ModelConfig, Norm


def layer_norm(config: ModelConfig) -> nn.Module:
    """Centre and scale each token to unit variance (Ba et al. 2016, "Layer Normalization")."""
    return nn.LayerNorm(config.n_embd, eps=config.norm_eps, bias=config.bias)


def rms_norm(config: ModelConfig) -> nn.Module:
    """Scale to unit root mean square, without bias (Zhang & Sennrich 2019)."""
    return nn.RMSNorm(config.n_embd, eps=config.norm_eps)


NORMS: dict[Norm, Callable[[ModelConfig], nn.Module]] = {
    "layernorm": layer_norm,
    "rmsnorm": rms_norm,
}


def build_norm(config: ModelConfig) -> nn.Module:
    """The normalisation layer over `n_embd` channels; it computes in float32."""
    return NORMS[config.norm](config)


def linear(inputs: int, outputs: int, *, bias: bool) -> nn.Linear:
    """A linear layer with uninitialised weights, which leaves the global random state unchanged.

    The weight (outputs, inputs) of a widening layer is stored transposed: on a CPU, matrix-vector
    products when decoding one token at a time are then about twice as fast, and training is not
    slower.
    """
    layer = nn.Linear(inputs, outputs, bias=bias, device="meta")
    # Its `to_empty` would import torch internals for half a second.
    is_widening = outputs > inputs
    weight = torch.empty(inputs, outputs).t() if is_widening else torch.empty(outputs, inputs)
    layer.weight = nn.Parameter(weight)
    if bias:
        layer.bias = nn.Parameter(torch.empty(outputs))
    return layer


def embedding(rows: int, width: int) -> nn.Embedding:
    """An embedding table with uninitialised weights."""
    # On the meta device it would import them, too.
    return nn.Embedding(rows, width, _weight=torch.empty(rows, width))


def relu2(x: Tensor) -> Tensor:
    """Squared ReLU (So et al. 2021, "Primer")."""
    return functional.relu(x).square()


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    # Hendrycks & Gimpel 2016; with the tanh approximation as in GPT-2.
    "gelu": functional.gelu,
    "gelu_tanh": functools.partial(functional.gelu, approximate="tanh"),
    # Vaswani et al. 2017.
    "relu": functional.relu,
    "relu2": relu2,
    # Also called swish (Elfwing et al. 2017; Ramachandran et al. 2017).
    "silu": functional.silu,
    "swiglu": functional.silu,
    "geglu": functional.gelu,
}


class MLP(nn.Module):
    """Feed-forward network `down(activation(up(x)))`.

    Gated: `down(activation(gate(x)) * up(x))` (Shazeer 2020, "GLU Variants Improve Transformer").
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.up = linear(config.n_embd, config.mlp_hidden, bias=config.bias)
        gated = config.activation in GATED
        self.gate = linear(config.n_embd, config.mlp_hidden, bias=config.bias) if gated else None
        self.down = linear(config.mlp_hidden, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_embd) to (..., n_embd)."""
        if self.gate is None:
            inner = self.activation(self.up(x))
        else:
            inner = self.activation(self.gate(x)) * self.up(x)
        narrowed: Tensor = self.down(inner)
        return narrowed
