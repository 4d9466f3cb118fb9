"""What is in a split: how often each token occurs, lines, and documents by length."""

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from transformer_playground.data.browsing.token_bytes import (
    BLOCK,
    Block,
    Ids,
    Progress,
    TokenBytes,
    blocks,
    read_block,
)
from transformer_playground.data.token_shards import TokenSource

Unit = Literal["document", "paragraph"]
"""Parts of a text: documents end with a token of their own; paragraphs with an empty line."""

# The first character after an empty line.
_BEGIN = re.compile(rb"\n\n[^\n]")
_LINE_BREAKS = 2
# Unused tokens have no bytes.
_SPARE = 64


@dataclass(frozen=True)
class Place:
    """Where a token stands, counted from 1."""

    line: int
    part: int


@dataclass(frozen=True)
class SplitStatistics:
    """Counts of a split.

    Attributes:
        tokens: Number of tokens.
        counts: How often each token occurs, (vocab_size,).
        unit: What the parts are.
        end_token: The token that ends a document; None where parts are paragraphs.
        lengths: Length of a part in tokens -> number of such parts.
        longest: First token of the longest part.
        lines_before: Line breaks before each block of tokens.
        parts_before: Parts that begin before each block, but for the first one.
        block: Tokens of a block.
    """

    tokens: int
    counts: Ids
    unit: Unit
    end_token: int | None
    lengths: Mapping[int, int]
    longest: int
    lines_before: tuple[int, ...]
    parts_before: tuple[int, ...]
    block: int = BLOCK

    @property
    def parts(self) -> int:
        """Number of documents or paragraphs."""
        return sum(self.lengths.values())

    @property
    def lines(self) -> int:
        """Number of lines, the last one included if it does not end with a line break."""
        return self.lines_before[-1] + 1

    def median_length(self) -> int:
        """Tokens of the part in the middle, by length; 0 without parts."""
        seen, half = 0, self.parts / 2
        for length in sorted(self.lengths):
            seen += self.lengths[length]
            if seen >= half:
                return length
        return 0

    def histogram(self) -> list[tuple[int, int, int]]:
        """Shortest length, longest length and number of parts of each power of two."""
        found: Counter[int] = Counter()
        for length, count in self.lengths.items():
            found[length.bit_length() - 1] += count
        if not found:
            return []
        low, high = min(found), max(found)
        return [(1 << power, (2 << power) - 1, found[power]) for power in range(low, high + 1)]


@dataclass
class _Counter:
    """Counts blocks of a split in order."""

    end_token: int | None
    counts: Ids
    lengths: Counter[int] = field(default_factory=Counter)
    lines_before: list[int] = field(default_factory=lambda: [0])
    parts_before: list[int] = field(default_factory=lambda: [0])
    # Length and first token of the longest part.
    longest: tuple[int, int] = (0, 0)
    _begin: int = 0
    _before: bytes = b""

    def add(self, block: Block) -> None:
        self.counts += np.bincount(block.ids, minlength=len(self.counts))
        self.lines_before.append(self.lines_before[-1] + block.text.count(b"\n"))
        begins = _part_begins(block, self.end_token, self._before)
        self.parts_before.append(self.parts_before[-1] + len(begins))
        self._end_parts(begins)
        self._before = (self._before + block.text)[-_LINE_BREAKS:]

    def finish(self, tokens: int) -> None:
        """The last part ends with the split."""
        if self._begin < tokens:
            self._end_parts(np.array([tokens], dtype=np.int64))

    def _end_parts(self, begins: Ids) -> None:
        if not len(begins):
            return
        starts = np.concatenate(([self._begin], begins[:-1]))
        lengths = begins - starts
        values, counts = np.unique(lengths, return_counts=True)
        self.lengths.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        at = int(lengths.argmax())
        if int(lengths[at]) > self.longest[0]:
            self.longest = int(lengths[at]), int(starts[at])
        self._begin = int(begins[-1])


def split_statistics(
    tokens: TokenSource,
    table: TokenBytes,
    end_token: int | None,
    *,
    size: int = BLOCK,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _: None,
) -> SplitStatistics | None:
    """Count a split in one pass; None if cancelled.

    Args:
        tokens: The split.
        table: Its vocabulary.
        end_token: Token that ends documents, if the tokenizer has one. Where the first block of
            the split does not have it, parts are paragraphs.
        size: Tokens that are read at once.
        cancelled: Called before each block.
        progress: Called with the tokens that were read.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    if end_token is not None and not (np.asarray(tokens[:size]) == end_token).any():
        end_token = None
    counter = _Counter(end_token, np.zeros(table.vocab_size, dtype=np.int64))
    read = 0
    for block in blocks(tokens, table, size=size, cancelled=cancelled, progress=progress):
        counter.add(block)
        read += len(block.ids)
    if read < len(tokens):
        return None
    counter.finish(len(tokens))
    return SplitStatistics(
        tokens=len(tokens),
        counts=counter.counts,
        unit="paragraph" if end_token is None else "document",
        end_token=end_token,
        lengths=dict(counter.lengths),
        longest=counter.longest[1],
        lines_before=tuple(counter.lines_before),
        parts_before=tuple(counter.parts_before),
        block=size,
    )


def place_of(
    tokens: TokenSource, table: TokenBytes, statistics: SplitStatistics, position: int
) -> Place:
    """Line and part of a token of a counted split.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    number = position // statistics.block
    first = number * statistics.block
    here = read_block(tokens, table, first, position + 1)
    own = len(here.text) - len(table.pieces[int(here.ids[-1])])
    lines = statistics.lines_before[number] + here.text[:own].count(b"\n")
    before = read_block(tokens, table, max(0, first - _SPARE), first).text[-_LINE_BREAKS:]
    begins = _part_begins(here, statistics.end_token, before)
    parts = statistics.parts_before[number] + int(np.count_nonzero(begins <= position))
    return Place(lines + 1, parts + 1)


def token_of_line(
    tokens: TokenSource, table: TokenBytes, statistics: SplitStatistics, line: int
) -> int:
    """Position of the first token of a line, counted from 1; the last line's beyond the end.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    wanted = min(max(1, line), statistics.lines) - 1
    if not wanted:
        return 0
    # The block in which the line break before it stands.
    number = int(np.searchsorted(statistics.lines_before, wanted, side="left")) - 1
    first = number * statistics.block
    block = read_block(tokens, table, first, first + statistics.block)
    breaks = np.flatnonzero(np.frombuffer(block.text, dtype=np.uint8) == ord("\n"))
    place = int(breaks[wanted - statistics.lines_before[number] - 1])
    return min(block.token_at(place) + 1, len(tokens) - 1)


def _part_begins(block: Block, end_token: int | None, before: bytes) -> Ids:
    """The tokens with which parts begin, but for the first one of the split.

    Args:
        block: The tokens that are looked at.
        end_token: Ends a document; None = an empty line ends a paragraph.
        before: The last bytes of the text before the block.
    """
    if end_token is not None:
        found: Ids = np.flatnonzero(block.ids == end_token).astype(np.int64) + block.first + 1
        return found
    text = before + block.text
    places = [match.end() - 1 - len(before) for match in _BEGIN.finditer(text)]
    return np.unique(block.tokens_at(np.array(places, dtype=np.int64)))
