"""Requests to a run of several processes, which reach every rank at the same point."""

import time
from collections.abc import Callable

from transformer_playground.runs.requests import Action, Request
from transformer_playground.training.control import POLL_SECONDS, TrainingControl
from transformer_playground.training.distributed import DistInfo
from transformer_playground.training.process_group import launcher_is_gone

_ACTIONS: tuple[Action, ...] = ("evaluate", "sample", "checkpoint")
# Between two exchanges while the first rank works alone.
_BUSY_SECONDS = 0.5


class SharedControl(TrainingControl):
    """A `TrainingControl` whose answers are the same on every rank.

    Every rank calls `sync` at the same points; a request to any of them counts from the next one
    on. A pause is asked of the first rank only.

    Args:
        local: Requests to this process, from its threads, signals and files.
        ranks: The ranks.
    """

    def __init__(self, local: TrainingControl, ranks: DistInfo) -> None:
        super().__init__()
        self._local, self._ranks = local, ranks
        self._is_busy = self._is_main_busy = False
        self._synced_at = 0.0

    def sync(self) -> None:
        """Exchange requests with the other ranks."""
        actions, received, warnings = self._local.take_all()
        self._received += received
        self._warnings += warnings
        stop, pause, busy, *asked = self._ranks.sum(
            self._local.stopping or launcher_is_gone(),
            self._local.paused and self._ranks.is_main,
            self._is_busy,
            *(action in actions for action in _ACTIONS),
        )
        self._asked |= {action for action, count in zip(_ACTIONS, asked, strict=True) if count}
        self._is_main_busy = bool(busy)
        if stop:
            super().stop()
        elif pause:
            super().pause()
        else:
            super().resume()
        self._synced_at = time.monotonic()

    def between_batches(self) -> None:
        """Exchange requests within an evaluation or a sample."""
        if not self._is_busy or time.monotonic() - self._synced_at > _BUSY_SECONDS:
            self.sync()

    def on_main(self, work: Callable[[], object]) -> None:
        """Run `work` on the first rank, which may exchange requests, while the others wait."""
        self._is_busy = self._ranks.is_main
        self.sync()
        if self._ranks.is_main:
            work()
            self._is_busy = False
            self.sync()
        while self._is_main_busy:
            self.sync()

    def wait_while_paused(self) -> bool:
        """As in `TrainingControl`; the ranks wait in the same exchanges."""
        while self.paused and not self.has_request():
            if self.has_news:
                return True
            time.sleep(POLL_SECONDS)
            self.sync()
        return False

    def stop(self) -> None:
        """Save a checkpoint and end training on all ranks."""
        self._local.stop()

    def pause(self) -> None:
        """Let all ranks wait before the next step."""
        self._local.pause()

    def resume(self) -> None:
        """Let all ranks continue after `pause`."""
        self._local.resume()

    def receive(self, request: Request) -> None:
        """Do what another process asks for, and remember to answer."""
        self._local.receive(request)

    def warn(self, message: str) -> None:
        """Let the trainer warn about a request."""
        self._local.warn(message)

    def _ask(self, action: Action) -> None:
        self._local._ask(action)
