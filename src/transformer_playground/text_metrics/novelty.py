"""How many of the texts' word n-grams the reference text does not hold."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat

import numpy as np

from transformer_playground.text_metrics.diversity import split_words
from transformer_playground.text_metrics.hash_table import IntArray, KeyTable, pair_keys, room_after

_UNKNOWN = -1
_CHUNK_SIZE = 1 << 20
_NO_WORD_CHARACTER = re.compile(r"\W")


def ngram_novelty(
    texts: Sequence[str],
    reference: str,
    sizes: Iterable[int] = range(1, 11),
    *,
    chunk_size: int = _CHUNK_SIZE,
) -> dict[int, float | None]:
    """Share of the texts' word n-grams that do not occur in the reference, for each size.

    Every occurrence in the texts counts (tokens, not types). N-grams do not cross from one text
    into the next; in the reference they cross lines, since white space only separates words.
    Source: McCoy et al. 2023, "How Much Do Language Models Copy From Their Training Data?
    Evaluating Linguistic Novelty in Text Generation Using RAVEN".

    Exact: an n-gram is the pair of the (n−1)-gram before it and its last word, and each such pair
    of the texts has a number; the reference keeps the places that still spell an n-gram of the
    texts, fewer for each n. Memory: 4 bytes for each word of the reference, and a constant.

    Args:
        texts: What was generated.
        reference: What the model was trained on.
        sizes: Words in an n-gram, each at least 1.
        chunk_size: Code points to split and words to compare at a time: decides about memory,
            never about the result.

    Returns:
        For each size the share, or None if no text has that many words.

    Raises:
        ValueError: A size is below 1.
    """
    wanted = list(sizes)
    if min(wanted, default=1) < 1:
        raise ValueError(f"an n-gram has at least one word, not {min(wanted)}")
    words = [split_words(text) for text in texts]
    vocabulary = {word: number for number, word in enumerate(set(chain.from_iterable(words)))}
    longest = min(max(wanted, default=0), max(map(len, words), default=0))
    levels = list(_levels(words, vocabulary, longest))
    _mark_seen(levels, _reference_numbers(reference, vocabulary, chunk_size), chunk_size)
    return {size: levels[size - 1].novelty() if size <= longest else None for size in wanted}


class _Level:
    """The texts' n-grams of one size, each marked once the reference shows it.

    Attributes:
        grams: The number of each n-gram of the texts, one entry per occurrence.
    """

    def __init__(self, shorter: IntArray, last: IntArray, n_words: int) -> None:
        keys = pair_keys(shorter, last, n_words)
        self._n_words = n_words
        self._table = KeyTable(keys)
        self.grams = self._table.find(keys)
        self._seen = np.zeros(self._table.size, dtype=np.bool_)

    def mark(self, shorter: IntArray, last: IntArray) -> IntArray:
        """Marks the n-grams that these pairs spell; their numbers, −1 for pairs of no text."""
        grams = self._table.find(pair_keys(shorter, last, self._n_words))
        self._seen[grams[grams != _UNKNOWN]] = True
        return grams

    def novelty(self) -> float:
        """Share of the occurrences whose n-gram was never marked."""
        return float(np.mean(~self._seen[self.grams]))


def _levels(words: list[list[str]], vocabulary: dict[str, int], longest: int) -> Iterator[_Level]:
    """The n-grams of the texts for n = 1 … longest."""
    numbers = _numbers(chain.from_iterable(words), vocabulary)
    room = room_after([len(one) for one in words])
    starts, grams = np.arange(len(numbers)), np.zeros(len(numbers), dtype=np.int32)
    for size in range(1, longest + 1):
        fits = room[starts] >= size
        starts = starts[fits]
        level = _Level(grams[fits], numbers[starts + size - 1], len(vocabulary))
        grams = level.grams
        yield level


def _mark_seen(levels: list[_Level], reference: IntArray, chunk_size: int) -> None:
    for begin in range(0, len(reference), chunk_size):
        # An n-gram that starts in this chunk may end n − 1 words behind it.
        chunk = reference[begin : begin + chunk_size + len(levels) - 1]
        starts, grams = np.arange(len(chunk)), np.zeros(len(chunk), dtype=np.int32)
        for size, level in enumerate(levels, start=1):
            fits = starts + size <= len(chunk)
            starts, grams = starts[fits], grams[fits]
            last = chunk[starts + size - 1]
            known = last != _UNKNOWN
            grams = level.mark(grams[known], last[known])
            found = grams != _UNKNOWN
            starts, grams = starts[known][found], grams[found]


def _reference_numbers(reference: str, vocabulary: dict[str, int], chunk_size: int) -> IntArray:
    parts = [_numbers(split_words(part), vocabulary) for part in _parts(reference, chunk_size)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32)


def _parts(text: str, size: int) -> Iterator[str]:
    """Pieces of bounded length (but for one endless word), cut where no word is cut."""
    begin = 0
    while begin < len(text):
        border = _NO_WORD_CHARACTER.search(text, begin + size)
        end = border.start() if border else len(text)
        yield text[begin:end]
        begin = end


def _numbers(words: Iterable[str], vocabulary: dict[str, int]) -> IntArray:
    return np.fromiter(map(vocabulary.get, words, repeat(_UNKNOWN)), dtype=np.int32)
