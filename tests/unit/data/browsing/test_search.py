"""Search in tokens, against a search in the text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_playground.data.browsing.search import Match, find_text, find_token
from transformer_playground.data.browsing.token_bytes import TokenBytes, read_block
from transformer_playground.data.token_shards import TokenShards
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.errors import DataError


class Pieces(Tokenizer):
    """A tokenizer of these tokens; it only decodes."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(pieces)

    @classmethod
    def load(cls, folder: object, meta: object) -> "Pieces":
        raise NotImplementedError

    def encode(self, text: str) -> list[int]:
        raise NotImplementedError


TABLE = TokenBytes(Pieces(b"a", b"ab", b"b", b"", b"\xc3", b"\xa4"))


def expected(ids: list[int], needle: bytes, start: int, *, backwards: bool) -> int | None:
    """First token of the match, by trying every place of the text."""
    starts = np.cumsum([0, *TABLE.lengths[ids]])
    text = TABLE.text(np.array(ids))
    places = [at for at in range(len(text)) if text.startswith(needle, at)]
    firsts = [int(np.searchsorted(starts, at, side="right")) - 1 for at in places]
    before = [first for first in firsts if first < start]
    after = [first for first in firsts if first >= start]
    order = [*reversed(before), *reversed(after)] if backwards else [*after, *before]
    return next(iter(order), None)


@settings(max_examples=60, deadline=None)
@given(
    ids=st.lists(st.integers(0, 5), min_size=1, max_size=40),
    needle=st.sampled_from(["a", "ab", "ba", "aab", "ä", "bab", "x"]),
    start=st.integers(0, 40),
    size=st.integers(1, 9),
    backwards=st.booleans(),
)
def test_the_nearest_match_is_found_in_blocks_of_any_size(
    ids: list[int], needle: str, start: int, size: int, backwards: bool
) -> None:
    start = min(start, len(ids))
    shards = TokenShards(np.array_split(np.array(ids, dtype=np.uint16), 3))
    match = find_text(shards, TABLE, needle, start, backwards=backwards, size=size)
    found = None if match is None else match.first
    assert found == expected(ids, needle.encode(), start, backwards=backwards)


@settings(max_examples=40, deadline=None)
@given(
    ids=st.lists(st.integers(0, 5), min_size=1, max_size=40),
    token=st.integers(0, 6),
    start=st.integers(0, 40),
    size=st.integers(1, 9),
    backwards=st.booleans(),
)
def test_a_token_is_found_by_its_id_whatever_its_text(
    ids: list[int], token: int, start: int, size: int, backwards: bool
) -> None:
    places = [place for place, each in enumerate(ids) if each == token]
    before = [place for place in places if place < start]
    after = [place for place in places if place >= start]
    order = [*reversed(before), *reversed(after)] if backwards else [*after, *before]
    tokens = TokenShards([np.array(ids, dtype=np.uint16)])
    found = find_token(tokens, token, start, backwards=backwards, size=size)
    assert found == (Match(order[0], order[0]) if order else None)


def test_a_match_has_all_tokens_that_hold_the_text() -> None:
    match = find_text(np.array([0, 2, 1, 2], dtype=np.uint16), TABLE, "bb", 0)
    assert match == Match(2, 3)
    assert find_text(np.array([0, 2], dtype=np.uint16), TABLE, "", 0) is None


def test_a_search_can_be_cancelled_and_says_how_far_it_is() -> None:
    read: list[int] = []
    tokens = np.zeros(10, dtype=np.uint16)
    assert find_text(tokens, TABLE, "b", 0, size=4, progress=read.append) is None
    assert read == [4, 8, 10]
    assert find_text(tokens, TABLE, "a", 0, cancelled=lambda: True) is None


def test_a_token_beyond_the_vocabulary_is_an_error_and_is_shown_by_its_number() -> None:
    with pytest.raises(DataError, match="token 6 is outside the vocabulary of 6"):
        read_block(np.array([0, 6], dtype=np.uint16), TABLE, 0, 2)
    assert TABLE.shown(6) == "<6>"
    assert TABLE.shown(4) == "\\xc3"


def test_single_bytes_are_read_like_any_other_tokens() -> None:
    table = TokenBytes(CharTokenizer(["a", "b", "\n"]))
    assert table.text(np.array([1, 0, 2])) == b"ba\n"
    assert list(table.ends(np.array([1, 0, 2]))) == [1, 2, 3]
