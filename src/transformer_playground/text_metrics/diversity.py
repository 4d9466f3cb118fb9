"""Text diversity: distinct n-grams, repetition, Zipf coefficient and duplicates.

Words do not depend on a tokenizer, so that models with different vocabularies compare: a word is
a run of letters, digits and underscores (Python's Unicode `\\w+`), or one other character that is
not white space. Case is kept and nothing is normalised. A combining mark is not in `\\w`, so it is
a separate word.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

WORD = re.compile(r"\w+|[^\w\s]")

REPETITION_NGRAM = 4
ZIPF_RANKS = 5000
MIN_ZIPF_WORDS = 5
MAX_DUPLICATES = 20


@dataclass(frozen=True)
class Duplicate:
    """A text generated more than once, stripped of surrounding white space."""

    text: str
    count: int


@dataclass(frozen=True)
class TextStatistics:
    """Statistics of a set of texts; None where there is nothing to measure.

    Attributes:
        count: Number of texts, empty ones included.
        non_empty_ratio: Share of texts with more than white space.
        unique_ratio: Distinct texts / non-empty texts, ignoring surrounding white space.
        distinct_1: Distinct words / words; depends on the text length, so compare equal sizes.
        distinct_2: Distinct word pairs / word pairs.
        seq_rep_4: Mean share of a text's 4-grams that occur earlier in the same text.
        zipf_coefficient: Exponent of word frequency over rank; near 1 for natural language.
        avg_chars: Mean length in code points, white space included.
        avg_words: Mean length in words.
        top_duplicates: Up to 20 most frequent texts that occur at least twice.
    """

    count: int
    non_empty_ratio: float | None
    unique_ratio: float | None
    distinct_1: float | None
    distinct_2: float | None
    seq_rep_4: float | None
    zipf_coefficient: float | None
    avg_chars: float | None
    avg_words: float | None
    top_duplicates: tuple[Duplicate, ...]


def split_words(text: str) -> list[str]:
    """Words of a text in order, as defined by this module."""
    return WORD.findall(text)


def text_statistics(texts: Sequence[str]) -> TextStatistics:
    """All statistics of a set of texts."""
    words = [split_words(text) for text in texts]
    stripped = [bare for text in texts if (bare := text.strip())]
    occurrences = Counter(stripped)
    return TextStatistics(
        count=len(texts),
        non_empty_ratio=_share(len(stripped), len(texts)),
        unique_ratio=_share(len(occurrences), len(stripped)),
        distinct_1=distinct_n(words, 1),
        distinct_2=distinct_n(words, 2),
        seq_rep_4=seq_rep_n(words, REPETITION_NGRAM),
        zipf_coefficient=zipf_coefficient(chain.from_iterable(words)),
        avg_chars=_share(sum(map(len, texts)), len(texts)),
        avg_words=_share(sum(map(len, words)), len(texts)),
        top_duplicates=_top_duplicates(occurrences),
    )


def distinct_n(texts: Iterable[Sequence[str]], n: int) -> float | None:
    """Distinct-n: distinct n-grams / n-grams, over all texts together.

    N-grams do not cross texts. From Li et al. 2016, "A Diversity-Promoting Objective Function for
    Neural Conversation Models".

    Args:
        texts: The words of each text.
        n: Words in an n-gram.

    Returns:
        A share above 0 and at most 1, or None if no text has n words.
    """
    seen: set[tuple[str, ...]] = set()
    total = 0
    for words in texts:
        seen.update(_ngrams(words, n))
        total += max(0, len(words) - n + 1)
    return _share(len(seen), total)


def seq_rep_n(texts: Iterable[Sequence[str]], n: int) -> float | None:
    """Seq-rep-n: 1 - distinct n-grams / n-grams of a text, averaged over the texts.

    Texts shorter than n words are left out. From Welleck et al. 2020, "Neural Text Generation with
    Unlikelihood Training".

    Args:
        texts: The words of each text.
        n: Words in an n-gram.

    Returns:
        0 without repetition, towards 1 for a loop; None if no text has n words.
    """
    shares = [
        1 - len(set(_ngrams(words, n))) / (len(words) - n + 1) for words in texts if len(words) >= n
    ]
    return _share(math.fsum(shares), len(shares))


def zipf_coefficient(words: Iterable[str]) -> float | None:
    """Zipf coefficient: exponent s of frequency ∝ rank^(−s).

    Unweighted least squares of log frequency over log rank for the 5,000 most frequent words;
    equal frequencies take successive ranks. From Holtzman et al. 2020, "The Curious Case of
    Neural Text Degeneration", with the ranks of its code.

    Returns:
        The exponent, or None for fewer than 5 distinct words.
    """
    counts = sorted(Counter(words).values(), reverse=True)[:ZIPF_RANKS]
    if len(counts) < MIN_ZIPF_WORDS:
        return None
    ranks = np.log(np.arange(1, len(counts) + 1))
    frequencies = np.log(np.array(counts, dtype=np.float64))
    centred = ranks - ranks.mean()
    # Any shift of the frequencies gives the same slope; this one gives exactly 0 for equal ones.
    slope = centred @ (frequencies - frequencies[0]) / (centred @ centred)
    return 0.0 - float(slope)  # -slope would be -0.0 for a flat line


def _ngrams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)


def _top_duplicates(occurrences: Counter[str]) -> tuple[Duplicate, ...]:
    # Ties are sorted by text, so that the result does not depend on the order of the texts.
    repeated = [Duplicate(text, count) for text, count in occurrences.items() if count > 1]
    repeated.sort(key=lambda duplicate: (-duplicate.count, duplicate.text))
    return tuple(repeated[:MAX_DUPLICATES])


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
