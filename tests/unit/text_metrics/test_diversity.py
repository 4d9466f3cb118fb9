"""Statistics of texts: values computed by hand, and against reference implementations."""

import math
from collections import Counter
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk import FreqDist
from nltk.util import ngrams
from scipy.stats import linregress

from transformer_playground.text_metrics.diversity import (
    Duplicate,
    distinct_n,
    seq_rep_n,
    split_words,
    text_statistics,
    zipf_coefficient,
)

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "über", ","]), max_size=30)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("To be, or not?", ["To", "be", ",", "or", "not", "?"]),
        ("don't  stop\n\tme_now 42", ["don", "'", "t", "stop", "me_now", "42"]),
        ("Füße 東京 👍👍", ["Füße", "東京", "👍", "👍"]),
        ("e\u0301", ["e", "\u0301"]),
        ("a\ud800b\x00", ["a", "\ud800", "b", "\x00"]),
        (" \n\u00a0\u2003", []),
    ],
)
def test_a_word_is_a_run_of_word_characters_or_one_other_visible_character(
    text: str, words: list[str]
) -> None:
    assert split_words(text) == words


def test_the_statistics_of_three_tiny_texts_are_those_computed_by_hand() -> None:
    measured = text_statistics(["a b a b a b", " a b a b a b\n", "c d e f", " \n"])
    assert measured.count == 4
    assert measured.non_empty_ratio == 3 / 4
    assert measured.unique_ratio == 2 / 3
    assert measured.distinct_1 == 6 / 16
    assert measured.distinct_2 == 5 / 13  # ab ba cd de ef
    assert measured.seq_rep_4 == pytest.approx((1 / 3 + 1 / 3 + 0) / 3)
    assert measured.avg_chars == (11 + 13 + 7 + 2) / 4
    assert measured.avg_words == 16 / 4
    assert measured.top_duplicates == (Duplicate("a b a b a b", 2),)


@pytest.mark.parametrize(("texts", "count", "ratio"), [([], 0, None), (["", "\n"], 2, 0.0)])
def test_without_words_only_counts_are_known(
    texts: list[str], count: int, ratio: float | None
) -> None:
    measured = text_statistics(texts)
    assert (measured.count, measured.non_empty_ratio) == (count, ratio)
    for name in ("unique_ratio", "distinct_1", "distinct_2", "seq_rep_4", "zipf_coefficient"):
        assert getattr(measured, name) is None
    assert measured.top_duplicates == ()


def test_one_word_has_no_pair_and_no_repetition() -> None:
    measured = text_statistics(["word"])
    assert (measured.distinct_1, measured.distinct_2, measured.seq_rep_4) == (1.0, None, None)


def test_a_loop_repeats_almost_all_its_four_grams() -> None:
    assert text_statistics(["no " * 103]).seq_rep_4 == 0.99


def test_pairs_do_not_cross_from_one_text_into_the_next() -> None:
    assert distinct_n([["a", "b"], ["a", "b"]], 2) == 1 / 2


def test_texts_without_a_four_gram_do_not_dilute_the_repetition() -> None:
    assert seq_rep_n([["a"] * 5, ["a"] * 3], 4) == 1 / 2


def test_duplicates_are_the_most_frequent_first_and_at_most_twenty() -> None:
    texts = [*"zzz", "once", *(f"text {n:02}" for n in range(25) for _ in range(2))]
    found = text_statistics(texts).top_duplicates
    assert found[0] == Duplicate("z", 3)
    assert found[1:] == tuple(Duplicate(f"text {n:02}", 2) for n in range(19))


def test_the_order_of_the_texts_does_not_matter() -> None:
    texts = ["b c", "a", "b c", "a", "d e f g h"]
    assert text_statistics(texts) == text_statistics(texts[::-1])


def test_frequencies_that_fall_as_one_over_rank_have_coefficient_one() -> None:
    counts = {f"w{rank}": 2520 // rank for rank in range(1, 11)}
    assert zipf_coefficient(Counter(counts).elements()) == pytest.approx(1)


def test_equal_frequencies_have_coefficient_zero() -> None:
    assert zipf_coefficient("abcde") == 0
    assert math.copysign(1, zipf_coefficient("abcde") or 0) == 1


def test_four_distinct_words_are_too_few_for_a_zipf_coefficient() -> None:
    assert zipf_coefficient("aaabbcd") is None


def test_only_the_five_thousand_most_frequent_words_make_the_zipf_coefficient() -> None:
    head = [f"w{n}" for n in range(5000) for _ in range(2)]
    assert zipf_coefficient([*head, *(f"rare{n}" for n in range(9000))]) == 0


@given(st.lists(st.integers(1, 500), min_size=5, max_size=60))
def test_the_zipf_coefficient_is_the_slope_that_scipy_fits(counts: list[int]) -> None:
    words = [f"w{n}" for n, count in enumerate(counts) for _ in range(count)]
    frequencies = sorted(FreqDist(words).values(), reverse=True)
    slope = linregress(np.log(np.arange(1, len(counts) + 1)), np.log(frequencies)).slope
    assert zipf_coefficient(words) == pytest.approx(-slope, abs=1e-9)


@given(st.lists(WORDS, max_size=6), st.integers(1, 5))
def test_distinct_n_counts_the_ngrams_that_nltk_counts(texts: list[list[str]], n: int) -> None:
    grams = FreqDist(chain.from_iterable(ngrams(words, n) for words in texts))
    expected = grams.B() / grams.N() if grams.N() else None
    assert distinct_n(texts, n) == expected


@given(st.lists(WORDS, max_size=6), st.integers(1, 5))
def test_seq_rep_n_is_the_mean_over_texts_of_what_nltk_counts(
    texts: list[list[str]], n: int
) -> None:
    counted = [FreqDist(ngrams(words, n)) for words in texts if len(words) >= n]
    shares = [1 - grams.B() / grams.N() for grams in counted]
    expected = pytest.approx(sum(shares) / len(shares)) if shares else None
    assert seq_rep_n(texts, n) == expected


@given(st.lists(st.text(max_size=30), max_size=8))
def test_any_text_can_be_measured_and_shares_lie_between_zero_and_one(texts: list[str]) -> None:
    measured = text_statistics(texts)
    assert measured.count == len(texts)
    for name in ("non_empty_ratio", "unique_ratio", "distinct_1", "distinct_2", "seq_rep_4"):
        share = getattr(measured, name)
        assert share is None or 0 <= share <= 1
