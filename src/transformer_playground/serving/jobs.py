"""Jobs of the engine: one prompt with its sampling settings, and the events that answer it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from transformer_playground.generation.sampler import SamplingSettings
from transformer_playground.generation.samples import Alternative, SampledToken, SampleEnd


@dataclass(frozen=True, eq=False)
class Job:
    """One prompt to complete.

    Attributes:
        prompt: At least one token, at most a context.
        settings: Sampling settings; `max_new_tokens` may be 0 if only the prompt is scored.
        n: Number of completions; completion i is sample i of the seed.
        alternatives: Number of most likely tokens to report with each token.
        stop: Texts that end a completion and are not part of it.
        stop_tokens: Tokens that end a completion and are not part of it.
        scores_prompt: Report the log-probabilities of the prompt's own tokens.
    """

    prompt: tuple[int, ...]
    settings: SamplingSettings
    n: int = 1
    alternatives: int = 0
    stop: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    scores_prompt: bool = False


class PromptScores(NamedTuple):
    """Log-probabilities of the prompt's tokens and their alternatives; None for the first token."""

    logprobs: tuple[float | None, ...]
    alternatives: tuple[tuple[Alternative, ...] | None, ...]


class JobFailed(NamedTuple):
    """The job ended with an error; `message` is a sentence."""

    message: str


class JobDone(NamedTuple):
    """All completions of the job have ended."""


JobEvent = SampledToken | SampleEnd | PromptScores | JobFailed | JobDone
Delivery = Sequence[tuple[Job, JobEvent]]
