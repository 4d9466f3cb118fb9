"""Which tokens may be drawn, and with what probability."""

from dataclasses import dataclass

import torch
from torch import Tensor

# Nearly always the nucleus lies within so many tokens, and finding them is far cheaper than
# sorting a vocabulary of 50,000.
_NUCLEUS_GUESS = 256


@dataclass(frozen=True)
class Candidates:
    """What is left of the vocabulary after the filters.

    Attributes:
        weights: Unnormalised probabilities, float32 (B, K).
        tokens: The token of each weight, int64 (B, K); None if column k is token k.
    """

    weights: Tensor
    tokens: Tensor | None

    def draw(self, uniform: Tensor) -> Tensor:
        """Pick one token in each row by inverting the cumulative distribution.

        Args:
            uniform: Random numbers in [0, 1), float32 (B,).

        Returns:
            Tokens, int64 (B,).
        """
        cumulative = self.weights.cumsum(dim=-1)
        # Strictly below the total after rounding: the last column may be a forbidden token.
        threshold = cumulative[:, -1] * uniform.clamp(max=1 - 2**-20)
        column = torch.searchsorted(cumulative, threshold.unsqueeze(1), right=True)
        chosen = column if self.tokens is None else self.tokens.gather(1, column)
        return chosen.squeeze(1)


def filter_tokens(logits: Tensor, *, temperature: float, top_k: int, top_p: float) -> Candidates:
    """Apply temperature, then top-k, then top-p to what top-k left.

    Args:
        logits: float32 (B, V); forbidden tokens are -inf.
        temperature: Divides the logits; greater than 0.
        top_k: Keep only the k likeliest tokens (Fan et al. 2018); 0 = all.
        top_p: Keep the fewest tokens that hold this probability together (Holtzman et al. 2019,
            nucleus sampling); 1 = all.
    """
    weights = (logits / temperature).softmax(dim=-1)
    if 0 < top_k < logits.shape[-1]:
        kept, tokens = weights.topk(top_k, dim=-1)
        if top_p < 1:
            kept = _nucleus(kept, top_p * kept.sum(dim=-1, keepdim=True))
        return Candidates(kept, tokens)
    if top_p < 1:
        return _nucleus_of_all(weights, top_p)
    return Candidates(weights, None)


def _nucleus_of_all(weights: Tensor, top_p: float) -> Candidates:
    mass = weights.new_full((len(weights), 1), top_p)
    size = min(_NUCLEUS_GUESS, weights.shape[-1])
    likeliest, tokens = weights.topk(size, dim=-1)
    if size < weights.shape[-1] and bool((likeliest.sum(dim=-1, keepdim=True) < mass).any()):
        likeliest, tokens = weights.sort(dim=-1, descending=True)
    return Candidates(_nucleus(likeliest, mass), tokens)


def _nucleus(descending: Tensor, mass: Tensor) -> Tensor:
    """Zero the weights after the first ones which reach `mass`; the likeliest always stays."""
    before = descending.cumsum(dim=-1) - descending
    inside = before < mass
    inside[:, 0] = True
    return descending * inside
