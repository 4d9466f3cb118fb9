"""Records of sampling: a drawn token, and a sample that grows token by token; without torch."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

FinishReason = Literal["length", "stop", "cancelled"]


class Alternative(NamedTuple):
    """A token that could have been drawn, and its log-probability under the model."""

    id: int
    logprob: float


class SampledToken(NamedTuple):
    """One new token of one sample.

    Attributes:
        sample: Index of the sample, from 0.
        position: Index among the sample's new tokens, from 0.
        id: The token's id.
        logprob: Its log-probability under the model: at temperature 1, before any filter.
        text: The characters that are complete with this token; empty while one is incomplete.
        alternatives: The likeliest tokens at this position, the likeliest first, if asked for.
    """

    sample: int
    position: int
    id: int
    logprob: float
    text: str = ""
    alternatives: tuple[Alternative, ...] = ()


class SampleEnd(NamedTuple):
    """The end of one sample; `text` stands for an incomplete last character."""

    sample: int
    finish_reason: FinishReason
    text: str = ""


SampleEvent = SampledToken | SampleEnd


@dataclass
class Sample:
    """One sample: its new tokens so far, without prompt and stop token, and how it ended."""

    tokens: list[SampledToken] = field(default_factory=list)
    end: SampleEnd | None = None

    def add(self, event: SampleEvent) -> None:
        """Take the next event of this sample."""
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
        """Why the sample ended; one that has not ended counts as cancelled."""
        return self.end.finish_reason if self.end else "cancelled"
