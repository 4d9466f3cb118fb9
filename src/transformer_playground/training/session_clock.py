"""The time of training: measured over all sessions of a run, and limited if the run says so."""

import contextlib
import time
from collections.abc import Iterator

from transformer_playground.config.train import TrainConfig
from transformer_playground.training.distributed import DistInfo

_MINUTE = 60.0


class SessionClock:
    """Seconds of training, with evaluations, samples and checkpoints."""

    def __init__(self, config: TrainConfig, ranks: DistInfo) -> None:
        self._limit, self._ranks = config.runtime.max_minutes * _MINUTE, ranks
        self._begun = self._paused = 0.0

    def begin(self, earlier: float, active: float) -> None:
        """Begin a session.

        Args:
            earlier: Seconds of the sessions before, pauses included.
            active: Those that count against `max_minutes`: without pauses, and in a branch with
                those of its parent.
        """
        self._begun = time.perf_counter() - earlier
        self._paused = earlier - active

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Training pauses inside of the block."""
        paused_at = time.perf_counter()
        yield
        self._paused += time.perf_counter() - paused_at

    @property
    def seconds(self) -> float:
        """Seconds of all sessions, pauses included."""
        return time.perf_counter() - self._begun

    @property
    def active_seconds(self) -> float:
        """Seconds of all sessions, of a branch with those of its parent, without pauses."""
        return self.seconds - self._paused

    def share(self) -> float:
        """Share of `max_minutes` that is used up, the same on all ranks; 0 without a limit.

        Pauses do not count. Every rank must call this.
        """
        if not self._limit:
            return 0.0
        return self._ranks.from_main(lambda: self.active_seconds / self._limit)
