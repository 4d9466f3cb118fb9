"""Transcript: the samples of one source as rows of tokens, with lookup by row and column."""

import bisect
import math
from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len

from transformer_playground.generation.samples import Sample, SampledToken, SampleEvent
from transformer_playground.terminal import visible
from transformer_playground.tui.shared.flow import PLAIN, PROMPT, Flow, Row

LEVELS = (0.5, 0.2, 0.05, 0.01)
"""Minimum probability of each level except the last, in descending order."""


def level(logprob: float) -> int:
    """Level of a token, from 0 (most likely) to `len(LEVELS)`."""
    probability = math.exp(logprob)
    return next(
        (number for number, minimum in enumerate(LEVELS) if probability >= minimum), len(LEVELS)
    )


@dataclass(frozen=True)
class Place:
    """A token of a transcript: sample and token, both from 0."""

    sample: int
    token: int


class Transcript:
    """The samples of one source, one below the other.

    Args:
        prompt: Prompt of every sample, untrusted text.
        width: Cells of a row.
    """

    def __init__(self, prompt: str, count: int, width: int) -> None:
        self.samples = [Sample() for _ in range(count)]
        self._prompt = visible(prompt)
        self._flows: list[Flow] = []
        self._starts: list[int] = []
        self._width = 0
        self.wrap(width)

    @property
    def n_tokens(self) -> int:
        return sum(len(sample.tokens) for sample in self.samples)

    @property
    def is_complete(self) -> bool:
        return all(sample.end for sample in self.samples)

    @property
    def was_cancelled(self) -> bool:
        return any(each.end and each.finish_reason == "cancelled" for each in self.samples)

    def add(self, event: SampleEvent) -> None:
        """Add an event; `arrange` updates the rows."""
        sample = self.samples[event.sample]
        sample.add(event)
        # Text completed by the end of a sample belongs to its last token.
        token = len(sample.tokens) - 1 if sample.tokens else PLAIN
        self._flows[event.sample].push(token, visible(event.text))

    def wrap(self, width: int) -> None:
        """Lay out all text again if the width has changed."""
        if width == self._width:
            return
        self._width = width
        self._flows = [Flow(max(1, width)) for _ in self.samples]
        for number, (flow, sample) in enumerate(zip(self._flows, self.samples, strict=True)):
            if len(self.samples) > 1:
                flow.push(PLAIN, f"── {number + 1} of {len(self.samples)} ──\n")
            flow.push(PROMPT, self._prompt)
            for index, token in enumerate(sample.tokens):
                flow.push(index, visible(token.text))
            if sample.end and sample.tokens:
                flow.push(len(sample.tokens) - 1, visible(sample.end.text))
        self.arrange()

    def arrange(self) -> None:
        """Compute the first row of each sample."""
        self._starts, start = [], 0
        for flow in self._flows:
            self._starts.append(start)
            start += len(flow)

    @property
    def n_rows(self) -> int:
        return self._starts[-1] + len(self._flows[-1])

    def row(self, number: int) -> tuple[int, Row]:
        """Number of the sample of a row, and its runs."""
        sample = bisect.bisect_right(self._starts, number) - 1
        return sample, self._flows[sample][number - self._starts[sample]]

    def token(self, place: Place) -> SampledToken:
        return self.samples[place.sample].tokens[place.token]

    def tokens_of(self, sample: int, start: int, length: int) -> range:
        """Tokens of a sample that hold some of its characters.

        Args:
            sample: Number of the sample.
            start: The first character of its text.
            length: How many there are.
        """
        edge, held = 0, []
        for number, token in enumerate(self.samples[sample].tokens):
            first, edge = edge, edge + len(token.text)
            if first < start + length and edge > start:
                held.append(number)
        return range(held[0], held[-1] + 1) if held else range(0)

    def text(self, sample: int) -> str:
        """Prompt and text of a sample, safe to display."""
        return self._prompt + visible(self.samples[sample].text)

    def texts(self) -> Iterator[str]:
        return map(self.text, range(len(self.samples)))

    def at(self, row: int, column: int) -> Place | None:
        if not 0 <= row < self.n_rows:
            return None
        sample, runs = self.row(row)
        edge = 0
        for token, text in runs:
            edge += cell_len(text)
            if column < edge:
                return Place(sample, token) if token >= 0 else None
        return None

    def row_of(self, place: Place) -> int | None:
        """First row that shows a token; None if it has no visible text."""
        flow = self._flows[place.sample]
        for number in range(len(flow)):
            if any(token == place.token for token, _ in flow[number]):
                return self._starts[place.sample] + number
        return None

    def neighbour(self, place: Place | None, by: int) -> Place | None:
        """The token `by` positions further, across samples; from an end without a place."""
        lengths = [len(sample.tokens) for sample in self.samples]
        if place is None:
            filled = [sample for sample, length in enumerate(lengths) if length]
            if not filled:
                return None
            last = filled[-1]
            return Place(filled[0], 0) if by > 0 else Place(last, lengths[last] - 1)
        sample, token = place.sample, place.token + by
        while token < 0 and sample > 0:
            sample -= 1
            token += lengths[sample]
        while token >= lengths[sample] and sample + 1 < len(lengths):
            token -= lengths[sample]
            sample += 1
        return Place(sample, token) if 0 <= token < lengths[sample] else place
