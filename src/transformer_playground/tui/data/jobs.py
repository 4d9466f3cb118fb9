"""Background work of the Data view: one task of each kind, in worker threads."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from transformer_playground.errors import PlaygroundError
from transformer_playground.terminal import visible_line
from transformer_playground.tui.data.service import Task
from transformer_playground.tui.shared.view import View
from transformer_playground.tui.shared.work import answer_in_thread

_TICK_SECONDS = 0.3
_T = TypeVar("_T")


class Jobs:
    """Runs tasks in threads; a newer task of the same kind cancels the one before.

    Args:
        view: The view, with a line `#data-task` for what runs.
        failed: Called with the kind of a task and the error that ended it.
    """

    def __init__(self, view: View, failed: Callable[[str, PlaygroundError], None]) -> None:
        self._view, self._failed = view, failed
        self._tasks: dict[str, Task] = {}
        self._ticker: Timer | None = None

    def start(
        self, kind: str, task: Task, work: Callable[[], _T], then: Callable[[_T], None]
    ) -> None:
        """Run `work` in a thread, then `then` in the console's own, unless it was cancelled."""
        self.cancel(kind)
        self._tasks[kind] = task
        if self._ticker is None:
            self._ticker = self._view.set_interval(_TICK_SECONDS, self.show)
        self._ticker.resume()
        self._view.refresh_bindings()
        answer = partial(self._ended, kind, task, then)
        what = task.title[:1].upper() + task.title[1:]
        answer_in_thread(self._view, what, work, answer, group="data")

    def cancel(self, *kinds: str) -> None:
        """End these tasks."""
        for kind in kinds:
            task = self._tasks.pop(kind, None)
            if task is not None:
                task.cancel()
        self.show()

    def cancel_all_but(self, *kinds: str) -> None:
        """End all other tasks."""
        self.cancel(*(kind for kind in self._tasks if kind not in kinds))

    def close(self) -> None:
        """End all tasks: the view is gone."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    def is_running(self, *kinds: str) -> bool:
        """Whether one of these tasks runs, or any."""
        return any(kind in self._tasks for kind in kinds) if kinds else bool(self._tasks)

    def show(self) -> None:
        """Say in one line what runs, and how far it is; nothing of what takes a moment only."""
        texts = [task.text for task in self._tasks.values() if task.is_long]
        line = self._view.query_one("#data-task", Static)
        line.display = bool(texts)
        key = self._view.key_hint("data.stop")
        text = f"{' · '.join(texts)} · {key} stops" if texts else ""
        line.update(Content(visible_line(text)))
        if not self._tasks and self._ticker is not None:
            self._ticker.pause()

    def _ended(
        self,
        kind: str,
        task: Task,
        then: Callable[[_T], None],
        result: _T | PlaygroundError,
    ) -> None:
        if self._tasks.get(kind) is not task:
            # It was cancelled, or a newer one has taken its place.
            return
        del self._tasks[kind]
        self.show()
        self._view.refresh_bindings()
        if not self._view.is_attached:
            return
        if isinstance(result, PlaygroundError):
            self._failed(kind, result)
        else:
            then(result)
