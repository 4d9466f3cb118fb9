"""A training job of the console, and the updates by which it wakes the readers of its run."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from transformer_playground.runs.fields import RunInfo
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.launch import Launch

JobState = Literal[
    "queued", "preparing", "starting", "running", "paused", "finished", "stopped", "failed"
]
ENDED = frozenset({"finished", "stopped", "failed"})
News = Literal["progress", "started", "trained", "ended"]


@dataclass
class Job:
    """A launch on its way.

    Attributes:
        number: Counts from 1 in this console.
        step: Optimizer steps done. Counted here as well as in the run's files, which the top bar
            does not read, and which say nothing before the first logged step.
        message: Progress of the preparation, the latest warning, or why the job failed.
        is_warning: Whether `message` is a warning.
        is_reporting: Whether the run has ended and its plot and report are being made.
        made: What was made of the run when it had ended, and what could not be, a line each.
        ended_at: When the job ended, seconds since 1970; 0 until then.
    """

    number: int
    launch: Launch
    control: TrainingControl = field(default_factory=TrainingControl)
    state: JobState = "queued"
    run_id: str | None = None
    step: int = 0
    max_iters: int = 0
    message: str = ""
    is_warning: bool = False
    is_reporting: bool = False
    made: tuple[str, ...] = ()
    ended_at: float = 0.0

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


def with_jobs(runs: Mapping[str, RunInfo], jobs: Iterable[Job]) -> dict[str, RunInfo]:
    """The runs by id, those that are trained here in the state of their newest job.

    Their numbers stay those of their files.
    """
    newest = {job.run_id: job for job in jobs if job.run_id is not None}
    return {
        run_id: with_job(run, newest[run_id]) if run_id in newest else run
        for run_id, run in runs.items()
    }


def with_job(run: RunInfo, job: Job) -> RunInfo:
    """A run in the state of the job that trains it."""
    if job.has_ended:
        is_told = run.state in ENDED
        is_written_since = 0 < job.ended_at < (run.updated or 0.0)
        if is_told or is_written_since:
            # Its own last word counts, and what another process has made of it since.
            return run
    problem = job.message if job.state == "failed" else ""
    return replace(run, state=job.state, problem=problem or run.problem)


@dataclass(frozen=True)
class Update:
    """Something happened to a job; what its run measured is read from the run's files.

    Attributes:
        job: The job as it is by now, which may be further on than this update.
        news: "started" when its run has begun, "trained" when the run has ended and its plot and
            report may follow, "ended" once for each job, "progress" for everything else.
    """

    job: Job
    news: News = "progress"


class EventBuffer:
    """Updates on their way from the training thread to the console, never waited for.

    Each kind of news of a job waits once, however often it comes before somebody asks.
    """

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, News], Update] = {}
        # Held for an insertion or a swap only, so neither thread ever waits for the other's work.
        self._lock = threading.Lock()

    def put(self, update: Update) -> None:
        """Add an update."""
        with self._lock:
            self._waiting.setdefault((update.job.number, update.news), update)

    def take_all(self) -> list[Update]:
        """Empty the buffer, oldest first."""
        with self._lock:
            taken, self._waiting = self._waiting, {}
        return list(taken.values())
