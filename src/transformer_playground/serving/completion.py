"""One running completion: its random numbers, its text and the search for stop texts."""

from collections.abc import Iterator

from transformer_playground.data.tokenizers import StreamDecoder, Tokenizer
from transformer_playground.generation.sampler import UniformNumbers
from transformer_playground.generation.samples import (
    Alternative,
    FinishReason,
    SampledToken,
    SampleEnd,
)
from transformer_playground.serving.jobs import Job


class Completion:
    """A completion of a job while its tokens are drawn.

    Args:
        job: The job.
        index: Its number among the completions of the job.
        tokenizer: Decodes its tokens.
    """

    def __init__(self, job: Job, index: int, tokenizer: Tokenizer) -> None:
        self.job, self.index = job, index
        self.last_token = 0
        self.numbers = UniformNumbers(job.settings.seed, [index])
        self._decoder = StreamDecoder(tokenizer)
        self._stops = StopSearch(job.stop)
        self._drawn = 0

    def push(
        self, token: int, logprob: float, alternatives: tuple[Alternative, ...]
    ) -> Iterator[SampledToken | SampleEnd]:
        """Add a drawn token; events are held back while they may belong to a stop text.

        After a `SampleEnd` the completion takes no more tokens.
        """
        if token in self.job.stop_tokens:
            yield from self.end("stop")
            return
        self.last_token = token
        event = SampledToken(
            self.index, self._drawn, token, logprob, self._decoder.push(token), alternatives
        )
        self._drawn += 1
        yield from self._stops.push(event)
        if self._stops.is_found:
            yield SampleEnd(self.index, "stop")
        elif self._drawn >= self.job.settings.max_new_tokens:
            yield from self.end("length")

    def end(self, reason: FinishReason) -> Iterator[SampledToken | SampleEnd]:
        """End it: events held back, then the end."""
        yield from self._stops.flush()
        yield SampleEnd(self.index, reason, self._decoder.flush())


class StopSearch:
    """Searches a stream of tokens for stop texts, which may span several tokens.

    Args:
        stops: The stop texts; empty ones are not allowed.

    Attributes:
        is_found: Whether one was found; text from its first character on is dropped.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._longest = max(map(len, stops), default=0)
        self._held: list[SampledToken] = []
        # Text of the tokens held back, and enough before it to find a stop text.
        self._text = ""
        self.is_found = False

    def push(self, token: SampledToken) -> Iterator[SampledToken]:
        """The tokens whose text is certainly no part of a stop text, this one included."""
        if not self._stops:
            yield token
            return
        self._held.append(token)
        self._text += token.text
        found = [at for stop in self._stops if (at := self._text.find(stop)) >= 0]
        if found:
            self.is_found = True
            yield from self._release(min(found))
            return
        yield from self._release(len(self._text) - self._partial())

    def flush(self) -> Iterator[SampledToken]:
        """All tokens still held back."""
        yield from self._held
        self._held = []

    def _partial(self) -> int:
        """Length of the longest end of the text that begins a stop text."""
        for length in range(min(self._longest - 1, len(self._text)), 0, -1):
            tail = self._text[-length:]
            if any(stop.startswith(tail) for stop in self._stops):
                return length
        return 0

    def _release(self, safe: int) -> Iterator[SampledToken]:
        """Tokens before the character `safe` of the text; if a stop was found, the rest goes."""
        while self._held and not (self.is_found and safe <= 0):
            token = self._held[0]
            end = len(token.text)
            if end > safe:
                if self.is_found:
                    yield token._replace(text=token.text[:safe])
                break
            del self._held[0]
            self._text = self._text[end:]
            safe -= end
            yield token
        if self.is_found:
            self._held = []
