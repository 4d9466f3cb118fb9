"""The lines of an answer: they fit, say what is asked, and are harmless."""

from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len

from builders.hostile import harm_in, hostile_texts
from transformer_playground.inspection.heads import HeadKind
from transformer_playground.inspection.lens import LayerPrediction
from transformer_playground.inspection.text import TokenScores
from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.inside.inside_state import InsideState
from transformer_playground.tui.inside.pane_lines import attention_lines, lens_lines
from transformer_playground.tui.inside.question import (
    Answer,
    Column,
    GivenTokens,
    Question,
    ShownText,
)
from transformer_playground.tui.inside.text_lines import (
    Line,
    detail_line,
    knocked_out_lines,
    mean_text,
    shown_curves,
    text_lines,
    token_at,
)

NATS = 0.6931471805599453


def layer(token: int, rank: int | None) -> LayerPrediction:
    likeliest = ((token, 0.5), (3, 0.25), (4, 0.125))
    return LayerPrediction(2 * NATS, likeliest, None if rank is None else 0.5, rank)


def answered(
    texts: str | tuple[str, ...] = "abcde", position: int = 3, **about: Any
) -> InsideState:
    count = len(texts)
    surprisals = (None, *(float(place) * NATS for place in range(1, count)))
    likeliest = (((1, 0.5), (2, 0.25)),) * count
    scores = TokenScores(
        tuple(range(count)),
        surprisals,
        (None, *[0.25] * (count - 1)),
        (None, *range(1, count)),
        (NATS,) * count,
        likeliest,
    )
    column = Column(
        Source("run", "last.pt"),
        7,
        n_head=2,
        has_mlp=(True, True),
        scores=scores,
        lens=(layer(1, 2), layer(3, 1), layer(3, 1)),
        decided=1,
        expected=3,
        block=1,
        weights=((0.1, 0.2, 0.7), (0.8, 0.1, 0.1)),
        kinds=(HeadKind("induction", 0.61), None),
    )
    question = Question((Source("run"),), GivenTokens(tuple(range(count))))
    shown = ShownText(tuple(range(count)), tuple(texts), 0, count, 16)
    names = dict(enumerate(texts))
    state = InsideState(question)
    state.take(Answer(question, position, shown, (replace(column, **about),), names))
    return state


def plain(lines: list[Line]) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


def pane_lines(state: InsideState, width: int) -> list[Line]:
    answer = state.answer
    assert answer is not None
    column = answer.columns[0]
    return [
        *lens_lines(answer, column, state, width, 8),
        *attention_lines(answer, column, state, width, 12),
    ]


def test_the_curve_stands_below_the_text_and_the_cursor_is_reversed() -> None:
    state = answered()
    assert state.answer
    lines, rows = text_lines(state.answer, 40, 8)
    assert plain(lines) == ["   abcde", "    ▂▃▄▅"]
    assert [text for text, style in lines[0] if "reverse" in style] == ["d"]
    assert token_at(rows, 1, 5, 0) == token_at(rows, 1, 5, 1) == 2
    assert token_at(rows, 1, 1, 0) is None
    assert token_at(rows, 1, 30, 0) is None


def test_where_rows_are_few_the_curves_without_the_parts_stay() -> None:
    state = answered()
    assert state.answer
    (column,) = state.answer.columns
    out = replace(column, without=column.scores)
    both = replace(state.answer, columns=(out, out))
    labels = [[curve.label for curve in shown_curves(both, rows)] for rows in (9, 4, 3, 1, 0)]
    assert labels == [["a", "a−", "b", "b−"], ["a−", "b", "b−"], ["a−", "b−"], [], []]
    lines, rows = text_lines(both, 40, 3)
    assert plain(lines) == ["   abcde", "a−  ▂▃▄▅", "b−  ▂▃▄▅"]
    assert len(rows) == 1


def test_behind_the_text_the_cursor_is_a_cell_of_its_own() -> None:
    state = answered(position=5)
    assert state.answer
    assert text_lines(state.answer, 40, 8)[0][0][-1] == (" ", "reverse")
    line = "".join(text for text, _ in detail_line(state.answer, state.answer.columns[0]))
    assert line == "after the text  “b” 50%  “c” 25%  entropy 1.0 bits"


def test_the_token_is_told_by_probability_rank_surprisal_and_entropy() -> None:
    state = answered()
    assert state.answer
    line = "".join(text for text, _ in detail_line(state.answer, state.answer.columns[0]))
    assert line == ("token 3 of 0–4  “d”  p 25%  rank 3  surprisal 3.0 bits  entropy 1.0 bits")
    changed = replace(state.answer.columns[0], parts=("1.0",))
    changed = replace(changed, without=changed.scores)
    line = "".join(text for text, _ in detail_line(state.answer, changed))
    assert line.endswith("  without the part")


def test_two_columns_have_their_means_and_their_difference() -> None:
    state = answered()
    assert state.answer
    (column,) = state.answer.columns
    assert column.scores
    assert mean_text(state.answer) == " · 2.50 bits per token"
    better = replace(column.scores, surprisals=(None, *[NATS] * 4))
    both = replace(state.answer, columns=(column, replace(column, scores=better)))
    assert mean_text(both) == " · a 2.50, b 1.00 bits per token (-1.50)"
    assert mean_text(replace(state.answer, columns=())) == ""


def test_a_long_text_is_shown_around_the_cursor() -> None:
    state = answered("ab " * 30, position=80)
    assert state.answer
    lines, _ = text_lines(state.answer, 24, 6)
    assert len(lines) == 6
    assert any("reverse" in style for line in lines for _, style in line)


def test_the_lens_says_from_which_block_on_it_is_right() -> None:
    state = answered()
    assert state.answer
    lines = plain(lens_lines(state.answer, state.answer.columns[0], state, 60, 8))
    assert lines[0].startswith(" embedding “b” 50%")
    assert lines[2].startswith("▌block 1   “d” 50%")
    assert lines[2].endswith("2.0 ██████")
    assert lines[3] == "right from block 0 on: “d”"
    # With more room, what each layer gives the token that follows, and its rank.
    wide = plain(lens_lines(state.answer, state.answer.columns[0], state, 76, 8))
    assert "“d” 50% #2" in wide[0]
    assert "“d” 50% #1" in wide[1]
    wrong = answered(lens=(layer(1, 2),), decided=None)
    assert wrong.answer
    (*_, last) = plain(lens_lines(wrong.answer, wrong.answer.columns[0], wrong, 60, 8))
    assert last == "the output is “b” 50%, not “d”"


def test_heads_are_labelled_by_their_scores_else_by_where_they_look() -> None:
    state = answered(parts=("1.1",))
    state.turn_part(1)
    assert state.answer
    lines = plain(attention_lines(state.answer, state.answer.columns[0], state, 60, 12))
    assert lines[0] == "  head 0 ▂▃▇ induction 0.61 · itself “c”"
    assert lines[1] == "▌✗head 1 █▂▂ the first token “a”"
    assert lines[2:4] == ["  MLP", "  block"]
    assert lines[4:] == ["text     abc", "         █", "most on  “a” 80%  “b” 10%  “c” 10%"]


def test_longer_tokens_are_shaded_over_their_width() -> None:
    state = answered(("the ", "king", " of", "x", "y"))
    assert state.answer
    lines = plain(attention_lines(state.answer, state.answer.columns[0], state, 60, 12))
    assert lines[-3:-1] == ["the king of", "░░░░░░░░███"]


def test_loss_and_continuation_are_told_before_and_after() -> None:
    state = answered()
    assert state.answer
    column = state.answer.columns[0]
    assert column.scores
    worse = replace(column.scores, surprisals=(None, *[4.0] * 4))
    out = replace(column, without=worse, continued=("on\nand on", "off"))
    state.take(replace(state.answer, columns=(out,)))
    assert plain(knocked_out_lines(state)) == [
        "2.5000 → 5.7708 bits per token  +3.2708 worse",
        "as it is  … on⏎and on",
        "without   … off",
    ]
    beside = (out, replace(out, without=None))
    state.take(replace(state.answer, question=state.question, columns=beside[:1]))
    assert state.answer
    state.answer = replace(state.answer, columns=beside)
    assert plain(knocked_out_lines(state))[-1] == "b has none of these parts"


@pytest.mark.parametrize("width", [36, 56, 76])
def test_hostile_tokens_are_harmless_and_lines_fit(width: int) -> None:
    for text in hostile_texts(60, seed=11):
        state = answered((text, text[::-1], "x", text, "y"))
        assert state.answer is not None
        panes = pane_lines(state, width)
        for line in [*panes, *text_lines(state.answer, width, 8)[0]]:
            for piece, _ in line:
                assert harm_in(piece, one_line=True) is None, repr(piece)
        for line in panes:
            assert cell_len("".join(piece for piece, _ in line).rstrip()) <= width
