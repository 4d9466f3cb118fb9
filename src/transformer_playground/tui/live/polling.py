"""When a view or dialog polls the files of its runs: in a thread, at a bounded share of one core.

Updates of a run that trains here lead to a poll at the next tick. Otherwise the wait between polls
grows while nothing changes.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from textual.screen import Screen

from transformer_playground.tui.core.context import context_of
from transformer_playground.tui.live.follower import LiveFrame, RunFollowers, ViewRequest

TICK_SECONDS = 0.25
_MIN_WAIT = 0.5
_MAX_WAIT = 2.0
_WAIT_FACTOR = 1.5
# Maximum share of one core for polling.
_MAX_LOAD = 0.05


class FilePoller:
    """Polls for one view or dialog while that is shown; it calls `tick`.

    Args:
        view: The view or dialog.
        request: What it shows now.
        show: Called with each new frame and the one before, on the application's own thread.

    Attributes:
        requested: The request of the newest poll.
        frame: The newest frame that was shown.
        count: How often it polled.
    """

    def __init__(
        self,
        view: Screen[Any],
        request: Callable[[], ViewRequest],
        show: Callable[[LiveFrame, LiveFrame | None], None],
    ) -> None:
        self._view, self._request, self._show = view, request, show
        context = context_of(view)
        self._followers = RunFollowers(context.runs_dir, context.experiments_dir)
        self.requested: ViewRequest | None = None
        self.frame: LiveFrame | None = None
        self.count = 0
        self.is_polling = self._is_woken = False
        self._wait = _MIN_WAIT
        # Times of the monotonic clock. An early poll waits for _rest_until, others for _next_poll.
        self._rest_until = self._next_poll = 0.0

    @property
    def has_rested(self) -> bool:
        """Whether it has not polled since `rest`."""
        return not self._next_poll

    def rest(self) -> None:
        """Start over when the view is shown again."""
        self._next_poll = 0.0

    def wake(self) -> None:
        """Poll at the next tick: files have changed."""
        self._is_woken = True

    def tick(self) -> None:
        """Poll if it is time to."""
        now = time.monotonic()
        if now >= self._next_poll or (self._is_woken and now >= self._rest_until):
            self._poll()

    def poll_now(self) -> None:
        """Poll at once: the view shows something else."""
        self._wait = _MIN_WAIT
        self._poll()

    def _poll(self) -> None:
        if self.is_polling or not self._view.is_current:
            return
        self.is_polling, self._is_woken = True, False
        self.count += 1
        self.requested = self._request()
        poll = partial(self._poll_in_thread, self.requested)
        self._view.run_worker(poll, group="followers", thread=True, exit_on_error=False)

    def _poll_in_thread(self, request: ViewRequest) -> None:
        frame = None
        try:
            frame = self._followers.poll(request)
        finally:
            self._view.app.call_from_thread(self._on_frame, frame)

    def _on_frame(self, frame: LiveFrame | None) -> None:
        self.is_polling = False
        if frame is None:
            # Files that cannot be read now may be later.
            self._next_poll = self._rest_until = time.monotonic() + _MAX_WAIT
            return
        if not self._view.is_current:
            return
        before = self.frame
        is_new = frame.changed or before is None or before.request != frame.request
        self._wait = _MIN_WAIT if is_new else min(_MAX_WAIT, self._wait * _WAIT_FACTOR)
        if is_new or (before is not None and before.writer != frame.writer):
            self.frame = frame
            self._show(frame, before)
        now = time.monotonic()
        self._rest_until = now + frame.spent / _MAX_LOAD
        self._next_poll = max(now + self._wait, self._rest_until)
        if frame.request != self._request():
            self._poll()
