"""Drawn text as rows of tokens: wrapped as it arrives, and found again by row and column."""

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from transformer_playground.generation.samples import Sample, SampledToken, SampleEvent
from transformer_playground.terminal import visible

LEVELS = (0.5, 0.2, 0.05, 0.01)
"""Least probability of each level but the last, the likeliest first."""
PROMPT = -1
"""Stands for the prompt where the number of a token is meant."""
PLAIN = -2
"""Stands for what belongs to no token: headings, and what ends a text."""
_TAB = "    "
_FIRST_NOT_ASCII = "\x7f"

Run = tuple[int, str]
"""Neighbouring characters of one token: its number (or PROMPT, PLAIN) and the characters."""
Row = list[Run]


def level(logprob: float) -> int:
    """Which of the levels a token belongs to: 0 for the likeliest, `len(LEVELS)` for the least."""
    probability = math.exp(logprob)
    return next(
        (number for number, least in enumerate(LEVELS) if probability >= least), len(LEVELS)
    )


class Flow:
    """Text wrapped at spaces as it comes; no row but the last one changes again.

    Args:
        width: Cells of a row, at least 1. A space, or the cell that stands for a line break, may
            hang out by one.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._done: list[Row] = []
        self._open: list[tuple[int, str, int]] = []
        self._used = 0
        # Where the open row may be cut: behind its last space.
        self._cut = 0

    def push(self, token: int, text: str) -> None:
        """Add what a token wrote; `text` is safe to show."""
        for char in text.replace("\t", _TAB):
            self._push(token, char)

    def __len__(self) -> int:
        return len(self._done) + 1

    def __getitem__(self, row: int) -> Row:
        return self._done[row] if row < len(self._done) else _runs(self._open)

    def _push(self, token: int, char: str) -> None:
        if char == "\n":
            # A cell of its own, so that a token of line breaks alone can be pointed at.
            self._open.append((token, " ", 1))
            self._break(len(self._open))
            return
        width = 1 if char < _FIRST_NOT_ASCII else cell_len(char)
        overflows = self._used + width > self._width and bool(self._open)
        # What is left behind the last space may still be too long for a wide character.
        while char != " " and self._open and self._used + width > self._width:
            self._break(self._cut or len(self._open))
        self._open.append((token, char, width))
        self._used += width
        if char == " ":
            self._cut = len(self._open)
            if overflows:
                self._break(self._cut)

    def _break(self, at: int) -> None:
        self._done.append(_runs(self._open[:at]))
        self._open = self._open[at:]
        self._used = sum(width for _, _, width in self._open)
        self._cut = 0


def _runs(cells: Sequence[tuple[int, str, int]]) -> Row:
    runs: list[tuple[int, list[str]]] = []
    for token, char, _ in cells:
        if not runs or runs[-1][0] != token:
            runs.append((token, []))
        runs[-1][1].append(char)
    return [(token, "".join(chars)) for token, chars in runs]


@dataclass(frozen=True)
class Place:
    """A token of a transcript: sample and token, both from 0."""

    sample: int
    token: int


class Transcript:
    """The samples of one source, one below the other.

    Args:
        prompt: What each sample continues, untrusted text.
        count: Number of samples.
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
        """Tokens so far, of all samples."""
        return sum(len(sample.tokens) for sample in self.samples)

    @property
    def is_whole(self) -> bool:
        """Whether every sample has ended."""
        return all(sample.end for sample in self.samples)

    @property
    def was_cancelled(self) -> bool:
        """Whether a sample was stopped before its end."""
        return any(each.end and each.finish_reason == "cancelled" for each in self.samples)

    def add(self, event: SampleEvent) -> None:
        """Take the next event; `arrange` makes it count for the rows."""
        sample = self.samples[event.sample]
        sample.add(event)
        # What the end of a sample completes belongs to its last token.
        token = len(sample.tokens) - 1 if sample.tokens else PLAIN
        self._flows[event.sample].push(token, visible(event.text))

    def wrap(self, width: int) -> None:
        """Lay everything out anew when the width is another one."""
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
        """Find out where each sample begins."""
        self._starts, start = [], 0
        for flow in self._flows:
            self._starts.append(start)
            start += len(flow)

    @property
    def n_rows(self) -> int:
        """Rows of all samples."""
        return self._starts[-1] + len(self._flows[-1])

    def row(self, number: int) -> tuple[int, Row]:
        """The sample that a row belongs to, and its runs."""
        sample = bisect.bisect_right(self._starts, number) - 1
        return sample, self._flows[sample][number - self._starts[sample]]

    def token(self, place: Place) -> SampledToken:
        """The token at a place."""
        return self.samples[place.sample].tokens[place.token]

    def text(self, sample: int) -> str:
        """Prompt and text of a sample, safe to show."""
        return self._prompt + visible(self.samples[sample].text)

    def texts(self) -> Iterator[str]:
        """`text` of every sample."""
        return map(self.text, range(len(self.samples)))

    def at(self, row: int, column: int) -> Place | None:
        """The token whose cell this is."""
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
        """The first row that shows a token; None for one that shows nothing."""
        flow = self._flows[place.sample]
        for number in range(len(flow)):
            if any(token == place.token for token, _ in flow[number]):
                return self._starts[place.sample] + number
        return None

    def neighbour(self, place: Place | None, by: int) -> Place | None:
        """The token `by` further on, across samples; without a place, from the nearest end."""
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
