"""Lines of the Data view, and the places that can be typed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from transformer_playground.data.browsing.overlap import Overlap, SharedLine
from transformer_playground.data.browsing.statistics import SplitStatistics
from transformer_playground.dataset_views.measures import HardWindow
from transformer_playground.dataset_views.reading import (
    BatchRow,
    ShownToken,
    StepBatch,
    TokenWindow,
)
from transformer_playground.dataset_views.vocabulary import VocabularyRow
from transformer_playground.errors import UsageError
from transformer_playground.terminal import visible
from transformer_playground.tui.data.data_state import (
    Goto,
    Line,
    batch_lines,
    document_lines,
    hard_lines,
    id_lines,
    origin_text,
    overlap_lines,
    parse_goto,
    searched_text,
    shared_lines,
    token_lines,
    vocabulary_head,
    vocabulary_lines,
    window_place,
    window_title,
)

WIDTHS = st.integers(8, 60)


def plain(line: Line) -> str:
    return "".join(text for text, _ in line)


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ("41,216", Goto("token", 41216)),
        ("line 12", Goto("line", 12)),
        (" window 3 ", Goto("window", 3)),
        ("step 1_000", Goto("step", 1000)),
        ("50%", Goto("percent", 50)),
        ("12.5%", Goto("percent", 12.5)),
        ("12,5 %", Goto("percent", 12.5)),
        ("900 %", Goto("percent", 100)),
    ],
)
def test_a_place_is_a_number_of_something(typed: str, place: Goto) -> None:
    assert parse_goto(typed, "token") == place


@pytest.mark.parametrize(
    "typed",
    [
        *("", "line", "-1", "line 50%", "here", "1e3", ",", "\x1b[31m", "12.5", "1,2345", "1.5.5%"),
        # Python converts no number of more than 4,300 digits.
        *("9" * 5_000, "line " + "9" * 13, "9" * 5_000 + "%"),
    ],
)
def test_what_is_no_place_is_refused_in_a_sentence(typed: str) -> None:
    with pytest.raises(UsageError, match="is not a place") as caught:
        parse_goto(typed, "token")
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize(
    ("typed", "first"),
    [("12.5%", 500), ("100%", 3999), ("window 3", 96), ("0", 0), ("999,999,999,999", 3999)],
)
def test_a_place_is_a_position_within_the_split(typed: str, first: int) -> None:
    assert parse_goto(typed, "token").position(total=4_000, window=32) == first


def test_a_number_alone_counts_what_is_shown() -> None:
    assert parse_goto("7", "step") == Goto("step", 7)


def test_line_breaks_and_tabs_can_be_typed_in_a_search() -> None:
    assert searched_text(r"a\nb\t") == "a\nb\t"


def test_tokens_have_borders_and_line_breaks_a_sign() -> None:
    tokens = [ShownToken(1, "the"), ShownToken(2, " cat"), ShownToken(0, "\n\n")]
    assert [plain(line) for line in token_lines(tokens, 40)] == ["the· cat·⏎⏎·"]
    marked = [ShownToken(1, "a", is_found=True), ShownToken(2, "b", is_target=False)]
    tones = [tone for _, tone in token_lines(marked, 40)[0]]
    assert tones == ["found", "border", "masked", "border"]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=30), max_size=12), WIDTHS)
def test_tokens_of_any_text_fit_and_none_is_lost(texts: list[str], width: int) -> None:
    tokens = [ShownToken(number, text) for number, text in enumerate(texts)]
    lines = token_lines(tokens, width)
    for line in lines:
        assert cell_len(plain(line)) <= width
        assert visible(plain(line)) == plain(line)
        assert "\n" not in plain(line)
    borders = sum(tone == "border" for line in lines for _, tone in line)
    assert borders == len(texts)
    for line in id_lines(tokens, width):
        assert cell_len(plain(line)) <= max(width, len(str(len(texts))))


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60), st.integers(24, 90))
def test_rows_of_any_text_fit_into_one_line(text: str, width: int) -> None:
    tokens = (ShownToken(1, text, is_target=False), ShownToken(2, text, is_target=False))
    rows = [
        *batch_lines([BatchRow(0, tokens), BatchRow(1, tokens)], width),
        *shared_lines([SharedLine(text, 9, 2, 0, 0)], width),
        *hard_lines([HardWindow(64, 2.5, 64)], lambda _: text, width),
        *vocabulary_lines([VocabularyRow(1, text, 5, 0.5, 3, 1.25, 0.1)], width),
    ]
    for row in rows:
        assert cell_len(plain(row)) <= width
        assert visible(plain(row)) == plain(row)
        assert "\n" not in plain(row)
    assert "1 masked" in plain(rows[0])


def test_the_last_columns_of_the_vocabulary_are_left_out_where_they_do_not_fit() -> None:
    row = VocabularyRow(7, "e", 5_000, 0.085, 500, None, None)
    assert "   loss  % of loss" in vocabulary_head(74)
    assert plain(vocabulary_lines([row], 70)[0]).split() == [
        "“e”",
        "7",
        "5.00k",
        "8.5%",
        "500",
        "–",
        "–",
    ]
    assert vocabulary_head(32).split() == ["token", "id", "train", "share"]
    # But for the one by which it is sorted.
    assert vocabulary_head(32, "loss").split() == ["token", "id", "train", "loss"]
    assert vocabulary_head(24, "cost").split()[:2] == ["token", "%"]


def test_a_window_says_where_it_is_once_lines_are_counted() -> None:
    tokens = (ShownToken(1, "a"), ShownToken(1, "a"))
    window = TokenWindow("val", 1_000, 5_000, tokens)
    assert window_title(window) == "val · tokens 1,000–1,001 of 5,000"
    assert window_place(window) == ""
    counted = TokenWindow("val", 0, 5, tokens, 12, 3, 40, "paragraph")
    assert window_place(counted) == "line 12 · paragraph 3 of 40"


def test_documents_are_drawn_by_length_and_shared_lines_are_counted() -> None:
    counts = np.zeros(3, dtype=np.int64)
    found = SplitStatistics(100, counts, "document", 2, {3: 30, 10: 1}, 0, (0, 9), (0, 31))
    lines = [plain(line) for line in document_lines("train", found, 60)]
    assert lines[0] == "train 31 documents, 10 lines, 100 tokens"
    assert "median 3, mean 3, longest 10" in lines[1]
    assert [line.split()[0] for line in lines[2:]] == ["2–3", "4–7", "8–15"]
    assert lines[2].count("█") > lines[4].count("█") == 1
    overlap = Overlap(
        1_000, 10, is_whole=False, shared=3, train_repeated=5, val_repeated=0, longest=()
    )
    text = "\n".join(map(plain, overlap_lines(overlap)))
    assert "3 of 10 validation lines (30%)" in text
    assert "5 of 1,000 training lines (0.5%)" in text
    assert "Only the first 1,000 training lines were compared." in text


@pytest.mark.parametrize(
    ("typed", "refusal"),
    [
        ("token 4000", "There is no token 4,000: val has tokens 0 to 3,999."),
        ("window 999999", "There is no window 999,999: val has windows 0 to 124."),
        ("line 0", "There is no line 0: val has lines 1 to 9."),
        ("line 10", "There is no line 10: val has lines 1 to 9."),
        ("step 101", "There is no step 101: the run has steps 1 to 100."),
    ],
)
def test_a_place_beyond_the_end_is_refused_with_the_range(typed: str, refusal: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_goto(typed, "token").check("val", total=4_000, window=32, lines=9, steps=100)
    assert caught.value.message == refusal


@pytest.mark.parametrize(
    "typed", ["token 3999", "window 124", "line 1", "line 9", "step 100", "900 %"]
)
def test_the_last_place_of_each_kind_is_none_beyond_the_end(typed: str) -> None:
    parse_goto(typed, "token").check("val", total=4_000, window=32, lines=9, steps=100)


def test_a_line_that_is_not_counted_yet_and_the_only_window_of_a_short_split_are_places() -> None:
    parse_goto("line 99", "token").check("val", total=4, window=32, lines=None, steps=1)
    parse_goto("window 0", "token").check("val", total=4, window=32, lines=None, steps=1)


def test_a_text_that_is_taken_elsewhere_says_where_it_comes_from() -> None:
    tokens = tuple(ShownToken(0, "a") for _ in range(8))
    assert origin_text(TokenWindow("val", 1_024, 9_000, tokens), 4) == "val · tokens 1,024–1,027"
    assert origin_text(StepBatch(1_000, (), 0), 8) == "batch of step 1,000"
