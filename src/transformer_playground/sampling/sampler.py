"""From logits to drawn tokens, with random numbers that belong to one sample each."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from transformer_playground.errors import SamplingError
from transformer_playground.sampling.filters import filter_tokens

# Divided by less, the differences of float32 logits overflow.
_GREEDY_BELOW = 1e-5
# Random numbers fetched at a time: fetching one costs as much as fetching many.
_NUMBERS_AT_ONCE = 64
# 2 ** 32 divided by the golden ratio, odd: its multiples modulo 2 ** 32 are all different and far
# from each other, so that neighbouring seeds share no sample.
_SEED_STRIDE = 0x9E3779B1


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
