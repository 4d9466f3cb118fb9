"""Sampler: from logits to tokens by temperature, top-k and top-p, each sample with its own seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from transformer_playground.config.sample import DecodingConfig
from transformer_playground.errors import SamplingError

# Divided by less, the differences of float32 logits overflow.
_GREEDY_BELOW = 1e-5
# Random numbers fetched at a time: fetching one costs as much as fetching many.
_NUMBERS_AT_ONCE = 64
# 2 ** 32 divided by the golden ratio, odd: its multiples modulo 2 ** 32 are all different and far
# from each other, so that neighbouring seeds share no sample.
_SEED_STRIDE = 0x9E3779B1
# Nearly always the nucleus lies within so many tokens, and finding them is far cheaper than
# sorting a vocabulary of 50,000.
_NUCLEUS_GUESS = 256


@dataclass(frozen=True)
class SamplingSettings:
    """How tokens are drawn.

    Attributes:
        max_new_tokens: Most tokens of one sample.
        temperature: Divides the logits; 0 takes the likeliest token.
        top_k: Draw from the k likeliest tokens; 0 = all.
        top_p: Draw from the fewest tokens with this probability together; 1 = all.
        seed: Of the only random numbers there are: same seed, same samples.
    """

    max_new_tokens: int
    temperature: float
    top_k: int
    top_p: float
    seed: int

    @classmethod
    def from_config(cls, decoding: DecodingConfig, seed: int) -> Self:
        """The settings of a `[sample.sample]` table, with a seed."""
        return cls(
            max_new_tokens=decoding.max_new_tokens,
            temperature=decoding.temperature,
            top_k=decoding.top_k,
            top_p=decoding.top_p,
            seed=seed,
        )


class UniformNumbers:
    """One random number in [0, 1) for each sample and step.

    Those of a sample depend on the seed and the sample's index alone: not on how many samples are
    drawn, which of them are drawn together, or when another one ends. They are made on the CPU, so
    that a seed means the same on every device.

    Args:
        seed: Seed of sample 0; the others' are derived from it.
        samples: Indices of the samples.
    """

    def __init__(self, seed: int, samples: Sequence[int]) -> None:
        self._generators = [
            # The generator itself uses 32 bits of its seed.
            torch.Generator().manual_seed((seed + index * _SEED_STRIDE) % 2**32)
            for index in samples
        ]
        self._numbers = torch.empty(len(samples), 0)
        self._used = 0

    def next(self) -> Tensor:
        """The next number of every sample, float32 (samples,)."""
        if self._used == self._numbers.shape[1]:
            drawn = [torch.rand(_NUMBERS_AT_ONCE, generator=each) for each in self._generators]
            self._numbers, self._used = torch.stack(drawn), 0
        self._used += 1
        return self._numbers[:, self._used - 1]


class Sampler:
    """Draws one token for each sample that goes on.

    Args:
        settings: How tokens are drawn.
        samples: Indices of the samples decoded together.
        vocab: Number of real tokens; the rows that pad an embedding table are never drawn.
    """

    def __init__(self, settings: SamplingSettings, samples: Sequence[int], vocab: int) -> None:
        self._settings = settings
        self._vocab = vocab
        self._numbers = UniformNumbers(settings.seed, samples)

    def logprobs(self, logits: Tensor) -> Tensor:
        """Log-probabilities at temperature 1 and before any filter, float32 (B, vocab).

        Raises:
            SamplingError: The model gives no probabilities.
        """
        logprobs = logits[:, : self._vocab].log_softmax(dim=-1)
        # One logit that is not a number spoils every probability of its row.
        if bool(logprobs[:, 0].isnan().any()):
            raise SamplingError(
                "the model's output is not a number: its weights diverged in training.",
                "Sample from an earlier checkpoint, and train with a lower learning rate.",
            )
        return logprobs

    def draw(self, logprobs: Tensor, rows: Sequence[int]) -> Tensor:
        """Tokens, int64 (B,).

        Args:
            logprobs: What `logprobs` gave, (B, vocab).
            rows: Which of the samples each row belongs to, counted from the first of them.
        """
        settings = self._settings
        if settings.temperature < _GREEDY_BELOW:
            return logprobs.argmax(dim=-1)
        # Samples that have ended still use up theirs: each step takes one of each sample.
        uniform = self._numbers.next()[list(rows)]
        candidates = filter_tokens(
            logprobs,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
        )
        return candidates.draw(uniform.to(logprobs.device))


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
