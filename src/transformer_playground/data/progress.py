"""Progress of a preparation, for displays."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from transformer_playground.formatting import duration_text, percent_text


@dataclass(frozen=True)
class Progress:
    """How far a stage is: `done` of `total` characters or bytes after `seconds`."""

    stage: str
    done: int
    total: int
    seconds: float
    unit: str = "characters"

    @property
    def left(self) -> float | None:
        """Seconds to the end of the stage at its speed so far; None at its start."""
        if not self.done:
            return None
        return self.seconds * max(self.total - self.done, 0) / self.done

    def __str__(self) -> str:
        share = percent_text(min(self.done / max(self.total, 1), 1.0))
        if self.left is None:
            return f"{self.stage}: {share}"
        speed = self.done / 1e6 / max(self.seconds, 1e-9)
        return (
            f"{self.stage}: {share}, {speed:.1f} M {self.unit}/s, {duration_text(self.left)} left"
        )


ShowProgress = Callable[[Progress], object]


def ignore_progress(_: Progress) -> None:
    """Show nothing."""


class Stage:
    """Counts the characters, or another unit, of one stage and shows them."""

    def __init__(
        self,
        name: str,
        total: int,
        show: ShowProgress = ignore_progress,
        unit: str = "characters",
    ) -> None:
        self._name, self._total, self._show, self._unit = name, total, show, unit
        self._done, self._start_time = 0, time.perf_counter()

    def advance(self, count: int) -> None:
        """Count what is done; whatever `show` raises ends the preparation."""
        self._done += count
        seconds = time.perf_counter() - self._start_time
        self._show(Progress(self._name, self._done, self._total, seconds, self._unit))
