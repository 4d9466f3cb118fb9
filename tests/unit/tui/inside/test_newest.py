"""Of several questions the newest is answered."""

from collections.abc import Generator
from dataclasses import replace

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
