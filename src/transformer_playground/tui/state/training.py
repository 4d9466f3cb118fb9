"""Training jobs, one after another in one thread, and what they report.

The console's own thread submits, steers and drains; `TrainingQueue.work` runs in a worker thread
and is the only place that touches torch. Neither waits for the other: reports go through a bounded
queue whose oldest entries give way, for the run's files hold every one of them.
"""

import itertools
import os
import threading
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from transformer_playground.config.resuming import load_resumed_config
from transformer_playground.errors import PlaygroundError
from transformer_playground.experiments.discovery import load_experiment
from transformer_playground.experiments.registry import prepare_experiment
from transformer_playground.runs.layout import open_run, read_run_config
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import (
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    StatusChanged,
    StepLogged,
)

JobState = Literal[
    "queued", "preparing", "starting", "running", "paused", "finished", "stopped", "failed"
]
_ENDED = ("finished", "stopped", "failed")
_MOST_UPDATES = 10_000


@dataclass(frozen=True)
class Launch:
    """What the user asked to train.

    Attributes:
        experiment: Name of the experiment.
        overrides: `dotted.key=value` each.
        run_id: Name of the new run; None makes one up.
        resume: Id of a run to go on with instead of a new one.
    """

    experiment: str
    overrides: tuple[str, ...] = ()
    run_id: str | None = None
    resume: str | None = None


@dataclass
class Job:
    """A launch on its way.

    Attributes:
        number: Counts from 1 in this console.
        message: What preparation says, or why the job failed.
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
    latest: StepLogged | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in _ENDED

    @property
    def is_active(self) -> bool:
        """Whether the worker is at it."""
        return not self.has_ended and self.state != "queued"


@dataclass(frozen=True)
class Update:
    """Something happened to a job; `event` is None when only its state or message changed."""

    job: Job
    event: Event | None = None


class TrainingQueue:
    """The console's training jobs.

    Args:
        experiments_dir: Folder of experiments.
        runs_dir: Folder of runs.
    """

    def __init__(self, experiments_dir: Path, runs_dir: Path) -> None:
        self._experiments_dir, self._runs_dir = experiments_dir, runs_dir
        self._jobs: list[Job] = []
        self._numbers = itertools.count(1)
        self._updates: deque[Update] = deque(maxlen=_MOST_UPDATES)
        self._wake = threading.Condition()
        self._closed = False

    @property
    def jobs(self) -> tuple[Job, ...]:
        """Every job of this console, oldest first."""
        return tuple(self._jobs)

    @property
    def active(self) -> Job | None:
        """The job that the worker is at."""
        return next((job for job in self._jobs if job.is_active), None)

    @property
    def waiting(self) -> tuple[Job, ...]:
        """Jobs that wait for their turn."""
        return tuple(job for job in self._jobs if job.state == "queued")

    def job_of(self, run_id: str) -> Job | None:
        """The newest job that trains this run."""
        return next((job for job in reversed(self._jobs) if job.run_id == run_id), None)

    def submit(self, launch: Launch) -> Job:
        """Put a launch at the end of the queue."""
        with self._wake:
            job = Job(next(self._numbers), launch, run_id=launch.resume or launch.run_id)
            self._jobs.append(job)
            self._wake.notify()
        return job

    def stop(self, job: Job) -> None:
        """Take a waiting job out of the queue; save and end one that runs."""
        with self._wake:
            job.control.stop()
            if job.state == "queued":
                self._change(job, "stopped")

    def close(self) -> None:
        """Stop everything; `work` returns once the running job has saved."""
        for job in self._jobs:
            if not job.has_ended:
                self.stop(job)
        with self._wake:
            self._closed = True
            self._wake.notify()

    def drain(self) -> list[Update]:
        """What happened since the last call, oldest first."""
        updates: list[Update] = []
        while self._updates:
            updates.append(self._updates.popleft())
        return updates

    def work(self) -> None:
        """Do jobs until closed; the body of the worker thread."""
        while (job := self._next()) is not None:
            try:
                self._do(job)
            except PlaygroundError as error:
                self._end(job, str(error))
            except Exception as error:  # noqa: BLE001 - the console outlives any job
                self._end(job, f"{type(error).__name__}: {error}")
            else:
                self._end(job, "")

    def _next(self) -> Job | None:
        with self._wake:
            while not self._closed:
                waiting = self.waiting
                if waiting:
                    self._change(waiting[0], "preparing")
                    return waiting[0]
                self._wake.wait()
        return None

    def _do(self, job: Job) -> None:
        launch = job.launch
        resumed = open_run(self._runs_dir, launch.resume) if launch.resume else None
        experiment, loaded = load_experiment(
            self._experiments_dir, launch.experiment, None, launch.overrides, os.environ
        )
        prepare_experiment(experiment, loaded.config, report=partial(self._tell, job))
        if resumed is not None:
            saved = read_run_config(resumed).get("config")
            loaded = load_resumed_config(
                saved if isinstance(saved, dict) else {},
                loaded,
                stated_file=None,
                overrides=launch.overrides,
                environ=os.environ,
            )
        self._change(job, "starting")
        # The first import of torch takes a second or more.
        from transformer_playground.training.session import Plan, resume_run, train_new_run

        plan = Plan(experiment.name, loaded.config, loaded.provenance, experiment.folder)
        sink = _QueueSink(self, job)
        if resumed is None:
            train_new_run(plan, self._runs_dir, launch.run_id, [sink], job.control)
        else:
            resume_run(plan, resumed, [sink], job.control, partial(self._tell, job))

    def _tell(self, job: Job, text: str) -> None:
        # A stop during preparation takes effect where preparation next says something.
        if job.control.stopping:
            raise _StopError
        job.message = text
        self._updates.append(Update(job))

    def _change(self, job: Job, state: JobState) -> None:
        job.state = state
        self._updates.append(Update(job))

    def _end(self, job: Job, problem: str) -> None:
        if job.has_ended:
            return
        job.message = problem
        stopped = job.control.stopping
        self._change(job, "stopped" if stopped else "failed" if problem else "finished")

    def take(self, job: Job, event: Event) -> None:
        """Note what training emitted; called from the training thread."""
        job.step = max(job.step, event.step)
        match event:
            case RunStarted():
                job.run_id, job.max_iters, job.state = event.run_id, event.max_iters, "running"
                job.message = ""
            case StepLogged():
                job.latest = event
            case StatusChanged(status="paused" | "running" as status):
                job.state = status
            case RunFinished():
                job.state = event.status
            case RunFailed():
                job.state, job.message = "failed", event.error
            case _:
                pass
        self._updates.append(Update(job, event))


def describe(queue: TrainingQueue) -> str:
    """What trains and what waits, in a few words; empty when nothing does."""
    job = queue.active
    waiting = f" +{len(queue.waiting)} queued" if queue.waiting else ""
    if job is None:
        return waiting.strip()
    name = job.run_id or job.launch.experiment
    if job.state not in ("running", "paused"):
        return f"{job.state} {name}{waiting}"
    glyph = "▶" if job.state == "running" else "‖"
    share = f"{job.step / job.max_iters:.0%}" if job.max_iters else f"step {job.step:,}"
    speed = f" {job.latest.tokens_per_sec:,.0f} tok/s" if job.latest else ""
    return f"{glyph} {name} {share}{speed}{waiting}"


class _StopError(PlaygroundError):
    """Raised to leave a preparation that the user stopped."""

    def __init__(self) -> None:
        super().__init__("stopped")


class _QueueSink:
    """Hands a run's events to the queue."""

    essential = False

    def __init__(self, queue: TrainingQueue, job: Job) -> None:
        self._queue, self._job = queue, job

    def handle(self, event: Event) -> None:
        """Never blocks: the queue drops what is oldest when nobody reads."""
        self._queue.take(self._job, event)

    def sync(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is held open."""
