"""Training jobs, one after another in one thread, and what they report.

The console's own thread submits, steers and drains; `TrainingQueue.work` runs in a worker thread
and is the only place that touches torch. Neither waits for the other: events of training only wake
the readers of the run's files, which hold every number.
"""

import itertools
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.errors import PlaygroundError
from transformer_playground.formatting import percent_done, rate_text
from transformer_playground.runs.fields import RunInfo
from transformer_playground.training.events import (
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    StatusChanged,
    Warned,
)
from transformer_playground.training.launch import Launch, resolve_launch
from transformer_playground.tui.core.jobs import EventBuffer, Job, JobState, News, Update

if TYPE_CHECKING:
    from transformer_playground.training.post_run import Artifacts

__all__ = [
    "Job",
    "JobState",
    "TrainingQueue",
    "Update",
    "artifact_lines",
    "describe",
    "ending",
    "question_before_leaving",
]


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
        self._updates = EventBuffer()
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
    def is_computing(self) -> bool:
        """Whether training takes steps now, so that the cores are in use."""
        job = self.active
        return job is not None and job.state == "running"

    @property
    def waiting(self) -> tuple[Job, ...]:
        """Jobs that have not begun, in their order."""
        return tuple(job for job in self._jobs if job.state == "queued")

    def job_of(self, run_id: str) -> Job | None:
        """The newest job that trains this run."""
        return next((job for job in reversed(self._jobs) if job.run_id == run_id), None)

    def submit(self, launch: Launch) -> Job:
        """Put a launch at the end of the queue; a closed queue stops it at once."""
        with self._wake:
            job = Job(next(self._numbers), launch, run_id=launch.resume or launch.run_id)
            self._jobs.append(job)
            self._change(job, "stopped" if self._closed else "queued")
            self._wake.notify()
        return job

    def stop(self, job: Job) -> None:
        """Take a waiting job out of the queue; save and end one that runs."""
        with self._wake:
            job.control.stop()
            if job.state == "queued":
                self._change(job, "stopped")

    def pause(self, job: Job) -> None:
        """Hold a run before its next step; nothing for a job that does not train."""
        if job.is_training:
            job.control.pause()

    def go_on(self, job: Job) -> None:
        """Let a paused run go on."""
        job.control.resume()

    def evaluate(self, job: Job) -> None:
        """Evaluate before the next step, also within a pause."""
        if job.is_training:
            job.control.evaluate_now()

    def sample(self, job: Job) -> None:
        """Draw a sample before the next step, also within a pause."""
        if job.is_training:
            job.control.sample_now()

    def checkpoint(self, job: Job) -> None:
        """Save a checkpoint before the next step, also within a pause."""
        if job.is_training:
            job.control.checkpoint_now()

    def close(self) -> None:
        """Stop everything; `work` returns once the running job has saved."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        for job in self._jobs:
            if not job.has_ended:
                self.stop(job)

    def drain(self) -> list[Update]:
        """What happened since the last call, oldest first."""
        return self._updates.take_all()

    def work(self) -> None:
        """Do jobs until closed; the body of the worker thread."""
        while (job := self._next()) is not None:
            try:
                self._do(job)
            except _StopError:
                self._end(job, "stopped")
            except PlaygroundError as error:
                self._end(job, "failed", str(error))
            except Exception as error:  # noqa: BLE001 - the console outlives any job
                self._end(job, "failed", f"{type(error).__name__}: {error}")
            else:
                self._end(job, "finished")

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
        tell = partial(self._tell, job)
        _refuse_stopped(job)
        resolved = resolve_launch(self._experiments_dir, self._runs_dir, job.launch)
        resolved.prepare(tell)
        _refuse_stopped(job)
        self._change(job, "starting")
        # The first import of torch takes a second or more; a stop during it leaves no run behind.
        import transformer_playground.training.run  # noqa: F401

        _refuse_stopped(job)
        result = resolved.train([_QueueSink(self, job)], job.control, tell)
        job.made = artifact_lines(result.artifacts)

    def _tell(self, job: Job, text: str) -> None:
        # A stop during preparation takes effect where preparation next says something.
        _refuse_stopped(job)
        job.message, job.is_warning = text, False
        self._updates.put(Update(job))

    def _change(self, job: Job, state: JobState) -> None:
        job.state = state
        self._updates.put(Update(job, "ended" if job.has_ended else "progress"))

    def _end(self, job: Job, state: JobState, problem: str = "") -> None:
        job.message, job.is_reporting = problem or job.message, False
        job.ended_at = time.time()
        # What training itself said last (finished, stopped, failed) counts.
        self._change(job, job.state if job.has_ended else state)

    def take(self, job: Job, event: Event) -> None:
        """Note how a job stands and wake its readers; called from the training thread."""
        news: News = "progress"
        job.step = max(job.step, event.step)
        match event:
            case RunStarted():
                job.run_id, job.max_iters, job.state = event.run_id, event.max_iters, "running"
                job.message, job.is_warning, news = "", False, "started"
            case StatusChanged(status="paused" | "running" as status):
                job.state = status
            case Warned():
                job.message, job.is_warning = event.message, True
            case RunFinished():
                # In this order: there is no moment at which nobody is at the job.
                job.is_reporting = True
                job.state, news = event.status, "trained"
            case RunFailed():
                job.state, job.message, news = "failed", event.error, "trained"
            case _:
                pass
        self._updates.put(Update(job, news))


def describe(queue: TrainingQueue, runs: Mapping[str, RunInfo]) -> str:
    """What trains and what waits, in a few words; empty when nothing does.

    Args:
        queue: The jobs.
        runs: Every run by its id, for its throughput.
    """
    job = queue.active
    waiting = f" +{len(queue.waiting)} queued" if queue.waiting else ""
    if job is None:
        return waiting.strip()
    if job.is_reporting:
        return f"writing plot and report of {job.name}{waiting}"
    if not job.is_training:
        return f"{job.state} {job.name}{waiting}"
    glyph = "▶" if job.state == "running" else "‖"
    percent = percent_done(job.step, job.max_iters)
    share = f"step {job.step:,}" if percent is None else f"{percent}%"
    run = runs.get(job.run_id or "")
    newest = run.summary.tokens_per_sec if run else None
    speed = "" if newest is None else f" {rate_text(newest)}"
    return f"{glyph} {job.name} {share}{speed}{waiting}"


def question_before_leaving(queue: TrainingQueue) -> tuple[str, str]:
    """What to ask who leaves while something trains, waits or is written, and the word for yes."""
    job = queue.active
    if job is None or not job.is_reporting:
        question = "Training goes on. Quit saves a checkpoint first; the run can be resumed."
        return question, "Save and quit"
    question = f"The plot and report of {job.name} are being written. Quit waits for them."
    if queue.waiting:
        question += " What is queued is not trained."
    return question, "Finish and quit"


def artifact_lines(artifacts: "Artifacts") -> tuple[str, ...]:
    """What was made of a run and what could not be, untrusted text, a line each."""
    return (*(f"wrote {path}" for path in artifacts.paths), *artifacts.warnings)


def ending(job: Job) -> str:
    """How a job ended and what was made of its run then, untrusted text of one line or more."""
    state = f"failed: {job.message}" if job.state == "failed" else job.state
    return "\n".join((state, *job.made))


def _refuse_stopped(job: Job) -> None:
    if job.control.stopping:
        raise _StopError


class _StopError(PlaygroundError):
    """Raised to leave a job that the user stopped before it trained."""

    def __init__(self) -> None:
        super().__init__("stopped")


class _QueueSink:
    """Hands a run's events to the queue."""

    essential = False

    def __init__(self, queue: TrainingQueue, job: Job) -> None:
        self._queue, self._job = queue, job

    def handle(self, event: Event) -> None:
        """Never blocks."""
        self._queue.take(self._job, event)

    def sync(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is held open."""
