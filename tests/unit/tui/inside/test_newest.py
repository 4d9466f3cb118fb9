"""Of several questions the newest is answered."""

from collections.abc import Generator
from dataclasses import replace

import pytest

from transformer_playground.tui.core.sampling import Source
from transformer_playground.tui.inside.newest import NewestQuestion
from transformer_playground.tui.inside.question import Answer, Question, SplitWindow

FIRST = Question((Source("run"),), SplitWindow(1))
SECOND = replace(FIRST, text=SplitWindow(2))


def test_a_newer_question_ends_the_answers_to_an_older_one() -> None:
    asked: list[Question] = []
    shown: list[tuple[Question, int]] = []
    closed: list[Question] = []

    def answers(question: Question, _threads: int | None) -> Generator[Answer]:
        asked.append(question)
        try:
            for number in range(3):
                yield Answer(question, number)
        finally:
            closed.append(question)

    def show(answer: Answer) -> None:
        shown.append((answer.question, answer.position))
        if shown == [(FIRST, 0)]:
            assert not newest.ask(SECOND)

    newest = NewestQuestion(answers, show)
    assert newest.ask(FIRST)
    newest.work()
    assert asked == closed == [FIRST, SECOND]
    assert shown == [(FIRST, 0), *((SECOND, number) for number in range(3))]
    # The worker has ended: the next question needs another.
    assert newest.ask(FIRST)
    newest.drop()
    newest.work()
    assert asked == [FIRST, SECOND]


def test_a_fault_while_drawing_is_shown_in_words_and_the_next_question_is_answered() -> None:
    shown: list[Answer] = []

    def answers(question: Question, _threads: int | None) -> Generator[Answer]:
        yield Answer(question, 7)

    def show(answer: Answer) -> None:
        if answer.question is FIRST and not answer.problem:
            raise IndexError("no such row")
        shown.append(answer)

    newest = NewestQuestion(answers, show)
    newest.ask(FIRST)
    newest.work()
    assert [each.question for each in shown] == [FIRST]
    assert "no such row" in shown[0].problem
    assert newest.ask(SECOND)
    newest.work()
    assert shown[1] == Answer(SECOND, 7)


def test_after_a_fault_that_cannot_even_be_shown_the_next_question_starts_a_worker() -> None:
    def answers(question: Question, _threads: int | None) -> Generator[Answer]:
        yield Answer(question)

    def show(answer: Answer) -> None:
        raise RuntimeError(answer.question)

    newest = NewestQuestion(answers, show)
    assert newest.ask(FIRST)
    with pytest.raises(RuntimeError):
        newest.work()
    assert newest.ask(SECOND)
