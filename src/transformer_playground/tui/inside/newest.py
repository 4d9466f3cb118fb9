"""Answers the newest of several questions."""

import contextlib
import threading
from collections.abc import Callable, Generator

from transformer_playground.errors import describe_error
from transformer_playground.tui.inside.question import Answer, Question

_Asked = tuple[Question, int | None]


class NewestQuestion:
    """Answers the newest of several questions in a worker; older ones are dropped.

    Args:
        answers: `InsideService.answers`.
        show: Called in the worker with each answer to the newest question.
    """

    def __init__(
        self,
        answers: Callable[[Question, int | None], Generator[Answer]],
        show: Callable[[Answer], object],
    ) -> None:
        self._answers, self._show = answers, show
        self._lock = threading.Lock()
        self._wanted: _Asked | None = None
        self._is_working = False

    def ask(self, question: Question, threads: int | None = None) -> bool:
        """Ask; whether `work` has to be started in a worker."""
        with self._lock:
            self._wanted = (question, threads)
            must_start, self._is_working = not self._is_working, True
        return must_start

    def drop(self) -> None:
        """Answer nothing more."""
        with self._lock:
            self._wanted = None

    def work(self) -> None:
        """Answer until no newer question was asked; a failure is shown as the answer's problem."""
        try:
            while (asked := self._next()) is not None:
                self._answer(asked)
                with self._lock:
                    if self._wanted is asked:
                        self._wanted = None
        except BaseException:
            # Not even the problem could be shown. The next question starts a worker all the same.
            with self._lock:
                self._is_working = False
            raise

    def _next(self) -> _Asked | None:
        with self._lock:
            self._is_working = self._wanted is not None
            return self._wanted

    def _answer(self, asked: _Asked) -> None:
        try:
            with contextlib.closing(self._answers(*asked)) as stream:
                for answer in stream:
                    if self._wanted is not asked:
                        return
                    self._show(answer)
        except Exception as error:  # noqa: BLE001 - drawing may fail in any way
            if self._wanted is asked:
                self._show(Answer(asked[0], problem=describe_error(error)))
