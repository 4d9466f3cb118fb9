"""Statistics of a set of texts: how diverse they are, and how much each repeats itself.

Every count of words uses one unit that no tokenizer changes, so that models with different
vocabularies compare: a word is a run of letters, digits and underscores (Python's Unicode `\\w+`),
or one other character that is not white space. Case is kept, white space only separates, and
nothing is normalised. A combining mark is no `\\w`, so it is a word of its own.
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
    """A text that was generated more than once; white space around it is not counted."""

    text: str
    count: int


@dataclass(frozen=True)
class TextStatistics:
    """What a set of texts looks like; a value is None where nothing is there to measure.

    Attributes:
        count: Texts, empty ones included.
        non_empty_ratio: Share of the texts that hold more than white space.
        unique_ratio: Distinct texts among the non-empty ones, white space around them ignored.
        distinct_1: Distinct words among all words; falls as the texts grow, so compare like sizes.
        distinct_2: Distinct word pairs among all word pairs.
        seq_rep_4: Mean share of a text's 4-grams that repeat an earlier one of the same text.
        zipf_coefficient: Steepness of word frequency over rank; near 1 for natural language.
        avg_chars: Mean length in code points, white space included.
        avg_words: Mean length in words.
        top_duplicates: The texts that occur most often, at least twice; at most 20.
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
    """The words of a text in order, in the unit that this module documents."""
    return WORD.findall(text)


def text_statistics(texts: Sequence[str]) -> TextStatistics:
    """Measures a set of texts; see `TextStatistics` and the functions here for definitions."""
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
    """Distinct n-grams divided by all n-grams, over all texts together.

    N-grams do not cross from one text into the next. Source: Li et al. 2016, "A
    Diversity-Promoting Objective Function for Neural Conversation Models".

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
    """One minus distinct n-grams over all n-grams within a text, as the mean over the texts.

    Texts shorter than n words have no n-gram and are left out. Source: Welleck et al. 2020,
    "Neural Text Generation with Unlikelihood Training".

    Args:
        texts: The words of each text.
        n: Words in an n-gram.

    Returns:
        0 where nothing repeats, towards 1 for a loop; None if no text has n words.
    """
    shares = [
        1 - len(set(_ngrams(words, n))) / (len(words) - n + 1) for words in texts if len(words) >= n
    ]
    return _share(math.fsum(shares), len(shares))


def zipf_coefficient(words: Iterable[str]) -> float | None:
    """Exponent s of frequency ∝ rank^(−s): the negated slope of log frequency over log rank.

    Least squares over ranks 1 to 5,000 at most, the most frequent word first, each rank with the
    same weight; equal frequencies take successive ranks. Source: Holtzman et al. 2020, "The
    Curious Case of Neural Text Degeneration", and the ranks of its code.

    Returns:
        The exponent, or None with fewer than 5 distinct words: too few for a line.
    """
    counts = sorted(Counter(words).values(), reverse=True)[:ZIPF_RANKS]
    if len(counts) < MIN_ZIPF_WORDS:
        return None
    ranks = np.log(np.arange(1, len(counts) + 1))
    frequencies = np.log(np.array(counts, dtype=np.float64))
    centred = ranks - ranks.mean()
    # The intercept drops out, so any shift will do: this one leaves equal frequencies exactly flat.
    slope = centred @ (frequencies - frequencies[0]) / (centred @ centred)
    return 0.0 - float(slope)  # not -slope, which would show a flat line as -0.0


def _ngrams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)


def _top_duplicates(occurrences: Counter[str]) -> tuple[Duplicate, ...]:
    # By text where counts are equal, so that the order of the texts cannot matter.
    repeated = [Duplicate(text, count) for text, count in occurrences.items() if count > 1]
    repeated.sort(key=lambda duplicate: (-duplicate.count, duplicate.text))
    return tuple(repeated[:MAX_DUPLICATES])


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
