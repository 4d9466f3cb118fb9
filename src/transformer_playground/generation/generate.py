"""Text generation: batched, streaming and reproducible.

The random numbers of a sample depend only on the seed and the sample's index, so neither the number
of samples nor their batching changes it, up to rounding: a matrix product with another number of
rows may move log-probabilities by about 1e-6 and, very rarely, change the choice of a token.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from transformer_playground.data.tokenizers import StreamDecoder, Tokenizer
from transformer_playground.errors import SamplingError
from transformer_playground.generation.sampler import Sampler, SamplingSettings
from transformer_playground.generation.samples import (
    Alternative,
    FinishReason,
    Sample,
    SampledToken,
    SampleEnd,
    SampleEvent,
)
from transformer_playground.model.base import LanguageModel, evaluating

__all__ = ["SamplingSettings", "generate", "stream"]

# 64 rows use all CPU cores, and their activations stay in the CPU caches.
_MAX_BATCH_CPU = 64
_MAX_BATCH_ACCELERATOR = 512
# Limit for the key-value cache of one batch.
_MAX_CACHE_BYTES = 1 << 30


@dataclass(frozen=True)
class _Request:
    model: LanguageModel
    prompt: Sequence[int]
    settings: SamplingSettings
    n_samples: int
    tokenizer: Tokenizer | None
    alternatives: int
    cancelled: Callable[[], bool]

    @property
    def stop_token(self) -> int | None:
        return self.tokenizer.eos_id if self.tokenizer else None

    @property
    def vocab(self) -> int:
        size = self.model.vocab_size
        return min(self.tokenizer.vocab_size, size) if self.tokenizer else size


def _never() -> bool:
    return False


def stream(
    model: LanguageModel,
    prompt: Sequence[int],
    settings: SamplingSettings,
    *,
    n_samples: int = 1,
    tokenizer: Tokenizer | None = None,
    alternatives: int = 0,
    cancelled: Callable[[], bool] = _never,
) -> Iterator[SampleEvent]:
    """Generate samples and yield their tokens as they are drawn, in batches (see `batches`).

    Args:
        model: Any language model; it is used in evaluation mode, then its mode is restored.
        prompt: Token ids that all samples start with, at least one.
        settings: Sampling settings.
        n_samples: Number of samples.
        tokenizer: Decodes tokens. Its end-of-text token ends a sample and is not yielded; ids
            beyond its vocabulary, which pad an embedding table, are never drawn. None = no text, no
            stop token, and all ids of the model.
        alternatives: Number of top tokens to report with each drawn token.
        cancelled: Called before each step; true ends all open samples.

    Yields:
        Each token, then the end of each sample; samples of one batch are interleaved.

    Raises:
        SamplingError: The prompt is empty or has invalid token ids, or a setting is invalid.
    """
    request = _Request(model, prompt, settings, n_samples, tokenizer, alternatives, cancelled)
    _check(request)
    return _events(request)


def generate(
    model: LanguageModel,
    prompt: Sequence[int],
    settings: SamplingSettings,
    *,
    n_samples: int = 1,
    tokenizer: Tokenizer | None = None,
    cancelled: Callable[[], bool] = _never,
) -> list[Sample]:
    """Generate complete samples; arguments and errors are those of `stream`."""
    samples = [Sample() for _ in range(max(n_samples, 0))]
    for event in stream(
        model,
        prompt,
        settings,
        n_samples=n_samples,
        tokenizer=tokenizer,
        cancelled=cancelled,
    ):
        samples[event.sample].add(event)
    return samples


def batches(model: LanguageModel, n_samples: int, capacity: int) -> Iterator[range]:
    """Split samples into batches of nearly equal size, limited by speed and cache memory.

    Args:
        model: The model to decode with.
        n_samples: Number of samples.
        capacity: Tokens that the key-value cache of each sample holds.
    """
    max_batch = _MAX_BATCH_CPU if model.device.type == "cpu" else _MAX_BATCH_ACCELERATOR
    max_batch = max(1, min(max_batch, _MAX_CACHE_BYTES // model.cache_bytes(capacity)))
    n_batches = -(-n_samples // max_batch)
    edges = [n_samples * index // n_batches for index in range(n_batches + 1)]
    return (range(start, end) for start, end in itertools.pairwise(edges))


def _events(request: _Request) -> Iterator[SampleEvent]:
    request = replace(request, model=request.model.for_decoding())
    capacity = _needed_capacity(request.model, len(request.prompt), request.settings.max_new_tokens)
    for samples in batches(request.model, request.n_samples, capacity):
        yield from _batch_events(request, samples)


def _batch_events(request: _Request, samples: range) -> Iterator[SampleEvent]:
    model, settings = request.model, request.settings
    sampler = Sampler(settings, samples, request.vocab)
    texts = _BatchDecoder(request.tokenizer, samples)
    alive = list(samples)
    # Never active while this generator is suspended: the caller may then use the model or abandon
    # the generator.
    with evaluating(model):
        context = DecodingContext(
            model,
            request.prompt,
            n_samples=len(samples),
            max_new_tokens=settings.max_new_tokens,
        )
    for position in range(settings.max_new_tokens):
        if request.cancelled():
            yield from texts.ends(alive, "cancelled")
            return
        with evaluating(model):
            logprobs = sampler.logprobs(context.next_logits())
            tokens = sampler.draw(logprobs, [sample - samples.start for sample in alive])
            ids = tokens.tolist()
            own = logprobs.gather(1, tokens.unsqueeze(1)).squeeze(1).tolist()
            others = _alternatives(logprobs, request.alternatives)
        rows = [row for row, token in enumerate(ids) if token != request.stop_token]
        for row in rows:
            sample, token = alive[row], ids[row]
            yield SampledToken(
                sample, position, token, own[row], texts.push(sample, token), others[row]
            )
        if len(rows) < len(alive):
            kept = [alive[row] for row in rows]
            yield from texts.ends(sorted({*alive} - {*kept}), "stop")
            alive = kept
        if not alive or position + 1 == settings.max_new_tokens:
            break
        with evaluating(model):
            context.append(tokens)
            if len(rows) < len(ids):
                context.keep(torch.tensor(rows, device=tokens.device))
    yield from texts.ends(alive, "length")


def _alternatives(logprobs: Tensor, count: int) -> Sequence[tuple[Alternative, ...]]:
    if not count:
        return [()] * len(logprobs)
    top = logprobs.topk(min(count, logprobs.shape[1]), dim=-1)
    return [
        tuple(map(Alternative, ids, values))
        for ids, values in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]


class _BatchDecoder:
    """Decodes the tokens of several samples to complete characters."""

    def __init__(self, tokenizer: Tokenizer | None, samples: Sequence[int]) -> None:
        self._decoders = {sample: StreamDecoder(tokenizer) for sample in samples if tokenizer}

    def push(self, sample: int, token: int) -> str:
        return self._decoders[sample].push(token) if self._decoders else ""

    def ends(self, samples: Iterable[int], reason: FinishReason) -> Iterator[SampleEnd]:
        for sample in samples:
            rest = self._decoders[sample].flush() if self._decoders else ""
            yield SampleEnd(sample, reason, rest)


class DecodingContext:
    """Cached decoding of several sequences with a common prompt.

    The prompt is processed once, and each further token costs one forward pass over one position. A
    context longer than `block_size` is truncated to its last half block, which is processed again:
    the average cost per token stays constant, and the model always sees at least the last
    `block_size // 2` tokens. Shifting the cached keys and values instead would be wrong even with
    relative positions: beyond the first layer they depend on the removed tokens.

    Args:
        model: The model, in evaluation mode.
        prompt: At least one token; of a longer one the last `block_size` tokens are used.
        n_samples: Number of sequences.
        max_new_tokens: Number of tokens to generate; limits the size of the cache.
    """

    def __init__(
        self, model: LanguageModel, prompt: Sequence[int], *, n_samples: int, max_new_tokens: int
    ) -> None:
        self._model = model
        self._block = model.block_size
        self._kept = kept_tokens(self._block)
        opening = list(prompt[-self._block :])
        self._unread = torch.tensor([opening], device=model.device)
        self._cache = model.new_cache(1, _needed_capacity(model, len(prompt), max_new_tokens))
        # Only the last half block is ever processed again.
        self._newest = self._unread[:, -self._kept :]
        self._n_samples = n_samples

    def next_logits(self) -> Tensor:
        """Logits of the next token, float32 (sequences, vocab_size)."""
        logits = self._model.next_logits(self._unread, self._cache)
        if len(logits) < self._n_samples:
            self.keep(torch.zeros(self._n_samples, dtype=torch.int64, device=logits.device))
            logits = logits.expand(self._n_samples, -1)
        return logits

    def append(self, tokens: Tensor) -> None:
        """Add one token to each sequence, int64 (sequences,)."""
        column = tokens.unsqueeze(1)
        self._newest = torch.cat((self._newest, column), dim=1)[:, -self._kept :]
        self._unread = column
        if self._cache.length == self._block:
            self._cache.reset()
            self._unread = self._newest

    def keep(self, rows: Tensor) -> None:
        """Keep only these sequences, int64 indices; repeats are allowed."""
        self._n_samples = len(rows)
        self._cache = self._cache.select(rows)
        self._newest = self._newest[rows]
        self._unread = self._unread[rows]


def _needed_capacity(model: LanguageModel, prompt_length: int, max_new_tokens: int) -> int:
    """Maximum number of tokens in the cache of one sequence."""
    return min(model.block_size, prompt_length + max_new_tokens)


def kept_tokens(block_size: int) -> int:
    """Number of newest tokens that are read again when the context is full: half of it."""
    return max(1, block_size // 2)


def _check(request: _Request) -> None:
    settings, vocab = request.settings, request.vocab
    if not request.prompt:
        raise SamplingError(
            "the prompt is empty.", "Start with at least one token, such as the start-of-text one."
        )
    unknown = sorted({token for token in request.prompt if not 0 <= token < vocab})
    if unknown:
        raise SamplingError(
            f"the prompt has token id {unknown[0]}, but the vocabulary is 0 to {vocab - 1}.",
            "Encode it with the tokenizer that the model was trained with.",
        )
    limits = (
        (request.n_samples >= 1, "the number of samples must be at least 1."),
        (settings.max_new_tokens >= 1, "max_new_tokens must be at least 1."),
        (0 <= settings.temperature < math.inf, "temperature must be 0 or more, and finite."),
        (settings.top_k >= 0, "top_k must be 0 (all tokens) or more."),
        (0 < settings.top_p <= 1, "top_p must be above 0 and at most 1 (all tokens)."),
    )
    for is_valid, message in limits:
        if not is_valid:
            raise SamplingError(message)
