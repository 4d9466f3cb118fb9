"""Elementary layers: normalisation by its name in the configuration, linear and embedding.

Weights of linear and embedding are allocated and left unset; `gpt.initialise` fills them.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from transformer_playground.config.model import GATED, Activation, ModelConfig, Norm


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


def gelu(x: Tensor) -> Tensor:
    """Gaussian error linear unit (Hendrycks & Gimpel 2016)."""
    return functional.gelu(x)


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by its tanh formula, the one GPT-2 was trained with (Hendrycks & Gimpel 2016)."""
    return functional.gelu(x, approximate="tanh")


def relu(x: Tensor) -> Tensor:
    """Rectified linear unit, as in the first transformer (Vaswani et al. 2017)."""
    return functional.relu(x)


def relu2(x: Tensor) -> Tensor:
    """Squared ReLU (So et al. 2021, "Primer")."""
    return functional.relu(x).square()


def silu(x: Tensor) -> Tensor:
    """Sigmoid linear unit, also called swish (Elfwing et al. 2017; Ramachandran et al. 2017)."""
    return functional.silu(x)


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "relu": relu,
    "relu2": relu2,
    "silu": silu,
    "swiglu": silu,
    "geglu": gelu,
}


class MLP(nn.Module):
    """Widen each token, apply the non-linearity, narrow it again.

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
