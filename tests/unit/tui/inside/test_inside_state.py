"""The cursor in a text, and what is asked when it moves."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.inspection.text import TokenScores
from transformer_playground.tui.core.checkpoints import Choice
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.inside.inside_state import (
    InsideState,
    beside_step,
    file_of,
    part_text,
    surprising,
)
from transformer_playground.tui.inside.question import (
    Answer,
    Column,
    GivenTokens,
    Question,
    ShownText,
    SplitWindow,
    TypedText,
    start_of,
)

CHOICES = (
    Choice(("ckpt_1.pt",), 1),
    Choice(("ckpt_2.pt",), 2),
    Choice(("best", "last", "ckpt_3.pt", "best_val.pt"), 3),
)


def scores(*bits: float) -> TokenScores:
    count = len(bits) + 1
    known: Any = (None, *bits)
    return TokenScores(tuple(range(count)), known, known, known, (1.0,) * count, ())


def state_with(count: int = 6, size: int = 10, **about: Any) -> InsideState:
    question = Question((Source("run", "best"),), GivenTokens(tuple(range(count))))
    state = InsideState(question)
    shown = min(count, size)
    text = ShownText(tuple(range(shown)), tuple("abcdefghij"[:shown]), 0, count, size)
    column = Column(
        Source("run", "ckpt_3.pt"),
        3,
        checkpoints=CHOICES,
        n_head=2,
        has_mlp=(True, False, True),
        scores=scores(1.0, 5.0, 0.5, 4.0, 3.0) if count == 6 else scores(*[1.0] * (shown - 1)),
    )
    state.take(Answer(question, 2, replace(text, **about), (column,)))
    return state


@given(
    count=st.integers(1, 40),
    size=st.integers(1, 12),
    position=st.integers(1, 40),
    start=st.none() | st.integers(0, 40),
)
def test_what_is_read_fits_the_context_and_holds_the_token_and_the_one_before(
    count: int, size: int, position: int, start: int | None
) -> None:
    position = min(position, count)
    found = start_of(position, count, size, start)
    assert 0 <= found <= position - 1 < found + size
    assert found <= max(0, count - size) or size == 1
    if position < count and size > 1:
        assert position < found + size
    # It stays where it is as long as it can.
    assert start_of(position, count, size, found) == found


def test_the_cursor_stops_at_the_first_predicted_token_and_behind_the_text() -> None:
    state = state_with()
    assert state.move(-1)
    assert not state.move(-1)
    assert state.question.position == 1
    assert state.point(99)
    assert state.question.position == 6
    assert not state.move(1)


def test_the_tokens_that_surprise_most_are_visited_in_order_and_again_from_the_start() -> None:
    state = state_with()
    seen = []
    for _ in range(4):
        state.surprise(1)
        seen.append(state.question.position)
    assert seen == [4, 5, 2, 4]
    state.surprise(-1)
    assert state.question.position == 2
    assert surprising([None]) == []


def test_parts_are_the_heads_then_an_mlp_where_there_is_one_then_the_block() -> None:
    state = state_with()
    assert state.part_names() == ("2.0", "2.1", "2.mlp", "2")
    state.turn_part(2)
    assert state.part_name == "2.mlp"
    assert state.head is None
    assert state.turn_block(-1)
    assert state.part_names() == ("1.0", "1.1", "1")
    # Without an MLP the block takes its place; a head stays the same head.
    assert state.part_name == "1"
    state.turn_part(2)
    assert state.part_name == "1.1"
    assert state.turn_block(-1)
    assert state.part_name == "0.1"
    assert not state.turn_block(-1)
    state.turn_part(-2)
    assert state.part_name == "0"


@pytest.mark.parametrize(
    ("name", "words"),
    [("1.0", "block 1, head 0"), ("12.mlp", "block 12, MLP"), ("3", "block 3")],
)
def test_a_part_is_named_in_words(name: str, words: str) -> None:
    assert part_text(name) == words


def knocked_out(state: InsideState) -> list[str]:
    return list(state.question.parts)


def test_several_parts_are_knocked_out_and_one_key_restores_all() -> None:
    state = state_with()
    state.knock_out()
    state.turn_part(1)
    state.knock_out()
    assert knocked_out(state) == ["2.0", "2.1"]
    state.knock_out()
    assert knocked_out(state) == ["2.0"]
    state.knock_out()
    assert state.restore()
    assert knocked_out(state) == []
    assert not state.restore()


def test_a_checkpoint_is_named_by_its_file_once_it_is_shown() -> None:
    state = state_with()
    assert state.question.sources == (Source("run", "ckpt_3.pt"),)
    assert file_of(CHOICES[2]) == "ckpt_3.pt"
    assert file_of(Choice(("best",))) == "best"


def test_scrubbing_goes_by_step_and_stops_at_the_ends() -> None:
    state = state_with()
    assert not state.scrub(1)
    assert state.scrub(-1)
    assert state.scrub(-1)
    assert not state.scrub(-1)
    assert state.question.sources == (Source("run", "ckpt_1.pt"),)


@pytest.mark.parametrize(("by", "expected"), [(-1, "ckpt_1.pt"), (1, "ckpt_3.pt")])
def test_the_neighbours_of_a_checkpoint_that_is_gone_are_those_by_its_step(
    by: int, expected: str
) -> None:
    left = (CHOICES[0], CHOICES[2])
    found = beside_step(left, "ckpt_2.pt", 2, by)
    assert found is not None
    assert file_of(found) == expected
    assert beside_step(left[1:], "ckpt_2.pt", 2, -1) is None


def test_windows_are_turned_within_the_split_and_take_the_place_of_any_text() -> None:
    state = state_with()
    assert state.turn_window(1)
    assert state.question.text == SplitWindow(0)
    assert state.question.position is None
    state.take(replace(state_with(windows=2).answer or Answer(state.question)))
    assert state.turn_window(1)
    assert not state.turn_window(1)
    assert state.question.text == SplitWindow(1)
    state.show(TypedText("x"))
    assert state.question.start is None


def test_without_an_answer_no_key_does_harm() -> None:
    state = InsideState(Question((Source("run"),), SplitWindow()))
    assert not state.move(1)
    assert not state.surprise(1)
    assert not state.turn_block(1)
    assert not state.scrub(1)
    state.turn_part(1)
    state.take(Answer(state.question, problem="gone"))
    assert state.part_name == "0"


def test_a_longer_text_is_read_from_further_on_when_the_cursor_leaves() -> None:
    state = state_with(30, 10)
    assert state.point(20)
    assert state.question.start == 11
    assert state.point(15)
    assert state.question.start == 11
    assert state.point(30)
    assert state.question.start == 20


def test_an_export_is_split_by_run_and_the_other_run_reads_the_same_tokens() -> None:
    state = state_with(windows=2)
    state.show(SplitWindow(1))
    assert state.answer is not None
    assert state.answer.text is not None
    (column,) = state.answer.columns
    earlier = replace(column, source=Source("run", "ckpt_1.pt"))
    state.put_beside(earlier.source)
    state.take(replace(state.answer, columns=(column, earlier)))
    # A window of one run stays a window.
    assert state.by_run() == (state.question,)
    other = replace(column, source=Source("other", "ckpt_9.pt"), parts=("0.0",))
    state.put_beside(other.source)
    state.take(replace(state.answer, columns=(column, other)))
    first, second = state.by_run()
    assert (first.sources, second.sources) == ((column.source,), (other.source,))
    assert (first.parts, second.parts) == ((), ("0.0",))
    assert first.text == second.text == GivenTokens(state.answer.text.tokens)
    refused = replace(other, problem="another tokenizer")
    state.take(replace(state.answer, columns=(column, refused)))
    assert [each.sources for each in state.by_run()] == [(column.source,)]


def test_a_refused_text_leaves_what_is_shown_and_can_be_corrected() -> None:
    state = state_with()
    shown, asked = state.answer, state.question
    for text in (TypedText("\x07"), SplitWindow(99_999)):
        state.show(text)
        refusal = Answer(state.question, problem="There is no such text.")
        assert state.take(refusal) == "There is no such text."
        assert shown is not None
        assert state.answer is not None
        assert state.answer.text is shown.text
        assert state.question == asked
        assert state.refused == text
        # The text before is read again.
        assert state.take(replace(shown, question=asked)) == ""
        assert state.refused == text
    state.show(TypedText("ok"))
    assert state.refused is None


def test_a_lost_checkpoint_takes_the_place_of_what_was_shown() -> None:
    state = state_with()
    assert state.take(Answer(state.question, problem="gone")) == ""
    assert state.answer is not None
    assert state.answer.problem == "gone"
