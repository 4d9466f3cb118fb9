"""How much of a set of texts is copied, character by character, from a reference text."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from transformer_playground.text_metrics.hash_table import IntArray, KeyTable, pair_keys, room_after

BoolArray = np.ndarray[tuple[int], np.dtype[np.bool_]]
CHUNK_SIZE = 1 << 21
_NONE = -1
# From here on a level has so many lengths that sorting out repeated places pays.
_MANY_LENGTHS = 16
_NOWHERE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Level:
    """The texts' windows of one length, numbered so that equal windows have equal numbers.

    Attributes:
        length: Code points in a window, a power of two.
        table: Numbers a window's key: its code point, or the pair of its halves' numbers.
        names: For each place in the texts laid end to end the number of the window that starts
            there, −1 where the text ends sooner.
    """

    length: int
    table: KeyTable
    names: IntArray


@dataclass(frozen=True)
class _Places:
    """Where a stretch of the reference spells a window of one level.

    Attributes:
        names: The number of the window that starts at each place, −1 where it is none of the texts.
        starts: The places where it is one, ascending.
    """

    names: IntArray
    starts: IntArray


class LongestShared:
    """Finds each text's longest substring that occurs in a reference, exactly.

    Windows whose length is a power of two are named by numbers, a window of 2L code points by the
    names of its halves; the reference keeps the places that spell a window of the texts, fewer
    for each doubling. A window of any other length is two overlapping windows of the power of two
    below, and "some window of length L occurs" is monotone in L, so bisection ends the search.
    Source of the naming: Karp, Miller & Rosenberg 1972, "Rapid Identification of Repeated
    Patterns in Strings, Trees and Arrays". Names stand for exact pairs, not for hashes: there are
    no collisions to verify.

    Args:
        texts: Of any length; empty ones share nothing.
        reference: Of any length.
        chunk_size: Code points of the reference that are worked on at a time, at least as many as
            the longest text has: decides about memory, never about the result.

    Attributes:
        lengths: Of each text's longest shared substring, in code points.
        places: Where the earliest substring of that length starts in the reference, in code
            points; 0 where nothing is shared.
    """

    def __init__(
        self, texts: Sequence[str], reference: str, *, chunk_size: int = CHUNK_SIZE
    ) -> None:
        sizes = [len(text) for text in texts]
        self._sizes = np.array(sizes, dtype=np.int64)
        self._text = np.repeat(np.arange(len(texts)), sizes)
        self._room = room_after(sizes)
        self._levels = list(_levels(_code_points("".join(texts)), self._room))
        self.lengths = np.zeros(len(texts), dtype=np.int64)
        self.places = np.zeros(len(texts), dtype=np.int64)
        longest = max(sizes, default=0)
        step = max(chunk_size, longest, 1)
        for begin in range(0, len(reference), step):
            # A substring that starts in this chunk may end almost a whole text behind it.
            self._search(_code_points(reference[begin : begin + step + longest]), begin)

    def _search(self, chunk: IntArray, begin: int) -> None:
        """Improves the results by what starts in a chunk of the reference, `begin` its place."""
        level: _Level | None = None
        places = _Places(chunk, np.arange(len(chunk)))
        alive = np.ones(len(self._sizes), dtype=np.bool_)
        for longer in self._levels:
            longer_places = _spelled(longer, level, places)
            first = self._first_windows(longer, longer_places)
            self._record(longer.length, first, begin)
            reached = first != _NOWHERE
            if level is not None:
                self._bisect(level, places, alive & ~reached, begin)
            if not reached.any():
                return
            level, places, alive = longer, longer_places, reached
        if level is not None:
            self._bisect(level, places, alive, begin)

    def _bisect(self, level: _Level, places: _Places, chosen: BoolArray, begin: int) -> None:
        """Ends the search for texts that share a window of this level and none of the next."""
        if not chosen.any():
            return
        if level.length >= _MANY_LENGTHS:
            places = _without_repeats(places, level)
        low = np.maximum(self.lengths, level.length)
        high = np.minimum(self._sizes + 1, 2 * level.length)
        while (open_texts := chosen & (low + 1 < high)).any():
            middle = (low + high) // 2
            for length in np.unique(middle[open_texts]):
                asked = open_texts & (middle == length)
                first = self._first_of_length(int(length), level, places, asked)
                self._record(int(length), first, begin)
                found = first != _NOWHERE
                low = np.where(asked & found, length, low)
                high = np.where(asked & ~found, length, high)

    def _first_windows(self, level: _Level, places: _Places) -> IntArray:
        """For each text the first place of any of its windows of a level, or `_NOWHERE`."""
        windows = np.flatnonzero(level.names != _NONE)
        earliest = _earliest(places.names[places.starts], places.starts, level.table.size)
        return self._first_per_text(windows, earliest[level.names[windows]])

    def _first_of_length(
        self, length: int, level: _Level, places: _Places, asked: BoolArray
    ) -> IntArray:
        """The same for windows of any length from the level's up to its double, for some texts."""
        shift = length - level.length
        windows = np.flatnonzero(asked[self._text] & (self._room >= length))
        keys = pair_keys(level.names[windows], level.names[windows + shift], level.table.size)
        table = KeyTable(keys)
        starts, names = _joined(places, shift, table, level.table.size)
        earliest = _earliest(names, starts, table.size)
        return self._first_per_text(windows, earliest[table.find(keys)])

    def _first_per_text(self, windows: IntArray, first: IntArray) -> IntArray:
        result = np.full(len(self._sizes), _NOWHERE)
        np.minimum.at(result, self._text[windows], first)
        return result

    def _record(self, length: int, first: IntArray, begin: int) -> None:
        # Strictly longer only: a match of equal length in an earlier chunk lies earlier.
        better = (first != _NOWHERE) & (length > self.lengths)
        self.lengths[better] = length
        self.places[better] = first[better] + begin


def _levels(characters: IntArray, room: IntArray) -> Iterator[_Level]:
    """Levels of length 1, 2, 4 … as far as one text reaches."""
    if len(characters) == 0:
        return
    table = KeyTable(characters)
    level = _Level(1, table, table.find(characters))
    yield level
    while (length := 2 * level.length) <= room.max():
        windows = np.flatnonzero(room >= length)
        keys = pair_keys(
            level.names[windows], level.names[windows + level.length], level.table.size
        )
        table = KeyTable(keys)
        names = np.full(len(characters), _NONE, dtype=np.int32)
        names[windows] = table.find(keys)
        level = _Level(length, table, names)
        yield level


def _spelled(level: _Level, halves: _Level | None, places: _Places) -> _Places:
    """Where the reference spells windows of a level, from where it spells those of half its length.

    Args:
        level: What to look for.
        halves: The level below; None for the lowest, whose windows are code points.
        places: Of the level below; the chunk's code points for the lowest.
    """
    if halves is None:
        names = level.table.find(places.names)
        return _Places(names, np.flatnonzero(names != _NONE))
    starts, found = _joined(places, halves.length, level.table, halves.table.size)
    names = np.full(len(places.names), _NONE, dtype=np.int32)
    names[starts] = found
    return _Places(names, starts)


def _joined(places: _Places, shift: int, table: KeyTable, size: int) -> tuple[IntArray, IntArray]:
    """Starts of two windows `shift` apart whose pair a table knows, and the pair's number."""
    starts = places.starts[places.starts < len(places.names) - shift]
    second = places.names[starts + shift]
    known = second != _NONE
    starts = starts[known]
    numbers = table.find(pair_keys(places.names[starts], second[known], size))
    found = numbers != _NONE
    return starts[found], numbers[found]


def _without_repeats(places: _Places, level: _Level) -> _Places:
    """Leaves out places that, as far as windows up to twice the level's go, repeat an earlier one.

    A repetitive reference spells the same windows at a great many places. What can match from a
    place on ends where the unbroken run of known windows ends that begins there, so the first and
    the last window of that run, and its length, say all.
    """
    starts, names = places.starts, places.names
    run_ends = np.append(np.flatnonzero(np.diff(starts) != 1), len(starts) - 1)
    last = np.repeat(starts[run_ends], np.diff(run_ends, prepend=-1))
    run = np.minimum(last - starts, level.length - 1)
    ends = pair_keys(names[starts], names[starts + run], level.table.size)
    kinds = pair_keys(KeyTable(ends).find(ends), run, level.length)
    _, first = np.unique(kinds, return_index=True)
    return _Places(names, starts[np.sort(first)])


def _earliest(names: IntArray, starts: IntArray, size: int) -> IntArray:
    """For each name the first of its ascending starts, `_NOWHERE` for names without one."""
    first = np.full(size, _NOWHERE)
    first[names[::-1]] = starts[::-1]  # the last assignment stays
    return first


def _code_points(text: str) -> IntArray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


@dataclass(frozen=True)
class Match:
    """The longest passage of one text that occurs verbatim in the reference.

    Attributes:
        sample: Which text, counted from 0.
        start: Where the passage begins in the text, in code points.
        reference_start: Where it begins in the reference, in code points; the earliest place
            where any passage of that length occurs.
        text: The passage; empty if the two share no character (both starts are 0 then).
        share: The passage's share of the text's characters; 0 for an empty text.
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
    """The longest verbatim matches of a set of texts.

    Attributes:
        per_text: One match for each text, in order.
        longest: The longest of them, the first of equals; None without texts.
        mean_length: Mean length in code points over the texts; None without texts.
        mean_share: Mean over the texts of the share that the match covers; None without texts.
    """

    per_text: tuple[Match, ...]
    longest: Match | None
    mean_length: float | None
    mean_share: float | None


@dataclass(frozen=True)
class ExactMatches:
    """Shares of the non-empty texts that occur whole in the splits; None if all are empty.

    Attributes:
        train: In the training text.
        val: In the validation text.
        either: In at least one of them.
        novel: In neither: one minus `either`.
    """

    train: float | None
    val: float | None
    either: float | None
    novel: float | None


def longest_matches(
    texts: Sequence[str], reference: str, *, chunk_size: int = CHUNK_SIZE
) -> Matches:
    """For each text the longest passage that occurs verbatim in the reference.

    Exact and case-sensitive, in code points: nothing is normalised. Of several passages of equal
    length the one that occurs earliest in the reference counts, at its first place in the text.

    `LongestShared` says how it is found: in time that grows with the reference and in memory that
    grows with the texts.

    Args:
        texts: What was generated.
        reference: What the model was trained on.
        chunk_size: Code points of the reference that are worked on at a time: decides about
            memory (some 60 bytes each), never about the result.
    """
    shared = LongestShared(texts, reference, chunk_size=chunk_size)
    found = tuple(
        _match(index, text, reference, int(place), int(length))
        for index, (text, place, length) in enumerate(
            zip(texts, shared.places, shared.lengths, strict=True)
        )
    )
    return Matches(
        per_text=found,
        longest=max(found, key=lambda match: match.length, default=None),
        mean_length=_mean([match.length for match in found]),
        mean_share=_mean([match.share for match in found]),
    )


def exact_match_ratio(texts: Sequence[str], reference: str) -> float | None:
    """Share of the non-empty texts that occur whole in the reference.

    A text is compared without the white space around it and may lie anywhere in the reference,
    inside a line or a word too; `exact_line_matches` asks for whole lines.

    Returns:
        The share, or None if no text holds more than white space.
    """
    return _true_share([text in reference for text in _stripped(texts)])


def exact_matches(texts: Sequence[str], train: str, val: str) -> ExactMatches:
    """Shares of the non-empty texts that occur verbatim anywhere in the splits."""
    return _exact_matches(texts, lambda text: text in train, lambda text: text in val)


def exact_line_matches(texts: Sequence[str], train: str, val: str) -> ExactMatches:
    """Shares of the non-empty texts that equal a line, or successive lines, of the splits.

    For corpora whose documents are lines: "Ann" is no copy of the line "Anna". White space at
    both ends of each line is ignored in the texts and in the splits, and empty lines count.
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
    trained = [in_train(text) for text in stripped]
    validated = [in_val(text) for text in stripped]
    either = [train or val for train, val in zip(trained, validated, strict=True)]
    return ExactMatches(
        train=_true_share(trained),
        val=_true_share(validated),
        either=_true_share(either),
        novel=_true_share([not found for found in either]),
    )


def _match(index: int, text: str, reference: str, place: int, length: int) -> Match:
    passage = reference[place : place + length]
    return Match(index, text.index(passage), place, passage, length / len(text) if text else 0.0)


def _stripped(texts: Sequence[str]) -> list[str]:
    return [bare for text in texts if (bare := text.strip())]


def _framed_lines(text: str) -> str:
    return "\n" + "\n".join(line.strip() for line in text.split("\n")) + "\n"


def _true_share(answers: Sequence[bool]) -> float | None:
    return _mean(answers)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
