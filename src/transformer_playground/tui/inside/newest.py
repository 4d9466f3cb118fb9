"""Answers the newest of several questions."""

import contextlib
import threading
from collections.abc import Callable, Generator

from transformer_playground.tui.inside.question import Answer, Question


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
        self._wanted: tuple[Question, int | None] | None = None
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
        """Answer until no newer question was asked."""
        while True:
            with self._lock:
                asked = self._wanted
                if asked is None:
                    self._is_working = False
                    return
            stream = self._answers(*asked)
            with contextlib.closing(stream):
                for answer in stream:
                    if self._wanted is not asked:
                        break
                    self._show(answer)
            with self._lock:
                if self._wanted is asked:
                    self._wanted = None
