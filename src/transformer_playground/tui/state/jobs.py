"""A training job of the console, and the box through which it reports."""

import itertools
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import (
    Evaluated,
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    StepLogged,
)
from transformer_playground.training.launch import Launch

JobState = Literal[
    "queued", "preparing", "starting", "running", "paused", "finished", "stopped", "failed"
]
ENDED = frozenset({"finished", "stopped", "failed"})
MOST_UPDATES = 10_000
_LASTING = (RunStarted, Evaluated, RunFinished, RunFailed)


@dataclass
class Job:
    """A launch on its way.

    Attributes:
        number: Counts from 1 in this console.
        message: What preparation says, the latest warning, or why the job failed.
        is_reporting: Whether the run has ended and its plot and report are being made.
        made: What was made of the run when it had ended, and what could not be, a line each.
        latest: The newest logged step.
    """

    number: int
    launch: Launch
    control: TrainingControl = field(default_factory=TrainingControl)
    state: JobState = "queued"
    run_id: str | None = None
    step: int = 0
    max_iters: int = 0
    message: str = ""
    is_reporting: bool = False
    made: tuple[str, ...] = ()
    latest: StepLogged | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its run will go no further."""
        return self.state in ENDED

    @property
    def is_active(self) -> bool:
        """Whether the worker is at it."""
        return self.is_reporting or (not self.has_ended and self.state != "queued")

    @property
    def is_training(self) -> bool:
        """Whether it takes requests: it runs or is paused."""
        return self.state in {"running", "paused"}

    @property
    def name(self) -> str:
        """The run's id, or the experiment while there is none."""
        return self.run_id or self.launch.experiment


@dataclass(frozen=True)
class Update:
    """Something happened to a job.

    Attributes:
        job: The job as it is by now, which may be further on than this update.
        event: What training emitted; None when only the job's state or message changed.
        is_end: Whether the job ended with this update; true of one update of each job.
    """

    job: Job
    event: Event | None = None
    is_end: bool = False


class UpdateBox:
    """Updates on their way from the training thread to the console, bounded and never waited for.

    When nobody empties it, the oldest of the many (logged steps, samples, messages) give way; what
    a run has few of (its start, its evaluations, its end) stays.

    Args:
        most: How many of the many are kept.
    """

    def __init__(self, most: int = MOST_UPDATES) -> None:
        self._many: deque[tuple[int, Update]] = deque(maxlen=most)
        self._few: list[tuple[int, Update]] = []
        self._order = itertools.count()
        # Held for an append or a swap only, so neither thread ever waits for the other's work.
        self._lock = threading.Lock()

    def put(self, update: Update) -> None:
        """Add the newest update."""
        with self._lock:
            is_lasting = update.is_end or isinstance(update.event, _LASTING)
            target = self._few if is_lasting else self._many
            target.append((next(self._order), update))

    def take_all(self) -> list[Update]:
        """Empty the box, oldest first."""
        with self._lock:
            taken = [*self._many, *self._few]
            self._many.clear()
            self._few.clear()
        return [update for _, update in sorted(taken, key=lambda numbered: numbered[0])]
