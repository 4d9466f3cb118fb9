"""Drawing texts from a model: several at a time, step by step, reproducibly."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from transformer_playground.errors import SamplingError
from transformer_playground.model.gpt import GPT
from transformer_playground.sampling.context import DecodingContext
from transformer_playground.sampling.filters import filter_tokens

# Divided by less, the differences of float32 logits overflow.
_GREEDY_BELOW = 1e-5


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


@dataclass(frozen=True)
class DrawnToken:
    """One new token of one sample.

    Attributes:
        sample: Which sample, from 0.
        position: Which of its new tokens, from 0.
        token: The token's id.
        logprob: Its log-probability under the model: at temperature 1, before any filter.
    """

    sample: int
    position: int
    token: int
    logprob: float


@dataclass(frozen=True)
class Generation:
    """A whole sample: its new tokens, without prompt and stop token."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: Literal["length", "stop", "cancelled"]


@dataclass(frozen=True)
class _Request:
    model: GPT
    prompt: Sequence[int]
    settings: SamplingSettings
    n_samples: int
    stop_token: int | None
    valid_vocab: int | None
    cancelled: Callable[[], bool]

    @property
    def vocab(self) -> int:
        return min(self.valid_vocab or self.model.vocab_size, self.model.vocab_size)


@dataclass(frozen=True)
class _Step:
    drawn: list[DrawnToken] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)


def _never() -> bool:
    return False


def stream(
    model: GPT,
    prompt: Sequence[int],
    settings: SamplingSettings,
    *,
    n_samples: int = 1,
    stop_token: int | None = None,
    valid_vocab: int | None = None,
    cancelled: Callable[[], bool] = _never,
) -> Iterator[list[DrawnToken]]:
    """Draw samples and hand out their tokens as they come.

    Args:
        model: Any model; it computes in evaluation mode and is given back as it was.
        prompt: What all samples continue, at least one token.
        settings: How tokens are drawn.
        n_samples: Number of samples, drawn as one batch.
        stop_token: Ends its sample and is not handed out.
        valid_vocab: Number of real tokens if the embedding table is padded.
        cancelled: Asked before each step; the stream ends when it says yes.

    Yields:
        For each decoding step the tokens of the samples that go on.

    Raises:
        SamplingError: The prompt is empty or not of this vocabulary, or a setting is impossible.
    """
    request = _Request(model, prompt, settings, n_samples, stop_token, valid_vocab, cancelled)
    _check(request)
    return (step.drawn for step in _steps(request) if step.drawn)


def generate(
    model: GPT,
    prompt: Sequence[int],
    settings: SamplingSettings,
    *,
    n_samples: int = 1,
    stop_token: int | None = None,
    valid_vocab: int | None = None,
    cancelled: Callable[[], bool] = _never,
) -> list[Generation]:
    """Draw whole samples; arguments and errors are those of `stream`, and so are the tokens."""
    request = _Request(model, prompt, settings, n_samples, stop_token, valid_vocab, cancelled)
    _check(request)
    drawn: list[list[DrawnToken]] = [[] for _ in range(n_samples)]
    stopped: set[int] = set()
    for step in _steps(request):
        stopped.update(step.stopped)
        for token in step.drawn:
            drawn[token.sample].append(token)
    return [
        Generation(
            tokens=tuple(token.token for token in tokens),
            logprobs=tuple(token.logprob for token in tokens),
            finish_reason=_finish_reason(
                stopped=sample in stopped, complete=len(tokens) == settings.max_new_tokens
            ),
        )
        for sample, tokens in enumerate(drawn)
    ]


def _finish_reason(*, stopped: bool, complete: bool) -> Literal["length", "stop", "cancelled"]:
    if stopped:
        return "stop"
    return "length" if complete else "cancelled"


def _steps(request: _Request) -> Iterator[_Step]:
    model, settings, n_samples = request.model, request.settings, request.n_samples
    stop_token = request.stop_token
    sampler = _Sampler(settings, n_samples, request.vocab)
    alive = list(range(n_samples))
    with _Evaluating(model):
        context = DecodingContext(
            model, request.prompt, n_samples=n_samples, max_new_tokens=settings.max_new_tokens
        )
    for position in range(settings.max_new_tokens):
        if request.cancelled():
            return
        with _Evaluating(model):
            tokens, logprobs = sampler.draw(context.next_logits(), alive)
        ids = tokens.tolist()
        pairs = list(zip(alive, ids, logprobs.tolist(), strict=True))
        stopped = [sample for sample, token, _ in pairs if token == stop_token]
        yield _Step(
            [
                DrawnToken(sample, position, token, logprob)
                for sample, token, logprob in pairs
                if token != stop_token
            ],
            stopped,
        )
        if len(stopped) == len(alive):
            return
        with _Evaluating(model):
            context.append(tokens)
            if stopped:
                rows = [row for row, token in enumerate(ids) if token != stop_token]
                alive = [alive[row] for row in rows]
                context.keep(torch.tensor(rows, device=tokens.device))


class _Evaluating:
    """Evaluation mode without gradients, never held between two steps of a stream.

    There the caller may do with the model what it likes, or never come back.
    """

    def __init__(self, model: GPT) -> None:
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


class _Sampler:
    """Turns logits into tokens with one random number for each sample and step.

    Samples that have ended still use up theirs, so that one sample's end changes no other.
    """

    def __init__(self, settings: SamplingSettings, n_samples: int, vocab: int) -> None:
        self._settings = settings
        self._n_samples = n_samples
        self._vocab = vocab
        # On the CPU everywhere, so that a seed means the same on every device.
        self._generator = torch.Generator().manual_seed(settings.seed)

    def draw(self, logits: Tensor, alive: list[int]) -> tuple[Tensor, Tensor]:
        """Tokens int64 and their log-probabilities float32, each (len(alive),).

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
        tokens = self._choose(logprobs, alive)
        return tokens, logprobs.gather(1, tokens.unsqueeze(1)).squeeze(1)

    def _choose(self, logits: Tensor, alive: list[int]) -> Tensor:
        settings = self._settings
        if settings.temperature < _GREEDY_BELOW:
            return logits.argmax(dim=-1)
        uniform = torch.rand(self._n_samples, generator=self._generator)
        if len(alive) < self._n_samples:
            uniform = uniform[alive]
        candidates = filter_tokens(
            logits,
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
        )
        return candidates.draw(uniform.to(logits.device))


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
