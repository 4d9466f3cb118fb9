"""The text of a dataset, and passages of it."""

from pathlib import Path

import numpy as np
import pytest

from transformer_playground.data.dataset import Dataset
from transformer_playground.data.tokenizers.char import CharTokenizer
from transformer_playground.text_metrics.corpus import decode_split, read_corpus, real_pieces


class MarkedTokenizer(CharTokenizer):
    """Characters, with two more tokens that begin and end a document."""

    bos_id = 3
    eos_id = 4


ABC = CharTokenizer("abc")
MARKED = MarkedTokenizer("abc<>")


def tokens(*ids: int) -> "np.ndarray[tuple[int], np.dtype[np.uint16]]":
    return np.array(ids, dtype=np.uint16)


def test_a_split_is_decoded_whole_with_the_share_that_is() -> None:
    assert decode_split(tokens(0, 1, 2, 0), ABC, max_bytes=100) == ("abca", 1.0)


def test_decoding_stops_at_the_cap_and_says_how_much_that_is() -> None:
    assert decode_split(tokens(0, 1, 2, 0), ABC, max_bytes=3) == ("abc", 0.75)


def test_an_end_of_a_document_is_a_line_break_and_a_start_is_nothing() -> None:
    assert decode_split(tokens(3, 0, 4, 3, 1, 4), MARKED, max_bytes=100)[0] == "a\nb\n"


def test_empty_lines_are_no_documents() -> None:
    split = tokens(3, 0, 4, 4, 1, 4)
    dataset = Dataset(Path(), split, split, 5, "f", 6)
    assert read_corpus(dataset, MARKED, by_line=True, max_bytes=100).train == "a\nb"
    assert read_corpus(dataset, MARKED, by_line=False, max_bytes=100).train == "a\n\nb\n"


def test_pieces_have_the_lengths_asked_for_and_lie_apart_all_over_the_text() -> None:
    text = "0123456789abcdefghij"
    pieces = real_pieces(text, [3, 0, 5, 2], by_line=False)
    assert pieces.texts == ("012", "", "89abc", "fg")
    assert not pieces.overlap
    assert pieces == real_pieces(text, [3, 0, 5, 2], by_line=False)


def test_pieces_of_a_short_text_reach_from_its_start_to_its_end_and_overlap() -> None:
    pieces = real_pieces("abcdef", [4, 4, 4], by_line=False)
    assert pieces.texts == ("abcd", "bcde", "cdef")
    assert pieces.overlap


def test_a_piece_longer_than_the_text_is_the_text() -> None:
    assert real_pieces("abc", [9], by_line=False).texts == ("abc",)


@pytest.mark.parametrize(
    ("count", "expected"), [(2, ("ann", "cleo")), (4, ("ann", "bea", "cleo", "dora"))]
)
def test_where_lines_are_documents_pieces_are_whole_lines(
    count: int, expected: tuple[str, ...]
) -> None:
    text = "ann\n\nbea \ncleo\ndora\n"
    assert real_pieces(text, [1] * count, by_line=True).texts == expected


def test_there_are_no_more_lines_than_the_text_has() -> None:
    assert real_pieces("ann\nbea", [3] * 5, by_line=True).texts == ("ann", "bea")
    assert real_pieces("", [3] * 5, by_line=True).texts == ()
