"""Counts of a split, and places in it, against the whole text."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_playground.data.browsing.overlap import line_overlap
from transformer_playground.data.browsing.statistics import (
    Place,
    SplitStatistics,
    place_of,
    split_statistics,
    token_of_line,
)
from transformer_playground.data.browsing.token_bytes import TokenBytes
from transformer_playground.data.tokenizers.char import CharTokenizer

LETTERS = "ab\n|"
TABLE = TokenBytes(CharTokenizer(list(LETTERS)))
TEXTS = st.text(LETTERS, min_size=1, max_size=60)


def tokens_of(text: str) -> np.ndarray:
    return np.array([LETTERS.index(char) for char in text], dtype=np.uint16)


def statistics_of(text: str, end: str | None, size: int = 1 << 20) -> SplitStatistics:
    end_token = None if end is None else LETTERS.index(end)
    found = split_statistics(tokens_of(text), TABLE, end_token, size=size)
    assert found is not None
    return found


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.integers(1, 9))
def test_blocks_of_any_size_give_the_same_counts(text: str, size: int) -> None:
    whole, found = statistics_of(text, None), statistics_of(text, None, size)
    assert list(found.counts) == [text.count(char) for char in LETTERS]
    assert found.lines == text.count("\n") + 1
    assert found.lengths == whole.lengths
    assert found.parts == whole.parts
    bounds = [0, *(match.end() - 1 for match in re.finditer(r"\n\n[^\n]", text)), len(text)]
    assert whole.lengths == Counter(np.diff(bounds).tolist())


@settings(max_examples=50, deadline=None)
@given(TEXTS, st.integers(1, 9), st.data())
def test_a_place_has_the_line_and_part_of_the_text_before_it(
    text: str, size: int, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(text) - 1))
    tokens, line = tokens_of(text), text[:at].count("\n") + 1
    for end in (None, "|"):
        found = statistics_of(text, end, size)
        parts = len(re.findall(r"\n\n[^\n]", text[: at + 1]))
        if found.unit == "document":
            parts = text[:at].count("|")
        assert place_of(tokens, TABLE, found, at) == Place(line, parts + 1)
        first = token_of_line(tokens, TABLE, found, line)
        assert text[:first].count("\n") == line - 1 or first == len(text) - 1
        assert not first or text[first - 1] == "\n"


def test_documents_end_with_their_token_and_are_counted_by_length() -> None:
    found = statistics_of("aa|b|aaaab", "|")
    assert (found.unit, found.parts) == ("document", 3)
    assert found.lengths == {3: 1, 2: 1, 5: 1}
    assert found.longest == 5
    assert found.median_length() == 3
    assert found.histogram() == [(2, 3, 2), (4, 7, 1)]


def test_without_the_token_in_the_text_parts_are_paragraphs() -> None:
    assert statistics_of("ab\n\nb", "|").unit == "paragraph"


def test_counting_and_comparing_can_be_cancelled() -> None:
    tokens = tokens_of("ab\n")
    assert split_statistics(tokens, TABLE, None, cancelled=lambda: True) is None
    assert line_overlap(tokens, tokens, TABLE, None, cancelled=lambda: True) is None


@settings(max_examples=50, deadline=None)
@given(TEXTS, TEXTS, st.integers(1, 9), st.booleans())
def test_shared_and_repeated_lines_are_those_of_the_texts(
    train: str, val: str, size: int, has_documents: bool
) -> None:
    end = LETTERS.index("|") if has_documents else None

    def lines(text: str) -> list[str]:
        parts = text.replace("|", "\n") if has_documents else text
        return [part.strip() for part in parts.split("\n") if part.strip()]

    found = line_overlap(tokens_of(train), tokens_of(val), TABLE, end, size=size)
    assert found is not None
    mine, theirs = lines(val), lines(train)
    assert (found.val_lines, found.train_lines) == (len(mine), len(theirs))
    assert found.shared == sum(line in theirs for line in mine)
    assert found.train_repeated == len(theirs) - len(set(theirs))
    assert found.val_repeated == len(mine) - len(set(mine))
    assert found.is_whole
    shared = {line for line in mine if line in theirs}
    assert {each.characters for each in found.longest} == {len(line) for line in shared}
    for each in found.longest:
        assert each.text[: each.characters].rstrip("|") in shared | {
            line.rstrip("|") for line in shared
        }
        at_train, at_val = train[each.train_token :], val[each.val_token :]
        assert at_train.lstrip().startswith(at_val.lstrip()[: each.characters])


def test_very_many_lines_are_compared_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = tokens_of("a\nb\n" * 20)
    found = line_overlap(tokens, tokens, TABLE, None, most_lines=8, size=4)
    assert found is not None
    assert (found.val_lines, found.is_whole) == (8, False)
