"""N-gram novelty: share of word n-grams that do not occur in a reference text."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat

import numpy as np

from transformer_playground.text_metrics.diversity import split_words
from transformer_playground.text_metrics.hash_table import (
    EMPTY,
    IntArray,
    KeyTable,
    pair_keys,
    remaining_lengths,
)

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

    Every occurrence in the texts counts (tokens, not types). N-grams do not cross texts; in the
    reference they cross lines. From McCoy et al. 2023, "How Much Do Language Models Copy From
    Their Training Data? Evaluating Linguistic Novelty in Text Generation Using RAVEN".

    Exact: an n-gram is a pair of an (n−1)-gram and a last word, and each such pair of the texts
    has an id. For each n, only positions of the reference where an n-gram of the texts starts are
    kept. Memory: 4 bytes per word of the reference, and a constant.

    Args:
        texts: Generated texts.
        reference: Training text.
        sizes: Values of n, each at least 1.
        chunk_size: Code points to split and words to compare at a time; affects only memory.

    Returns:
        Share per size; None if no text has that many words.

    Raises:
        ValueError: A size is below 1.
    """
    requested = list(sizes)
    if min(requested, default=1) < 1:
        raise ValueError(f"an n-gram has at least one word, not {min(requested)}")
    words = [split_words(text) for text in texts]
    vocabulary = {word: number for number, word in enumerate(set(chain.from_iterable(words)))}
    longest = min(max(requested, default=0), max(map(len, words), default=0))
    levels = list(_levels(words, vocabulary, longest))
    parts = [_word_ids(split_words(part), vocabulary) for part in _parts(reference, chunk_size)]
    if parts:
        _mark_seen(levels, np.concatenate(parts), chunk_size)
    return {size: levels[size - 1].novelty() if size <= longest else None for size in requested}


class _Level:
    """N-grams of the texts of one size, and which of them occur in the reference.

    Attributes:
        grams: Id of each n-gram of the texts, one entry per occurrence.
    """

    def __init__(self, shorter: IntArray, last: IntArray, n_words: int) -> None:
        keys = pair_keys(shorter, last, n_words)
        self._n_words = n_words
        self._table = KeyTable(keys)
        self.grams = self._table.find(keys)
        self._seen = np.zeros(self._table.size, dtype=np.bool_)

    def mark(self, shorter: IntArray, last: IntArray) -> IntArray:
        """Mark the n-grams of these pairs as seen; returns their ids, −1 for unknown pairs."""
        grams = self._table.find(pair_keys(shorter, last, self._n_words))
        self._seen[grams[grams != EMPTY]] = True
        return grams

    def novelty(self) -> float:
        return float(np.mean(~self._seen[self.grams]))


def _levels(words: list[list[str]], vocabulary: dict[str, int], longest: int) -> Iterator[_Level]:
    ids = _word_ids(chain.from_iterable(words), vocabulary)
    left = remaining_lengths([len(one) for one in words])
    starts, grams = np.arange(len(ids)), np.zeros(len(ids), dtype=np.int32)
    for size in range(1, longest + 1):
        fits = left[starts] >= size
        starts = starts[fits]
        level = _Level(grams[fits], ids[starts + size - 1], len(vocabulary))
        grams = level.grams
        yield level


def _mark_seen(levels: list[_Level], reference: IntArray, chunk_size: int) -> None:
    for begin in range(0, len(reference), chunk_size):
        # An n-gram that starts in this chunk may end n − 1 words after it.
        chunk = reference[begin : begin + chunk_size + len(levels) - 1]
        starts, grams = np.arange(len(chunk)), np.zeros(len(chunk), dtype=np.int32)
        for size, level in enumerate(levels, start=1):
            fits = starts + size <= len(chunk)
            starts, grams = starts[fits], grams[fits]
            last = chunk[starts + size - 1]
            known = last != EMPTY
            grams = level.mark(grams[known], last[known])
            found = grams != EMPTY
            starts, grams = starts[known][found], grams[found]


def _parts(text: str, size: int) -> Iterator[str]:
    """Pieces of about `size` characters, cut at word boundaries."""
    begin = 0
    while begin < len(text):
        boundary = _NO_WORD_CHARACTER.search(text, begin + size)
        end = boundary.start() if boundary else len(text)
        yield text[begin:end]
        begin = end


def _word_ids(words: Iterable[str], vocabulary: dict[str, int]) -> IntArray:
    return np.fromiter(map(vocabulary.get, words, repeat(EMPTY)), dtype=np.int32)
