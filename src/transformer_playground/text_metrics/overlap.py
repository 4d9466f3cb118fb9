"""Text overlap: exact matches and longest verbatim matches in a reference text."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from transformer_playground.text_metrics.hash_table import (
    EMPTY,
    IntArray,
    KeyTable,
    pair_keys,
    remaining_lengths,
)

BoolArray = np.ndarray[tuple[int], np.dtype[np.bool_]]
CHUNK_SIZE = 1 << 21
# From this window length on, removing repeated positions saves time.
_MANY_LENGTHS = 16
_NOT_FOUND = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Level:
    """All windows of one length in the texts, with equal ids for equal windows.

    Attributes:
        length: Code points in a window, a power of two.
        table: Maps a window's key, a code point or the pair of the halves' ids, to its id.
        ids: For each position in the concatenated texts, the id of the window that starts there;
            −1 where the text is too short.
    """

    length: int
    table: KeyTable
    ids: IntArray


@dataclass(frozen=True)
class _Positions:
    """Windows of one level in a chunk of the reference.

    Attributes:
        ids: Id of the window that starts at each position; −1 if it does not occur in the texts.
        starts: Ascending positions whose id is not −1.
    """

    ids: IntArray
    starts: IntArray


class LongestShared:
    """Longest substring of each text that occurs in a reference, exactly.

    Each window whose length is a power of two has an id; a window of 2L code points is the pair
    of its halves' ids. The reference keeps only positions where a window of the texts starts. A
    window of any other length is two overlapping windows of the next lower power of two, and
    "some window of length L occurs" is monotone in L, so the length is found by bisection.
    From Karp, Miller & Rosenberg 1972, "Rapid Identification of Repeated Patterns in Strings,
    Trees and Arrays". Ids stand for exact pairs, so there are no collisions to verify.

    Args:
        chunk_size: Code points of the reference processed at a time (at least the longest text);
            affects only memory.

    Attributes:
        lengths: Length of each text's longest shared substring, in code points.
        positions: Where the earliest substring of that length starts in the reference, in code
            points; 0 where nothing is shared.
    """

    def __init__(
        self, texts: Sequence[str], reference: str, *, chunk_size: int = CHUNK_SIZE
    ) -> None:
        sizes = [len(text) for text in texts]
        self._sizes = np.array(sizes, dtype=np.int64)
        self._text = np.repeat(np.arange(len(texts)), sizes)
        self._left = remaining_lengths(sizes)
        self._levels = list(_levels(_code_points("".join(texts)), self._left))
        self.lengths = np.zeros(len(texts), dtype=np.int64)
        self.positions = np.zeros(len(texts), dtype=np.int64)
        longest = max(sizes, default=0)
        step = max(chunk_size, longest, 1)
        for begin in range(0, len(reference), step):
            # A substring that starts in this chunk may extend beyond it.
            self._search(_code_points(reference[begin : begin + step + longest]), begin)

    def _search(self, chunk: IntArray, begin: int) -> None:
        """Update the results with a chunk of the reference that starts at `begin`."""
        level: _Level | None = None
        positions = _Positions(chunk, np.arange(len(chunk)))
        alive = np.ones(len(self._sizes), dtype=np.bool_)
        for longer in self._levels:
            longer_positions = _find_windows(longer, level, positions)
            first = self._first_windows(longer, longer_positions)
            self._record(longer.length, first, begin)
            reached = first != _NOT_FOUND
            if level is not None:
                self._bisect(level, positions, alive & ~reached, begin)
            if not reached.any():
                return
            level, positions, alive = longer, longer_positions, reached
        if level is not None:
            self._bisect(level, positions, alive, begin)

    def _bisect(self, level: _Level, positions: _Positions, chosen: BoolArray, begin: int) -> None:
        """Bisect the length for texts that share a window of this level and none of the next."""
        if not chosen.any():
            return
        if level.length >= _MANY_LENGTHS:
            positions = _without_repeats(positions, level)
        low = np.maximum(self.lengths, level.length)
        high = np.minimum(self._sizes + 1, 2 * level.length)
        while (open_texts := chosen & (low + 1 < high)).any():
            middle = (low + high) // 2
            for length in np.unique(middle[open_texts]):
                selected = open_texts & (middle == length)
                first = self._first_of_length(int(length), level, positions, selected)
                self._record(int(length), first, begin)
                found = first != _NOT_FOUND
                low = np.where(selected & found, length, low)
                high = np.where(selected & ~found, length, high)

    def _first_windows(self, level: _Level, positions: _Positions) -> IntArray:
        """For each text, the first position of any of its windows of a level, or `_NOT_FOUND`."""
        windows = np.flatnonzero(level.ids != EMPTY)
        earliest = _earliest(positions.ids[positions.starts], positions.starts, level.table.size)
        return self._first_per_text(windows, earliest[level.ids[windows]])

    def _first_of_length(
        self, length: int, level: _Level, positions: _Positions, selected: BoolArray
    ) -> IntArray:
        """Like `_first_windows` for a length between the level's and its double, for some texts."""
        shift = length - level.length
        windows = np.flatnonzero(selected[self._text] & (self._left >= length))
        keys = pair_keys(level.ids[windows], level.ids[windows + shift], level.table.size)
        table = KeyTable(keys)
        starts, ids = _joined(positions, shift, table, level.table.size)
        earliest = _earliest(ids, starts, table.size)
        return self._first_per_text(windows, earliest[table.find(keys)])

    def _first_per_text(self, windows: IntArray, first: IntArray) -> IntArray:
        result = np.full(len(self._sizes), _NOT_FOUND)
        np.minimum.at(result, self._text[windows], first)
        return result

    def _record(self, length: int, first: IntArray, begin: int) -> None:
        # Only longer ones: a match of equal length in an earlier chunk starts earlier.
        better = (first != _NOT_FOUND) & (length > self.lengths)
        self.lengths[better] = length
        self.positions[better] = first[better] + begin


def _levels(characters: IntArray, left: IntArray) -> Iterator[_Level]:
    """Levels of length 1, 2, 4 … up to the longest text."""
    if len(characters) == 0:
        return
    table = KeyTable(characters)
    level = _Level(1, table, table.find(characters))
    yield level
    while (length := 2 * level.length) <= left.max():
        windows = np.flatnonzero(left >= length)
        keys = pair_keys(level.ids[windows], level.ids[windows + level.length], level.table.size)
        table = KeyTable(keys)
        ids = np.full(len(characters), EMPTY, dtype=np.int32)
        ids[windows] = table.find(keys)
        level = _Level(length, table, ids)
        yield level


def _find_windows(level: _Level, halves: _Level | None, positions: _Positions) -> _Positions:
    """Find the windows of a level in a chunk of the reference.

    Args:
        halves: The level below; None for the lowest.
        positions: Positions on the level below; the chunk's code points for the lowest.
    """
    if halves is None:
        ids = level.table.find(positions.ids)
        return _Positions(ids, np.flatnonzero(ids != EMPTY))
    starts, found = _joined(positions, halves.length, level.table, halves.table.size)
    ids = np.full(len(positions.ids), EMPTY, dtype=np.int32)
    ids[starts] = found
    return _Positions(ids, starts)


def _joined(
    positions: _Positions, shift: int, table: KeyTable, size: int
) -> tuple[IntArray, IntArray]:
    """Starts of two windows `shift` apart whose pair is in a table, and the id of the pair."""
    starts = positions.starts[positions.starts < len(positions.ids) - shift]
    second = positions.ids[starts + shift]
    known = second != EMPTY
    starts = starts[known]
    ids = table.find(pair_keys(positions.ids[starts], second[known], size))
    found = ids != EMPTY
    return starts[found], ids[found]


def _without_repeats(positions: _Positions, level: _Level) -> _Positions:
    """Drop positions equivalent to an earlier one for windows up to twice the level's length.

    A repetitive reference contains the same windows at many positions. A match that starts at a
    position ends within the unbroken run of known windows that starts there, so the first and the
    last window of that run and its length identify all matches.
    """
    starts, ids = positions.starts, positions.ids
    run_ends = np.append(np.flatnonzero(np.diff(starts) != 1), len(starts) - 1)
    last = np.repeat(starts[run_ends], np.diff(run_ends, prepend=-1))
    run = np.minimum(last - starts, level.length - 1)
    ends = pair_keys(ids[starts], ids[starts + run], level.table.size)
    kinds = pair_keys(KeyTable(ends).find(ends), run, level.length)
    _, first = np.unique(kinds, return_index=True)
    return _Positions(ids, starts[np.sort(first)])


def _earliest(ids: IntArray, starts: IntArray, size: int) -> IntArray:
    """For each id the first of its ascending starts, or `_NOT_FOUND`."""
    first = np.full(size, _NOT_FOUND)
    first[ids[::-1]] = starts[::-1]  # the last assignment wins
    return first


def _code_points(text: str) -> IntArray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


@dataclass(frozen=True)
class Match:
    """The longest passage of one text that occurs verbatim in the reference.

    Attributes:
        sample: Index of the text.
        start: Start of the passage in the text, in code points.
        reference_start: Earliest start of a passage of that length in the reference, in code
            points.
        text: The passage; empty if no character is shared (both starts are 0 then).
        share: Length of the passage / length of the text; 0 for an empty text.
    """

    sample: int
    start: int
    reference_start: int
    text: str
    share: float

    @property
    def length(self) -> int:
        """Code points in the passage."""
        return len(self.text)


@dataclass(frozen=True)
class Matches:
    """Longest verbatim matches of a set of texts, one per text in order.

    Attributes:
        longest: The longest match, the first of equals; None without texts.
        mean_length: Mean length in code points; None without texts.
        mean_share: Mean share of a text that its match covers; None without texts.
    """

    per_text: tuple[Match, ...]
    longest: Match | None
    mean_length: float | None
    mean_share: float | None


@dataclass(frozen=True)
class ExactMatches:
    """Shares of non-empty texts that occur verbatim in the splits; None if all are empty.

    Attributes:
        novel: Share of texts in neither split.
    """

    train: float | None
    val: float | None
    either: float | None
    novel: float | None


def longest_matches(
    texts: Sequence[str], reference: str, *, chunk_size: int = CHUNK_SIZE
) -> Matches:
    """Longest passage of each text that occurs verbatim in the reference; see `LongestShared`.

    Exact and case-sensitive, in code points, without normalisation. Of passages of equal length,
    the one that occurs earliest in the reference is reported, at its first position in the text.
    Time grows with the reference, memory with the texts.

    Args:
        texts: Generated texts.
        reference: Training text.
        chunk_size: Code points of the reference processed at a time; affects only memory (about
            60 bytes each).
    """
    shared = LongestShared(texts, reference, chunk_size=chunk_size)
    found = tuple(
        _match(index, text, reference, int(position), int(length))
        for index, (text, position, length) in enumerate(
            zip(texts, shared.positions, shared.lengths, strict=True)
        )
    )
    return Matches(
        per_text=found,
        longest=max(found, key=lambda match: match.length, default=None),
        mean_length=_mean([match.length for match in found]),
        mean_share=_mean([match.share for match in found]),
    )


def exact_match_ratio(texts: Sequence[str], reference: str) -> float | None:
    """Share of non-empty texts that occur anywhere in the reference; None without such texts.

    Surrounding white space is ignored. `exact_line_matches` compares whole lines instead.
    """
    return _mean([text in reference for text in _stripped(texts)])


def exact_matches(texts: Sequence[str], train: str, val: str) -> ExactMatches:
    """Shares of non-empty texts that occur anywhere in the splits."""
    return _exact_matches(texts, lambda text: text in train, lambda text: text in val)


def exact_line_matches(texts: Sequence[str], train: str, val: str) -> ExactMatches:
    """Shares of non-empty texts that equal a line, or successive lines, of the splits.

    For datasets whose documents are lines: "Ann" is not a copy of the line "Anna". Surrounding
    white space of each line is ignored.
    """
    train_lines, val_lines = _framed_lines(train), _framed_lines(val)
    return _exact_matches(
        texts,
        lambda text: _framed_lines(text) in train_lines,
        lambda text: _framed_lines(text) in val_lines,
    )


def _exact_matches(
    texts: Sequence[str], in_train: Callable[[str], bool], in_val: Callable[[str], bool]
) -> ExactMatches:
    stripped = _stripped(texts)
    train, val = list(map(in_train, stripped)), list(map(in_val, stripped))
    either = [any(found) for found in zip(train, val, strict=True)]
    novel = [not found for found in either]
    return ExactMatches(_mean(train), _mean(val), _mean(either), _mean(novel))


def _match(index: int, text: str, reference: str, position: int, length: int) -> Match:
    passage = reference[position : position + length]
    return Match(index, text.index(passage), position, passage, length / len(text) if text else 0.0)


def _stripped(texts: Sequence[str]) -> list[str]:
    return [bare for text in texts if (bare := text.strip())]


def _framed_lines(text: str) -> str:
    return "\n" + "\n".join(line.strip() for line in text.split("\n")) + "\n"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
