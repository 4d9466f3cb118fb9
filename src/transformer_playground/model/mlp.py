"""The feed-forward half of a block."""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from transformer_playground.config.model import GATED, Activation, ModelConfig
from transformer_playground.model.layers import linear


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
