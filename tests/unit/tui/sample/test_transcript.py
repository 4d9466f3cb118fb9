"""Sampled text as rows: wrapped incrementally, found by row and column."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from transformer_playground.generation.samples import FinishReason, SampledToken, SampleEnd
from transformer_playground.terminal import visible
from transformer_playground.tui.sample.transcript import Place, Transcript, level
from transformer_playground.tui.shared.flow import Flow


def token(text: str, sample: int = 0) -> SampledToken:
    return SampledToken(sample, 0, 7, -1.0, text)


def ending(sample: int = 0, text: str = "", reason: FinishReason = "length") -> SampleEnd:
    return SampleEnd(sample, reason, text)


def rows(transcript: Transcript) -> list[str]:
    return [
        "".join(text for _, text in transcript.row(number)[1])
        for number in range(transcript.n_rows)
    ]


def filled(*texts: str, prompt: str = "", width: int = 10) -> Transcript:
    transcript = Transcript(prompt, 1, width)
    for text in texts:
        transcript.add(token(text))
    transcript.arrange()
    return transcript


def test_text_is_wrapped_at_spaces_and_long_words_are_cut() -> None:
    transcript = filled("one two three ", "incomprehensible")

    assert rows(transcript) == ["one two ", "three ", "incomprehe", "nsible"]


def test_a_line_break_has_a_cell_for_the_cursor() -> None:
    transcript = filled("a", "\n", "b")

    assert rows(transcript) == ["a⏎", "b"]
    assert transcript.at(0, 1) == Place(0, 1)
    # That of a prompt is not a token.
    assert rows(filled("b", prompt="a\n")) == ["a ", "b"]


def test_wide_characters_count_twice() -> None:
    assert rows(filled("漢字" * 4, width=6)) == ["漢字漢", "字漢字", "漢字"]
    assert rows(filled(" 00漢", width=3)) == [" ", "00", "漢"]


@given(st.lists(st.text(max_size=12), max_size=12), st.integers(2, 12), st.integers(2, 12))
def test_wrapping_keeps_text_and_width_and_does_not_depend_on_the_pieces(
    texts: list[str], width: int, before: int
) -> None:
    came = filled(*texts, width=width)
    rewrapped = filled(*texts, width=before)
    rewrapped.wrap(width)
    flow = Flow(width)
    flow.push(0, visible("".join(texts)))

    assert rows(came) == rows(rewrapped)
    assert rows(came) == ["".join(text for _, text in flow[row]) for row in range(len(flow))]
    # A space or a line break may exceed the width by one.
    assert all(cell_len(row.rstrip(" ⏎")) <= width for row in rows(came))
    kept = visible("".join(texts)).replace("\t", "    ").replace("\n", "⏎")
    assert "".join(rows(came)) == kept


def test_a_token_is_found_at_its_cell_and_prompt_and_gaps_have_none() -> None:
    transcript = filled("cd", "ef gh", "ij", prompt="ab", width=6)

    assert rows(transcript) == ["abcdef ", "ghij"]
    assert [transcript.at(0, column) for column in (0, 2, 4)] == [None, Place(0, 0), Place(0, 1)]
    assert transcript.at(1, 2) == Place(0, 2)
    assert transcript.at(1, 40) is None
    assert transcript.at(9, 0) is None
    assert transcript.row_of(Place(0, 2)) == 1


def test_the_cursor_moves_through_all_samples_and_stops_at_the_ends() -> None:
    transcript = Transcript("", 3, 10)
    for sample in (0, 0, 2):
        transcript.add(token("x", sample))
    transcript.arrange()

    walked = [transcript.neighbour(None, 1)]
    for _ in range(3):
        walked.append(transcript.neighbour(walked[-1], 1))

    assert walked == [Place(0, 0), Place(0, 1), Place(2, 0), Place(2, 0)]
    assert transcript.neighbour(Place(2, 0), -1) == Place(0, 1)
    assert transcript.neighbour(Place(0, 0), -1) == Place(0, 0)
    assert transcript.neighbour(None, -1) == Place(2, 0)
    assert Transcript("", 2, 10).neighbour(None, 1) is None


def test_samples_are_separated_by_headings() -> None:
    transcript = Transcript("p", 2, 20)
    for sample in (0, 1):
        transcript.add(token(str(sample), sample))
        transcript.add(ending(sample))
    transcript.arrange()

    assert rows(transcript) == ["── 1 of 2 ── ", "p0", "── 2 of 2 ── ", "p1"]
    assert list(transcript.texts()) == ["p0", "p1"]
    assert transcript.is_complete


def test_the_last_characters_of_a_text_belong_to_its_last_token() -> None:
    transcript = filled("a")
    transcript.add(ending(text="�", reason="cancelled"))
    transcript.arrange()

    for width in (10, 9):
        transcript.wrap(width)
        assert rows(transcript) == ["a�"]
        assert transcript.at(0, 1) == Place(0, 0)
    assert transcript.text(0) == "a�"
    assert transcript.was_cancelled


def test_escape_sequences_are_shown_even_when_split_over_tokens() -> None:
    assert rows(filled("\x1b", "[2J", "\x9b", width=20)) == ["␛[2J\\x9b"]


@pytest.mark.parametrize(
    ("probability", "expected"), [(1, 0), (0.51, 0), (0.49, 1), (0.06, 2), (0.02, 3), (0.001, 4)]
)
def test_levels_go_from_likely_to_unlikely(probability: float, expected: int) -> None:
    assert level(math.log(probability)) == expected


def test_an_impossible_token_has_the_last_level() -> None:
    assert level(-math.inf) == 4


def test_characters_of_a_sample_are_held_by_tokens() -> None:
    transcript = filled("ab", "", "cd", "e", prompt="not counted")
    assert transcript.tokens_of(0, 1, 2) == range(3)
    assert transcript.tokens_of(0, 2, 2) == range(2, 3)
    assert transcript.tokens_of(0, 4, 9) == range(3, 4)
    assert transcript.tokens_of(0, 5, 1) == range(0)
