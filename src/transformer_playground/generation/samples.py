"""Sampling records: drawn tokens and samples; importing them does not load torch."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

FinishReason = Literal["length", "stop", "cancelled"]


class Alternative(NamedTuple):
    """A candidate token and its log-probability under the model."""

    id: int
    logprob: float


class SampledToken(NamedTuple):
    """One new token of one sample.

    Attributes:
        sample: Index of the sample, from 0.
        position: Index among the sample's new tokens, from 0.
        id: Token id.
        logprob: Log-probability under the model at temperature 1, without filters.
        text: Characters completed by this token; empty inside a multi-token character.
        alternatives: The most likely tokens at this position, in order, if requested.
    """

    sample: int
    position: int
    id: int
    logprob: float
    text: str = ""
    alternatives: tuple[Alternative, ...] = ()


class SampleEnd(NamedTuple):
    """The end of one sample; `text` is the replacement of an incomplete last character."""

    sample: int
    finish_reason: FinishReason
    text: str = ""


SampleEvent = SampledToken | SampleEnd


@dataclass
class Sample:
    """One sample: its new tokens so far, without prompt and stop token, and its end."""

    tokens: list[SampledToken] = field(default_factory=list)
    end: SampleEnd | None = None

    def add(self, event: SampleEvent) -> None:
        """Add the next event of this sample."""
        if isinstance(event, SampledToken):
            self.tokens.append(event)
        else:
            self.end = event

    @property
    def text(self) -> str:
        """The text after the prompt."""
        rest = self.end.text if self.end else ""
        return "".join([*(token.text for token in self.tokens), rest])

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Ids of the new tokens."""
        return tuple(token.id for token in self.tokens)

    @property
    def logprobs(self) -> tuple[float, ...]:
        """Log-probabilities of the new tokens."""
        return tuple(token.logprob for token in self.tokens)

    @property
    def finish_reason(self) -> FinishReason:
        """Why the sample ended; an unfinished sample counts as cancelled."""
        return self.end.finish_reason if self.end else "cancelled"
