"""Sampler: temperature, top-k and top-p, with an own seed for each sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from transformer_playground.config.sample import DecodingConfig
from transformer_playground.errors import SamplingError

# Lower temperatures would overflow float32 logits; they sample greedily.
GREEDY_BELOW = 1e-5
# Drawing one random number costs as much as drawing many.
_NUMBERS_AT_ONCE = 64
# 2 ** 32 divided by the golden ratio, odd: its multiples modulo 2 ** 32 are all different and far
# from each other, so that neighbouring seeds share no sample.
_SEED_STRIDE = 0x9E3779B1
# The nucleus nearly always has fewer tokens, and topk is much cheaper than sorting a vocabulary.
_NUCLEUS_GUESS = 256


@dataclass(frozen=True)
class SamplingSettings:
    """Sampling settings.

    Attributes:
        max_new_tokens: Maximum number of new tokens per sample.
        temperature: Sampling temperature; 0 = greedy.
        top_k: Sample from the k most likely tokens; 0 = all.
        top_p: Sample from the smallest set of tokens with this total probability; 1 = all.
        seed: Random seed; the same seed gives the same samples.
    """

    max_new_tokens: int
    temperature: float
    top_k: int
    top_p: float
    seed: int

    @classmethod
    def from_config(cls, decoding: DecodingConfig, seed: int) -> Self:
        """Settings of a `[sample.sample]` table, with a seed."""
        return cls(
            max_new_tokens=decoding.max_new_tokens,
            temperature=decoding.temperature,
            top_k=decoding.top_k,
            top_p=decoding.top_p,
            seed=seed,
        )


def check_numbers(values: Tensor) -> None:
    """Refuse what a model with diverged weights gives.

    Raises:
        SamplingError: One of the values is NaN.
    """
    if bool(values.isnan().any()):
        raise SamplingError(
            "the model's output is NaN: its weights diverged in training.",
            "Use an earlier checkpoint, and train with a lower learning rate.",
        )


class UniformNumbers:
    """Random numbers in [0, 1), one per sample and step.

    They depend only on the seed and the sample's index, and are drawn on the CPU, so that a seed
    gives the same samples on every device and in every batch.

    Args:
        seed: Seed of sample 0; the seeds of other samples are derived from it.
        samples: Indices of the samples.
    """

    def __init__(self, seed: int, samples: Sequence[int]) -> None:
        self._generators = [
            # The generator uses only 32 bits of its seed.
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
    """Draws one token for each unfinished sample.

    Args:
        settings: Sampling settings.
        samples: Indices of the samples decoded together.
        vocab: Size of the tokenizer's vocabulary; padded rows beyond it are never drawn.
    """

    def __init__(self, settings: SamplingSettings, samples: Sequence[int], vocab: int) -> None:
        self._settings = settings
        self._vocab = vocab
        self._numbers = UniformNumbers(settings.seed, samples)

    def logprobs(self, logits: Tensor) -> Tensor:
        """Log-probabilities at temperature 1 without filters, float32 (B, vocab).

        Raises:
            SamplingError: The logits are NaN.
        """
        logprobs = logits[:, : self._vocab].log_softmax(dim=-1)
        # One NaN logit makes its whole row NaN.
        check_numbers(logprobs[:, 0])
        return logprobs

    def draw(self, logprobs: Tensor, rows: Sequence[int]) -> Tensor:
        """Draw tokens, int64 (B,).

        Args:
            logprobs: From `logprobs`, (B, vocab).
            rows: Position of each row's sample among the samples.
        """
        settings = self._settings
        if settings.temperature < GREEDY_BELOW:
            return logprobs.argmax(dim=-1)
        # Finished samples use up their numbers, too: each step takes one per sample.
        uniform = self._numbers.next()
        if len(rows) < len(uniform):
            uniform = uniform[list(rows)]
        candidates = filter_tokens(
            logprobs,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
        )
        return candidates.draw(uniform.to(logprobs.device))


@dataclass(frozen=True)
class Candidates:
    """Candidate tokens after filtering.

    Attributes:
        weights: Unnormalised probabilities, float32 (B, K).
        tokens: Token ids, int64 (B, K); None if column k is token k.
    """

    weights: Tensor
    tokens: Tensor | None

    def draw(self, uniform: Tensor) -> Tensor:
        """Sample one token per row, int64 (B,), by inverse transform sampling.

        Args:
            uniform: Random numbers in [0, 1), float32 (B,).
        """
        cumulative = self.weights.cumsum(dim=-1)
        # Strictly below the total, also after rounding: the last weight may be 0.
        threshold = cumulative[:, -1] * uniform.clamp(max=1 - 2**-20)
        column = torch.searchsorted(cumulative, threshold.unsqueeze(1), right=True)
        chosen = column if self.tokens is None else self.tokens.gather(1, column)
        return chosen.squeeze(1)


def filter_tokens(logits: Tensor, *, temperature: float, top_k: int, top_p: float) -> Candidates:
    """Apply temperature, then top-k, then top-p to the remaining tokens.

    Args:
        logits: float32 (B, V); masked tokens are -inf.
        temperature: Sampling temperature, greater than 0.
        top_k: Keep only the k most likely tokens (Fan et al. 2018); 0 = all.
        top_p: Keep the smallest set of tokens with this total probability (Holtzman et al. 2019,
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
    """Zero the weights after those that reach `mass`; the most likely token always stays."""
    before = descending.cumsum(dim=-1) - descending
    inside = before < mass
    inside[:, 0] = True
    return descending * inside
