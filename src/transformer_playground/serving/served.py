"""The served run: its model, tokenizer, prompts and default settings, and the jobs of a request."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from transformer_playground.generation.prompts import Prompt
from transformer_playground.generation.sampler import SamplingSettings
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.generation import LoadedRun, load_run
from transformer_playground.runs.generation_request import SampleRequest, prepare_config
from transformer_playground.serving.bodies import MAX_CHOICES, Body, ChatBody, CompletionBody
from transformer_playground.serving.errors import ApiError
from transformer_playground.serving.jobs import Job
from transformer_playground.serving.prompts import ChatTemplate, PromptEncoder

_Value = TypeVar("_Value")

# At least this many new tokens may be asked for, and at least a context.
_MAX_NEW_TOKENS = 4096


@dataclass(frozen=True)
class ServedRun:
    """A loaded run and what requests to it need.

    Attributes:
        created: Unix time of its checkpoint.
    """

    loaded: LoadedRun
    encoder: PromptEncoder
    chat: ChatTemplate | None
    created: int

    @classmethod
    def load(cls, run: RunFolder, request: SampleRequest) -> Self:
        """Load a run with the checkpoint and the settings of a request for samples.

        Raises:
            PlaygroundError: It has no usable checkpoint or tokenizer.
        """
        loaded = load_run(run, request)
        encoder = PromptEncoder(
            loaded.tokenizer,
            prepare_config(run),
            loaded.decoding,
            block_size=loaded.model.block_size,
            vocab_size=loaded.model.vocab_size,
        )
        created = int(Path(loaded.checkpoint).stat().st_mtime)
        return cls(loaded, encoder, ChatTemplate.load(run.tokenizer), created)

    @property
    def name(self) -> str:
        """Name of the model: the id of the run."""
        return self.loaded.run_id

    @property
    def default_prompt(self) -> Prompt:
        """The prompt of a completion without one."""
        return self.loaded.prompt

    def completion_jobs(self, body: CompletionBody) -> list[Job]:
        """The jobs of a completion, one for each prompt.

        Raises:
            ApiError: A prompt or a combination of fields is wrong.
        """
        if body.best_of not in (None, body.n or 1):
            raise ApiError(400, "'best_of' other than n is not supported.", param="best_of")
        prompts = (
            [self.loaded.prompt.tokens]
            if body.prompt is None
            else self.encoder.prompts(body.prompt)
        )
        if len(prompts) * (body.n or 1) > MAX_CHOICES:
            raise ApiError(
                400, f"A request has at most {MAX_CHOICES} completions over all prompts.", param="n"
            )
        if body.max_tokens == 0 and not body.echo:
            raise ApiError(400, "'max_tokens' of 0 needs 'echo'.", param="max_tokens")
        eos = self.loaded.tokenizer.eos_id
        stop_tokens = frozenset(() if eos is None else (eos,))
        return [
            self._job(
                body,
                prompt,
                body.max_tokens,
                alternatives=body.logprobs or 0,
                stop_tokens=stop_tokens,
                scores_prompt=bool(body.echo) and body.logprobs is not None,
            )
            for prompt in prompts
        ]

    def chat_jobs(self, body: ChatBody) -> list[Job]:
        """The job of a chat.

        Raises:
            ApiError: The model has no chat template, or a field is wrong.
        """
        if self.chat is None:
            raise ApiError(
                400,
                f"The model '{self.name}' has no chat template; use /v1/completions.",
                code="no_chat_template",
            )
        if body.top_logprobs and not body.logprobs:
            raise ApiError(400, "'top_logprobs' needs 'logprobs'.", param="top_logprobs")
        if body.max_tokens == 0 or body.max_completion_tokens == 0:
            raise ApiError(400, "'max_tokens' must be at least 1.", param="max_tokens")
        (prompt,) = self.encoder.prompts(self.chat.tokens(body.messages))
        eos = self.loaded.tokenizer.eos_id
        stop_tokens = self.chat.stop_tokens() | ({eos} if eos is not None else set())
        limit = (
            body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
        )
        job = self._job(
            body, prompt, limit, alternatives=body.top_logprobs or 0, stop_tokens=stop_tokens
        )
        return [job]

    def _job(
        self,
        body: Body,
        prompt: tuple[int, ...],
        max_tokens: int | None,
        *,
        alternatives: int,
        stop_tokens: frozenset[int],
        scores_prompt: bool = False,
    ) -> Job:
        saved = self.loaded.decoding
        most = max(_MAX_NEW_TOKENS, self.loaded.model.block_size)
        if max_tokens is not None and max_tokens > most:
            raise ApiError(400, f"'max_tokens' is at most {most:,}.", param="max_tokens")
        return Job(
            prompt=prompt,
            settings=SamplingSettings(
                max_new_tokens=_stated(max_tokens, min(saved.max_new_tokens, most)),
                temperature=_stated(body.temperature, saved.temperature),
                top_k=_stated(body.top_k, saved.top_k),
                top_p=_stated(body.top_p, saved.top_p),
                seed=secrets.randbits(32) if body.seed is None else body.seed,
            ),
            n=body.n or 1,
            alternatives=alternatives,
            stop=body.stops,
            stop_tokens=stop_tokens,
            scores_prompt=scores_prompt,
        )


def _stated(value: _Value | None, otherwise: _Value) -> _Value:
    return otherwise if value is None else value
