"""Drawing texts from a model: several at a time, step by step, reproducibly.

The random numbers of a sample come from the seed and the sample's index alone. So the first five of
ten samples are the five that are drawn for the same seed, and how they are batched changes nothing,
as far as the arithmetic allows: a matrix product may round its last bit differently with another
number of rows, which moves log-probabilities by about 1e-6 and, very rarely, the choice between two
tokens.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from transformer_playground.errors import SamplingError
from transformer_playground.model.interface import LanguageModel
from transformer_playground.sampling.batches import batches
from transformer_playground.sampling.context import DecodingContext, needed_capacity
from transformer_playground.sampling.sampler import Sampler, SamplingSettings

__all__ = [
    "Alternative",
    "DrawnToken",
    "Ending",
    "Generation",
    "SamplingSettings",
    "Step",
    "generate",
    "stream",
]

Ending = Literal["length", "stop", "cancelled"]


class Alternative(NamedTuple):
    """A token that could have come, and its log-probability under the model."""

    token: int
    logprob: float


@dataclass(frozen=True)
class DrawnToken:
    """One new token of one sample.

    Attributes:
        sample: Which sample, from 0.
        position: Which of its new tokens, from 0.
        token: The token's id.
        logprob: Its log-probability under the model: at temperature 1, before any filter.
        alternatives: The likeliest tokens at this place, the likeliest first, if asked for.
    """

    sample: int
    position: int
    token: int
    logprob: float
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True)
class Step:
    """One decoding step of the samples that are drawn together.

    Attributes:
        drawn: The new token of each sample that has one.
        ended: Samples with no more tokens to come, and why.
    """

    drawn: list[DrawnToken] = field(default_factory=list)
    ended: Mapping[int, Literal["length", "stop"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Generation:
    """A whole sample: its new tokens, without prompt and stop token."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: Ending


@dataclass(frozen=True)
class _Request:
    model: LanguageModel
    prompt: Sequence[int]
    settings: SamplingSettings
    n_samples: int
    stop_token: int | None
    valid_vocab: int | None
    alternatives: int
    cancelled: Callable[[], bool]

    @property
    def vocab(self) -> int:
        return min(self.valid_vocab or self.model.vocab_size, self.model.vocab_size)


def _never() -> bool:
    return False


def stream(
    model: LanguageModel,
    prompt: Sequence[int],
    settings: SamplingSettings,
    *,
    n_samples: int = 1,
    stop_token: int | None = None,
    valid_vocab: int | None = None,
    alternatives: int = 0,
    cancelled: Callable[[], bool] = _never,
) -> Iterator[Step]:
    """Draw samples and hand out their tokens as they come.

    Many samples are drawn in batches, one after the other: see `batches`.

    Args:
        model: Any model; it computes in evaluation mode and is given back as it was.
        prompt: What all samples continue, at least one token.
        settings: How tokens are drawn.
        n_samples: Number of samples.
        stop_token: Ends its sample and is not handed out.
        valid_vocab: Number of real tokens if the embedding table is padded.
        alternatives: How many of the likeliest tokens to name beside each drawn one.
        cancelled: Asked before each step; the stream ends when it says yes.

    Yields:
        What came of each decoding step.

    Raises:
        SamplingError: The prompt is empty or not of this vocabulary, or a setting is impossible.
    """
    request = _Request(
        model, prompt, settings, n_samples, stop_token, valid_vocab, alternatives, cancelled
    )
    _check(request)
    return _steps(request)


def generate(
    model: LanguageModel,
    prompt: Sequence[int],
    settings: SamplingSettings,
    *,
    n_samples: int = 1,
    stop_token: int | None = None,
    valid_vocab: int | None = None,
    cancelled: Callable[[], bool] = _never,
) -> list[Generation]:
    """Draw whole samples; arguments and errors are those of `stream`, and so are the tokens."""
    drawn: list[list[DrawnToken]] = [[] for _ in range(max(n_samples, 0))]
    endings: dict[int, Ending] = {}
    for step in stream(
        model,
        prompt,
        settings,
        n_samples=n_samples,
        stop_token=stop_token,
        valid_vocab=valid_vocab,
        cancelled=cancelled,
    ):
        endings.update(step.ended)
        for token in step.drawn:
            drawn[token.sample].append(token)
    return [
        Generation(
            tokens=tuple(token.token for token in tokens),
            logprobs=tuple(token.logprob for token in tokens),
            finish_reason=endings.get(sample, "cancelled"),
        )
        for sample, tokens in enumerate(drawn)
    ]


def _steps(request: _Request) -> Iterator[Step]:
    capacity = needed_capacity(request.model, len(request.prompt), request.settings.max_new_tokens)
    for samples in batches(request.model, request.n_samples, capacity):
        yield from _batch_steps(request, samples)


def _batch_steps(request: _Request, samples: range) -> Iterator[Step]:
    model, settings = request.model, request.settings
    sampler = Sampler(settings, samples, request.vocab)
    alive = list(samples)
    with _Evaluating(model):
        context = DecodingContext(
            model,
            request.prompt,
            n_samples=len(samples),
            max_new_tokens=settings.max_new_tokens,
        )
    for position in range(settings.max_new_tokens):
        if request.cancelled():
            return
        with _Evaluating(model):
            logprobs = sampler.logprobs(context.next_logits())
            tokens = sampler.draw(logprobs, [sample - samples.start for sample in alive])
            drawn = _drawn(logprobs, tokens, alive, position, request.alternatives)
        is_last = position + 1 == settings.max_new_tokens
        going = [token for token in drawn if token.token != request.stop_token]
        ended: dict[int, Literal["length", "stop"]] = {
            token.sample: "stop" for token in drawn if token.token == request.stop_token
        }
        if is_last:
            ended |= {token.sample: "length" for token in going}
        yield Step(going, ended)
        if is_last or not going:
            return
        with _Evaluating(model):
            context.append(tokens)
            if ended:
                rows = [row for row, sample in enumerate(alive) if sample not in ended]
                alive = [alive[row] for row in rows]
                context.keep(torch.tensor(rows, device=tokens.device))


def _drawn(
    logprobs: Tensor, tokens: Tensor, alive: list[int], position: int, alternatives: int
) -> list[DrawnToken]:
    own = logprobs.gather(1, tokens.unsqueeze(1)).squeeze(1).tolist()
    others: Sequence[tuple[Alternative, ...]] = [()] * len(alive)
    if alternatives:
        likeliest = logprobs.topk(min(alternatives, logprobs.shape[1]), dim=-1)
        others = [
            tuple(map(Alternative, ids, values))
            for ids, values in zip(
                likeliest.indices.tolist(), likeliest.values.tolist(), strict=True
            )
        ]
    return [
        DrawnToken(sample, position, token, logprob, other)
        for sample, token, logprob, other in zip(alive, tokens.tolist(), own, others, strict=True)
    ]


class _Evaluating:
    """Evaluation mode without gradients, never held between two steps of a stream.

    There the caller may do with the model what it likes, or never come back.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._inference = torch.inference_mode()

    def __enter__(self) -> None:
        self._was_training = self._model.training
        if self._was_training:
            self._model.eval()
        self._inference.__enter__()

    def __exit__(self, *error: object) -> None:
        self._inference.__exit__(*error)
        if self._was_training:
            self._model.train()


def _check(request: _Request) -> None:
    settings, vocab = request.settings, request.vocab
    if not request.prompt:
        raise SamplingError(
            "the prompt is empty.", "Start with at least one token, such as the start-of-text one."
        )
    strangers = sorted({token for token in request.prompt if not 0 <= token < vocab})
    if strangers:
        raise SamplingError(
            f"the prompt holds token {strangers[0]}, but the model knows 0 to {vocab - 1}.",
            "Encode it with the tokenizer that the model was trained with.",
        )
    limits = (
        (request.n_samples >= 1, "the number of samples must be at least 1."),
        (settings.max_new_tokens >= 1, "max_new_tokens must be at least 1."),
        (0 <= settings.temperature < math.inf, "temperature must be 0 or more, and finite."),
        (settings.top_k >= 0, "top_k must be 0 (all tokens) or more."),
        (0 < settings.top_p <= 1, "top_p must be above 0 and at most 1 (all tokens)."),
    )
    for holds, complaint in limits:
        if not holds:
            raise SamplingError(complaint)
