"""A run as a language model of lm-eval: log-likelihoods, of whole texts too, and generation."""

import queue
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.errors import DataError, SamplingError
from transformer_playground.generation.generate import kept_tokens
from transformer_playground.generation.sampler import SamplingSettings
from transformer_playground.generation.samples import SampledToken, SampleEnd
from transformer_playground.harness.likelihoods import Span, likelihoods, rolling_windows
from transformer_playground.model.base import LanguageModel
from transformer_playground.serving.engine import Engine
from transformer_playground.serving.jobs import Delivery, Job, JobDone, JobFailed
from transformer_playground.serving.prompts import ChatTemplate

_MOST_NEW_TOKENS = 256
_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")


class Request(Protocol):
    """A request of lm-eval; what its arguments are depends on the method."""

    @property
    def args(self) -> tuple[Any, ...]:
        """The arguments."""
        ...


class HarnessModel:
    """Answers the requests of lm-eval (Gao et al. 2021) as its own models do.

    A text without context follows the start-of-text token, else the end-of-text token, else a line
    break, else the first token of the vocabulary. Contexts begin as training documents do.

    Args:
        model: The model of a run.
        tokenizer: Its tokenizer.
        prepare: The settings of its training data.
        chat: The chat template of the tokenizer, if contexts are chats that it has rendered.

    Attributes:
        prefix: Token that a text without context follows.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        prepare: PrepareConfig,
        chat: ChatTemplate | None = None,
    ) -> None:
        self._model, self._tokenizer, self._chat = model, tokenizer, chat
        self.prefix = _prefix(tokenizer)
        begins = prepare.documents == "lines" or tokenizer.prepends_bos
        self._opening = [tokenizer.bos_id] if begins and tokenizer.bos_id is not None else []
        eos = tokenizer.eos_id
        self._ends = frozenset(() if eos is None else (eos,))
        if chat is not None:
            self._ends |= chat.stop_tokens()

    def apply_chat_template(
        self, chat_history: Sequence[Mapping[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The text of a chat, which is the context of a request.

        As in lm-eval, messages of the system are left out if the template refuses them.

        Args:
            chat_history: Messages with `role` and `content`.
            add_generation_prompt: Whether the assistant answers; otherwise it continues the last
                message.

        Raises:
            DataError: There is no template, or it refuses the messages.
        """
        if self._chat is None:
            raise DataError("The tokenizer has no chat template.")
        then: Literal["answer", "continue"] = "answer" if add_generation_prompt else "continue"
        try:
            return self._chat.render(chat_history, then=then)
        except DataError:
            others = [each for each in chat_history if each["role"] != "system"]
            if len(others) == len(chat_history):
                raise
            return self._chat.render(others, then=then)

    def loglikelihood(self, requests: Sequence[Request]) -> list[tuple[float, bool]]:
        """Log-likelihood in nats of each continuation, and whether greedy decoding gives it.

        The end of a context that is too long is read. A continuation longer than the context of
        the model is divided as by `loglikelihood_rolling`.

        Args:
            requests: Their arguments are (context, continuation).

        Raises:
            DataError: The tokenizer lacks a character.
            SamplingError: The model's output is NaN.
        """
        size = self._model.block_size
        spans: list[Span] = []
        parts: list[range] = []
        for context, continuation in (request.args for request in requests):
            before, tokens = self._encoded_pair(context, continuation)
            first = len(spans)
            if len(tokens) > size:
                spans += rolling_windows(tokens, before[-1], size)
            else:
                spans.append(Span(before[-(size + 1 - len(tokens)) :], tokens))
            parts.append(range(first, len(spans)))
        found = likelihoods(self._model, spans)
        return [
            (
                sum(found[index].nats for index in part),
                all(found[index].is_greedy for index in part),
            )
            for part in parts
        ]

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> list[float]:
        """Log-likelihood in nats of each whole text; each of its tokens is scored once.

        Args:
            requests: Their arguments are (text,).

        Raises:
            DataError: The tokenizer lacks a character.
            SamplingError: The model's output is NaN.
        """
        spans: list[Span] = []
        parts: list[range] = []
        for (text,) in (request.args for request in requests):
            first = len(spans)
            spans += rolling_windows(self._encode(text), self.prefix, self._model.block_size)
            parts.append(range(first, len(spans)))
        found = likelihoods(self._model, spans)
        return [sum(found[index].nats for index in part) for part in parts]

    def generate_until(self, requests: Sequence[Request]) -> list[str]:
        """A continuation of each context, up to a stop text, which is not part of it.

        As many tokens of a context are read as leave room for the new ones; where they need more
        than the context of the model, half of it is read, and again whenever it is full.

        Args:
            requests: Their arguments are (context, settings): `until`, `max_gen_toks` (256) or one
                of its other names, `do_sample`, `temperature`, `top_k`, `top_p`.

        Raises:
            DataError: The tokenizer lacks a character.
            SamplingError: The model's output is not a number.
        """
        jobs = [self._job(index, *request.args) for index, request in enumerate(requests)]
        if not jobs:
            return []
        delivered: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        engine = Engine(self._model, self._tokenizer, delivered.put, max_waiting=len(jobs))
        engine.start()
        try:
            engine.submit(jobs)
            return _texts(jobs, delivered)
        finally:
            engine.close()

    def _encode(self, text: str) -> list[int]:
        try:
            return self._tokenizer.encode(text)
        except DataError as error:
            raise DataError(
                f"A text of the task cannot be encoded: {error.message}",
                "A model only knows the characters of its training text.",
            ) from error

    def _encoded_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """Tokens of both; encoded together, since tokens may span the border of words."""
        if not context:
            return [self.prefix], self._encode(continuation)
        # A space belongs to the word after it, as in most tokens.
        stripped = context.rstrip()
        if stripped:
            context, continuation = stripped, context[len(stripped) :] + continuation
        before, whole = self._read(context), self._read(context + continuation)
        return before or [self.prefix], whole[len(before) :]

    def _read(self, text: str) -> list[int]:
        """Tokens of a text that begins with a context, after the start of a document."""
        if self._chat is None:
            return [*self._opening, *self._encode(text)]
        tokens = self._chat.encode(text)
        begins = tokens[: len(self._opening)] == self._opening
        return tokens if begins else [*self._opening, *tokens]

    def _job(self, index: int, context: str, settings: Mapping[str, Any]) -> Job:
        limits = [settings[name] for name in _LIMITS if settings.get(name) is not None]
        new = int(limits[0]) if limits else _MOST_NEW_TOKENS
        temperature = settings.get("temperature")
        does_sample = settings.get("do_sample")
        if does_sample is None:
            does_sample = bool(temperature)
        until = settings.get("until") or ()
        stops = (until,) if isinstance(until, str) else tuple(until)
        size = self._model.block_size
        tokens = self._read(context) or [self.prefix]
        return Job(
            prompt=tuple(tokens[-(size - new if new < size else kept_tokens(size)) :]),
            settings=SamplingSettings(
                max_new_tokens=new,
                temperature=(1.0 if temperature is None else float(temperature))
                if does_sample
                else 0.0,
                top_k=int(settings.get("top_k") or 0),
                top_p=float(settings.get("top_p") or 1.0),
                # The same context may be asked for several times.
                seed=index,
            ),
            stop=tuple(stop for stop in stops if stop),
            stop_tokens=self._ends,
        )


def _prefix(tokenizer: Tokenizer) -> int:
    for token in (tokenizer.bos_id, tokenizer.eos_id):
        if token is not None:
            return token
    try:
        return tokenizer.encode("\n")[0]
    except (DataError, IndexError):
        return 0


def _texts(jobs: Sequence[Job], delivered: "queue.SimpleQueue[Delivery]") -> list[str]:
    """Texts of jobs, once all have ended."""
    parts: dict[Job, list[str]] = {job: [] for job in jobs}
    waiting = set(jobs)
    while waiting:
        for job, event in delivered.get():
            match event:
                case SampledToken() | SampleEnd():
                    parts[job].append(event.text)
                case JobDone():
                    waiting.discard(job)
                case JobFailed():
                    raise SamplingError(f"{event.message}.")
                case _:
                    pass
    return ["".join(parts[job]) for job in jobs]
