"""The feed-forward half of a block."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from transformer_playground.config.model import Activation, ModelConfig
from transformer_playground.model.linear import linear


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


@dataclass(frozen=True)
class ActivationKind:
    """A non-linearity, and whether a second matrix gates it.

    Gated: `down(function(gate(x)) * up(x))` (Shazeer 2020, "GLU Variants Improve Transformer").
    """

    function: Callable[[Tensor], Tensor]
    gated: bool = False


ACTIVATIONS: dict[Activation, ActivationKind] = {
    "gelu": ActivationKind(gelu),
    "gelu_tanh": ActivationKind(gelu_tanh),
    "relu": ActivationKind(relu),
    "relu2": ActivationKind(relu2),
    "silu": ActivationKind(silu),
    "swiglu": ActivationKind(silu, gated=True),
    "geglu": ActivationKind(gelu, gated=True),
}


class MLP(nn.Module):
    """Widen each token, apply the non-linearity, narrow it again."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        kind = ACTIVATIONS[config.activation]
        self.activation = kind.function
        self.up = linear(config.n_embd, config.mlp_hidden, bias=config.bias)
        self.gate = (
            linear(config.n_embd, config.mlp_hidden, bias=config.bias) if kind.gated else None
        )
        self.down = linear(config.mlp_hidden, config.n_embd, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., n_embd) to (..., n_embd)."""
        if self.gate is None:
            inner = self.activation(self.up(x))
        else:
            inner = self.activation(self.gate(x)) * self.up(x)
        narrowed: Tensor = self.down(inner)
        return narrowed
