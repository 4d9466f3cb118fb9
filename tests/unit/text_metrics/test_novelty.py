"""N-gram novelty: values computed by hand, and against sets of n-grams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.util import ngrams

from transformer_playground.text_metrics.diversity import split_words
from transformer_playground.text_metrics.novelty import ngram_novelty

WORDY = st.lists(
    st.sampled_from(["a", "b", "ab", ",", " ", "\n", "👍", "\udc80"]), max_size=40
).map("".join)


def brute_force(texts: list[str], reference: str, size: int) -> float | None:
    known = set(ngrams(split_words(reference), size))
    made = [gram for text in texts for gram in ngrams(split_words(text), size)]
    return sum(gram not in known for gram in made) / len(made) if made else None


def test_the_novelty_of_tiny_texts_is_the_one_computed_by_hand() -> None:
    novelty = ngram_novelty(
        ["the cat sat", "the dog the cat"], "the cat ate. the dog sat", [1, 2, 3]
    )
    # Pairs: "the cat" twice, "the dog" once known; "cat sat" and "dog the" new. Triples: all new.
    assert novelty == {1: 0.0, 2: 2 / 5, 3: 1.0}


def test_every_occurrence_counts_not_every_kind() -> None:
    assert ngram_novelty(["new new new old"], "old", [1]) == {1: 3 / 4}


def test_by_default_sizes_one_to_ten_are_measured() -> None:
    text = "a b c d e f g h i j"
    assert ngram_novelty([text], text) == dict.fromkeys(range(1, 11), 0.0)


def test_ngrams_of_the_texts_do_not_cross_texts_but_those_of_the_reference_cross_lines() -> None:
    assert ngram_novelty(["a b", "c d"], "a\nb x c\n\nd", [2, 3]) == {2: 0.0, 3: None}


def test_case_and_punctuation_make_a_word_another() -> None:
    assert ngram_novelty(["The end."], "the end", [1]) == {1: 2 / 3}


def test_words_that_only_begin_alike_are_new() -> None:
    assert ngram_novelty(["ann"], "anna ann_ xann", [1]) == {1: 1.0}


@pytest.mark.parametrize("texts", [[], [""], [" \n", ""]])
def test_texts_without_words_have_no_novelty(texts: list[str]) -> None:
    assert ngram_novelty(texts, "a b", [1, 2]) == {1: None, 2: None}


def test_everything_is_new_to_an_empty_reference() -> None:
    assert ngram_novelty(["a b"], "", [1, 2, 3]) == {1: 1.0, 2: 1.0, 3: None}


def test_texts_may_be_longer_than_the_reference() -> None:
    assert ngram_novelty(["a b a b a b"], "a b", [1, 2, 3]) == {1: 0.0, 2: 2 / 5, 3: 1.0}


def test_unusual_sizes_are_measured_and_impossible_ones_refused() -> None:
    assert ngram_novelty(["a b c"], "a b", [3, 1]) == {3: 1.0, 1: 1 / 3}
    assert ngram_novelty(["a " * 14 + "b"], "a " * 12, [12, 13]) == {12: 1 / 4, 13: 1.0}
    assert ngram_novelty(["a"], "a", []) == {}
    with pytest.raises(ValueError, match="not 0"):
        ngram_novelty(["a"], "a", [1, 0])


@given(st.lists(WORDY, max_size=5), WORDY, st.integers(1, 12))
def test_novelty_is_what_sets_of_ngrams_say_whatever_the_chunks(
    texts: list[str], reference: str, chunk_size: int
) -> None:
    expected = {size: brute_force(texts, reference, size) for size in range(1, 11)}
    assert ngram_novelty(texts, reference, chunk_size=chunk_size) == expected


@given(st.lists(st.text(max_size=30), max_size=4), st.text(max_size=60))
def test_any_unicode_is_compared_as_it_stands(texts: list[str], reference: str) -> None:
    expected = {size: brute_force(texts, reference, size) for size in (1, 2)}
    assert ngram_novelty(texts, reference, [1, 2], chunk_size=7) == expected


def test_a_large_vocabulary_is_compared_as_exactly() -> None:
    numbers = [str(n * n % 7919) for n in range(30_000)]
    reference = " ".join(numbers)
    texts = [
        " ".join(numbers[start : start + 50][::step])
        for start in range(0, 20_000, 40)
        for step in (1, 2)
    ]
    expected = {size: brute_force(texts, reference, size) for size in (1, 2, 5)}
    assert ngram_novelty(texts, reference, [1, 2, 5]) == expected
