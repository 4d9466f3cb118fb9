"""Overlap with a reference: values computed by hand, and against naive substring search."""

import random
from dataclasses import astuple
from difflib import SequenceMatcher

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.text_metrics.overlap import (
    ExactMatches,
    Match,
    exact_line_matches,
    exact_match_ratio,
    exact_matches,
    longest_matches,
)

# Few letters make long matches; the others are 4-byte, combining, lone surrogates and NUL.
REPETITIVE = st.text(st.sampled_from("ab"), max_size=40)
LOOPING = st.lists(
    st.sampled_from(["a", "b", "a" * 17, "a" * 40, "ab" * 9, "ab" * 20, "aab" * 11]), max_size=5
).map("".join)
UNUSUAL = st.text(st.sampled_from("a\u0301é👍\ud83d\udc4d\x00\n"), max_size=25)


def brute_force(index: int, text: str, reference: str) -> Match:
    for length in range(len(text), 0, -1):
        windows = {text[start : start + length] for start in range(len(text) - length + 1)}
        shared = [(reference.index(window), window) for window in windows if window in reference]
        if shared:
            place, window = min(shared)
            return Match(index, text.index(window), place, window, length / len(text))
    return Match(index, 0, 0, "", 0.0)


def test_the_longest_match_of_a_tiny_text_is_found_where_it_lies() -> None:
    matches = longest_matches(["I say hello!"], "They say hell. He says: hello?")
    assert matches.per_text == (Match(0, 1, 4, " say hell", 9 / 12),)
    assert matches.longest == matches.per_text[0]
    assert matches.longest.length == 9


def test_the_means_run_over_all_texts_and_the_longest_is_the_first_of_equals() -> None:
    matches = longest_matches(["zab", "", "cdz!", "ü"], "abcd")
    assert [match.length for match in matches.per_text] == [2, 0, 2, 0]
    assert matches.mean_length == 1.0
    assert matches.mean_share == pytest.approx((2 / 3 + 2 / 4) / 4)
    assert matches.longest is matches.per_text[0]


def test_of_equally_long_matches_the_one_earliest_in_the_reference_counts() -> None:
    assert longest_matches(["cd ab ab"], "abxcdxab").per_text[0] == Match(0, 3, 0, "ab", 2 / 8)


def test_without_texts_there_is_no_longest_match() -> None:
    assert astuple(longest_matches([], "abc")) == ((), None, None, None)


@pytest.mark.parametrize(("text", "reference"), [("", "abc"), ("abc", ""), ("", ""), ("a", "b")])
def test_nothing_shared_is_an_empty_match_at_the_start(text: str, reference: str) -> None:
    assert longest_matches([text], reference).per_text == (Match(0, 0, 0, "", 0.0),)


def test_a_text_longer_than_the_reference_may_hold_all_of_it() -> None:
    assert longest_matches(["xxabcyy"], "abc").per_text == (Match(0, 2, 0, "abc", 3 / 7),)


def test_a_passage_is_not_put_together_from_two_texts() -> None:
    found = longest_matches(["ab", "cd", "efgh"], "abcdefgh").per_text
    assert [match.text for match in found] == ["ab", "cd", "efgh"]


def test_characters_are_compared_as_code_points() -> None:
    # An accent of its own, half a surrogate pair and another case are other characters.
    found = longest_matches(["é", "👍", "A", "x\x00y"], "e\u0301 \ud83d a x\x00y").per_text
    assert [match.text for match in found] == ["", "", "", "x\x00y"]


def test_surrogates_at_the_borders_of_texts_stay_apart() -> None:
    assert longest_matches(["a\ud83d", "\udc4db"], "a\ud83d\udc4db 👍").mean_length == 2


@given(
    st.lists(REPETITIVE, max_size=5),
    st.text(st.sampled_from("ab"), max_size=120),
    st.integers(1, 9),
)
def test_matches_of_repetitive_texts_are_those_of_naive_search_whatever_the_chunks(
    texts: list[str], reference: str, chunk_size: int
) -> None:
    expected = [brute_force(index, text, reference) for index, text in enumerate(texts)]
    found = longest_matches(texts, reference, chunk_size=chunk_size)
    assert list(found.per_text) == expected


@given(st.lists(LOOPING, max_size=4), LOOPING, st.integers(1, 300))
def test_matches_of_long_loops_are_those_of_naive_search(
    texts: list[str], reference: str, chunk_size: int
) -> None:
    expected = [brute_force(index, text, reference) for index, text in enumerate(texts)]
    found = longest_matches(texts, reference, chunk_size=chunk_size)
    assert list(found.per_text) == expected


@given(st.lists(UNUSUAL, max_size=5), UNUSUAL, st.integers(1, 9))
def test_matches_of_unusual_characters_are_those_of_naive_search(
    texts: list[str], reference: str, chunk_size: int
) -> None:
    expected = [brute_force(index, text, reference) for index, text in enumerate(texts)]
    found = longest_matches(texts, reference, chunk_size=chunk_size)
    assert list(found.per_text) == expected


@given(REPETITIVE, st.text(st.sampled_from("abc"), max_size=60))
def test_the_length_is_the_one_that_difflib_finds(text: str, reference: str) -> None:
    matcher = SequenceMatcher(None, text, reference, autojunk=False)
    expected = matcher.find_longest_match().size
    assert longest_matches([text], reference).mean_length == expected


@pytest.mark.parametrize(
    "length", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100]
)
def test_copies_of_every_length_are_told_from_those_that_lack_one_character(length: int) -> None:
    chance = random.Random(length)
    noise = "".join(chance.choices("abcdefghijklmnop", k=2000))
    copy = "".join(chance.choices("abcdefghijklmnop", k=length - 1)) + "C"
    reference = copy[:-1] + "?" + copy[1:] + noise + copy + noise + copy
    found = longest_matches(["Q" * 7 + copy + "Q" * 5, copy], reference).per_text
    place = reference.index(copy)
    assert found[0] == Match(0, 7, place, copy, length / (length + 12))
    assert found[1] == Match(1, 0, place, copy, 1.0)


def test_hundreds_of_texts_stitched_from_a_long_reference_are_measured_exactly() -> None:
    chance = random.Random(7)
    words = ["".join(chance.choices("aeilnrst", k=chance.randint(1, 6))) for _ in range(300)]
    reference = " ".join(chance.choices(words, k=4000))
    starts = [chance.randrange(len(reference) - 90) for _ in range(600)]
    pieces = [reference[start : start + chance.randint(3, 60)] for start in starts]
    texts = ["|".join(pieces[n : n + 3]) for n in range(0, 600, 3)]
    found = longest_matches(texts, reference, chunk_size=4096)
    for index in range(0, 200, 40):
        assert found.per_text[index] == brute_force(index, texts[index], reference)
    for match, text in zip(found.per_text, texts, strict=True):
        assert reference.startswith(match.text, match.reference_start)
        assert text.startswith(match.text, match.start)


def test_a_text_occurs_exactly_without_the_white_space_around_it() -> None:
    texts = [" to be\n", "to bee", "be, or", "", "  "]
    assert exact_match_ratio(texts, "to be, or not") == 2 / 3
    assert exact_match_ratio(["", " "], "to be") is None
    assert exact_match_ratio(["a"], "") == 0.0


def test_exact_matches_tell_the_splits_apart_and_what_is_in_neither() -> None:
    found = exact_matches(["one", "two", "both", "new", "\n"], "one both", "two both")
    assert found == ExactMatches(train=2 / 4, val=2 / 4, either=3 / 4, novel=1 / 4)


def test_without_any_non_empty_text_no_exact_match_is_known() -> None:
    nothing = ExactMatches(None, None, None, None)
    assert exact_matches([" "], "a", "b") == nothing
    assert exact_line_matches([], "a", "b") == nothing


def test_a_line_match_is_a_whole_line_or_several() -> None:
    train, val = "Anna\n  Bert \r\nCarl", "\nDora"
    texts = ["Ann", "nna", " Anna ", "Bert\n Carl", "Anna\nCarl", "Dora"]
    found = exact_line_matches(texts, train, val)
    assert found == ExactMatches(train=2 / 6, val=1 / 6, either=3 / 6, novel=3 / 6)
    assert exact_matches(texts, train, val).train == 3 / 6  # "Ann", "nna" and "Anna"


def test_a_line_match_keeps_empty_lines_and_inner_spaces() -> None:
    found = exact_line_matches(["a\n\nb", "a\nb", "c  d", "c d"], "a\n\nb\nc  d", "")
    assert (found.train, found.val) == (2 / 4, 0.0)
