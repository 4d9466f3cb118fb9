"""How much each token of a text matters for the last one, by gradients of its log-probability."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from transformer_playground.inspection.parts import parts_of
from transformer_playground.inspection.recording import Site, hooked
from transformer_playground.model.base import LanguageModel


@dataclass(frozen=True)
class Salience:
    """Numbers for each of the tokens before the last one, (T - 1,).

    Attributes:
        norms: Length of the gradient at the token's embedding (Simonyan et al. 2013; Li et al.
            2016), summing to 1.
        products: Gradient times embedding (Shrikumar et al. 2016), in nats: to first order, what
            the log-probability would lose without the embedding.
    """

    norms: Tensor
    products: Tensor


def gradient_salience(model: LanguageModel, tokens: Tensor) -> Salience:
    """Salience of the tokens before the last one for its log-probability.

    Args:
        model: The model, in evaluation mode.
        tokens: (1, T) int64, T at least 2.

    Raises:
        ModelError: The architecture of a base model is not known well enough.
    """
    leaves: list[Tensor] = []

    def keep(stream: Tensor) -> Tensor:
        leaves.append(stream.detach().requires_grad_())
        return leaves[0]

    with torch.enable_grad(), hooked(parts_of(model), {}, (), {Site("embedding"): keep}):
        logits = model(tokens[:, :-1])[0, -1].float()
        log_probability = functional.log_softmax(logits, dim=-1)[tokens[0, -1]]
        (gradient,) = torch.autograd.grad(log_probability, leaves[0])
    stream, gradient = leaves[0].detach()[0].float(), gradient[0].float()
    norms = gradient.norm(dim=-1)
    return Salience(norms / norms.sum().clamp(min=1e-30), (gradient * stream).sum(dim=-1))
