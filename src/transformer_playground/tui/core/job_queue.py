"""Job queue of the console: training jobs that run one after another in a worker thread."""

import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transformer_playground.errors import DataError, PlaygroundError, describe_error
from transformer_playground.files import display_path
from transformer_playground.runs.fields import RunInfo
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import (
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    StatusChanged,
    Warned,
)
from transformer_playground.training.launch import Launch, resolve_launch
from transformer_playground.training.processes import rank_command
from transformer_playground.tui.core.child_run import ChildRun

if TYPE_CHECKING:
    from transformer_playground.training.launch import ResolvedLaunch
    from transformer_playground.training.post_run import Artifacts

JobState = Literal[
    "queued", "preparing", "starting", "running", "paused", "finished", "stopped", "failed"
]
ENDED = frozenset({"finished", "stopped", "failed"})
UpdateKind = Literal["progress", "started", "trained", "ended"]


@dataclass
class Job:
    """A training job: one launch and its state.

    Attributes:
        number: Counts from 1 within one console session.
        step: Optimizer steps done, updated before the run's files have their first logged step.
        message: Progress of the preparation, the latest warning, or the error of a failed job.
        has_begun: Whether training itself has begun, so that there is a run to resume.
        is_reporting: Whether the run has ended and its plot and report are being written.
        outputs: Files written after the run, and warnings about those that failed, one per line.
        ended_at: Unix time in seconds; 0 until the job ends.
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
    has_begun: bool = False
    is_reporting: bool = False
    outputs: tuple[str, ...] = ()
    ended_at: float = 0.0

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def is_active(self) -> bool:
        """Whether the worker thread is busy with it, up to the end of its report."""
        return self.is_reporting or (not self.has_ended and self.state != "queued")

    @property
    def is_training(self) -> bool:
        """Whether it handles requests: it is running or paused."""
        return self.state in {"running", "paused"}

    @property
    def name(self) -> str:
        """The run id, or the experiment before the run has an id."""
        return self.run_id or self.launch.experiment


def with_jobs(runs: Mapping[str, RunInfo], jobs: Iterable[Job]) -> dict[str, RunInfo]:
    """Runs by id, with the state of their newest job; their metrics still come from their files."""
    newest = {job.run_id: job for job in jobs if job.run_id is not None}
    return {
        run_id: with_job(run, newest[run_id])
        if run_id in newest
        # Without a call for each of the many runs that have ended.
        else (with_pause(run) if run.state == "running" else run)
        for run_id, run in runs.items()
    }


def with_pause(run: RunInfo) -> RunInfo:
    """A run of another process, as paused if its files say so."""
    is_paused = run.state == "running" and run.summary.status == "paused"
    return replace(run, state="paused") if is_paused else run


def with_job(run: RunInfo, job: Job) -> RunInfo:
    """A run with the state of the job that trains it."""
    if job.has_ended and (run.state in ENDED or 0 < job.ended_at < (run.updated or 0.0)):
        # The files record the end of the run, or another process has resumed it since.
        return with_pause(run)
    problem = job.message if job.state == "failed" else ""
    return replace(run, state=job.state, problem=problem or run.problem)


@dataclass(frozen=True)
class Update:
    """A change of a job; the run's metrics are read from its files.

    Attributes:
        job: The job itself, which may have changed again since this update.
        kind: "started" when the run begins, "trained" when training ends (its plot and report may
            follow), "ended" once per job, "progress" for everything else.
    """

    job: Job
    kind: UpdateKind = "progress"


class EventBuffer:
    """Buffer of updates from the training thread; keeps one update per job and kind."""

    def __init__(self) -> None:
        self._pending: dict[tuple[int, UpdateKind], Update] = {}
        # Held for one insertion or swap only, so neither thread blocks the other.
        self._lock = threading.Lock()

    def put(self, update: Update) -> None:
        with self._lock:
            self._pending.setdefault((update.job.number, update.kind), update)

    def take_all(self) -> list[Update]:
        """Empty the buffer, oldest update first."""
        with self._lock:
            taken, self._pending = self._pending, {}
        return list(taken.values())


class TrainingQueue:
    """Job queue of the console: runs one training job at a time in a worker thread.

    The application's own thread submits and controls jobs and drains updates. `work` runs in the
    worker thread, the only one that uses torch. Neither thread waits for the other.

    Args:
        unknown_preparer: The `prepare.py` that a launch would run, if the user has not allowed it;
            such a job fails.
    """

    def __init__(
        self,
        experiments_dir: Path,
        runs_dir: Path,
        unknown_preparer: "Callable[[ResolvedLaunch], Path | None]" = lambda _: None,
    ) -> None:
        self._experiments_dir, self._runs_dir = experiments_dir, runs_dir
        self._unknown_preparer = unknown_preparer
        self._jobs: list[Job] = []
        self._numbers = itertools.count(1)
        self._updates = EventBuffer()
        self._wake = threading.Condition()
        self._closed = False
        self.ended_by_close: tuple[Job, ...] = ()
        """The jobs that were active or waiting when the queue was closed."""

    @property
    def jobs(self) -> tuple[Job, ...]:
        """All jobs in the order in which they were submitted."""
        return tuple(sorted(self._jobs, key=lambda job: job.number))

    @property
    def active(self) -> Job | None:
        return next((job for job in self._jobs if job.is_active), None)

    @property
    def is_computing(self) -> bool:
        """Whether training is taking steps, so that the CPU cores are busy."""
        job = self.active
        return job is not None and job.state == "running"

    @property
    def waiting(self) -> tuple[Job, ...]:
        """The jobs that wait, the next one first."""
        return tuple(job for job in self._jobs if job.state == "queued")

    def job_of(self, run_id: str) -> Job | None:
        return next((job for job in reversed(self.jobs) if job.run_id == run_id), None)

    def submit(self, launch: Launch) -> Job:
        """Queue a launch; a closed queue stops it at once."""
        with self._wake:
            job = Job(next(self._numbers), launch, run_id=launch.resume or launch.run_id)
            self._jobs.append(job)
            self._change(job, "stopped" if self._closed else "queued")
            self._wake.notify()
        return job

    def stop(self, job: Job) -> None:
        """Remove a queued job; save a checkpoint and end a running one."""
        with self._wake:
            job.control.stop()
            if job.state == "queued":
                self._change(job, "stopped")

    def put_first(self, job: Job) -> None:
        """Run a waiting job before the others that wait; no effect on any other."""
        with self._wake:
            if job.state != "queued":
                return
            others = [each for each in self._jobs if each is not job]
            waiting = [place for place, each in enumerate(others) if each.state == "queued"]
            place = waiting[0] if waiting else len(others)
            self._jobs = [*others[:place], job, *others[place:]]
            self._updates.put(Update(job))

    def pause(self, job: Job) -> None:
        """Pause before the next step; no effect unless the job is training."""
        if job.is_training:
            job.control.pause()

    def resume(self, job: Job) -> None:
        job.control.resume()

    def evaluate(self, job: Job) -> None:
        """Evaluate before the next step, also while paused."""
        if job.is_training:
            job.control.evaluate_now()

    def sample(self, job: Job) -> None:
        """Generate samples before the next step, also while paused."""
        if job.is_training:
            job.control.sample_now()

    def checkpoint(self, job: Job) -> None:
        """Save a checkpoint before the next step, also while paused."""
        if job.is_training:
            job.control.checkpoint_now()

    def close(self) -> None:
        """Stop all jobs; `work` returns once the running job has saved its checkpoint."""
        with self._wake:
            if not self._closed:
                self.ended_by_close = tuple(
                    job for job in self._jobs if job.is_active or not job.has_ended
                )
            self._closed = True
            self._wake.notify()
        for job in self._jobs:
            if not job.has_ended:
                self.stop(job)

    def drain(self) -> list[Update]:
        """Updates since the last call, oldest first."""
        return self._updates.take_all()

    def work(self) -> None:
        """Run jobs until the queue is closed; the body of the worker thread."""
        while (job := self._next_job()) is not None:
            try:
                self._run_job(job)
            except _StopError:
                self._end(job, "stopped")
            # Not only Exception: a panic in Rust code or a CancelledError must not end the thread.
            except BaseException as error:  # noqa: BLE001
                self._end(job, "failed", describe_error(error))
            else:
                self._end(job, "finished")

    def _next_job(self) -> Job | None:
        with self._wake:
            while not self._closed:
                job = next(iter(self.waiting), None)
                if job is not None:
                    self._change(job, "preparing")
                    return job
                self._wake.wait()
        return None

    def _run_job(self, job: Job) -> None:
        report = partial(self._report_preparation, job)
        _raise_if_stopped(job)
        resolved = resolve_launch(self._experiments_dir, self._runs_dir, job.launch)
        if preparer := self._unknown_preparer(resolved):
            # Allowed when the job was submitted, unless the file has changed since.
            raise DataError(
                f"{display_path(preparer)} was not allowed to run, or has changed since.",
                "Start the run again to be asked about it.",
            )
        resolved.prepare(report, lambda progress: report(str(progress)))
        _raise_if_stopped(job)
        self._change(job, "starting")
        if resolved.loaded.config.train.distributed.processes > 1:
            # The dataset is prepared, and the console draws samples itself.
            launch = replace(resolved.launch, prepare="never")
            command = rank_command(replace(resolved, launch=launch), json_output=True)
            job.run_id = command.run_id
            job.outputs = ChildRun(command, job.control, partial(self.record_event, job)).train()
            _raise_if_stopped(job)
            return
        # The first import of torch takes a second or more; a stop during it leaves no run behind.
        import transformer_playground.training.run  # noqa: F401

        _raise_if_stopped(job)
        result = resolved.train([_QueueSink(self, job)], job.control, report)
        job.outputs = artifact_lines(result.artifacts)

    def _report_preparation(self, job: Job, text: str) -> None:
        # A stop during preparation takes effect at its next progress message.
        _raise_if_stopped(job)
        job.message, job.is_warning = text, False
        self._updates.put(Update(job))

    def _change(self, job: Job, state: JobState) -> None:
        job.state = state
        self._updates.put(Update(job, "ended" if job.has_ended else "progress"))

    def _end(self, job: Job, state: JobState, problem: str = "") -> None:
        job.message, job.is_reporting = problem or job.message, False
        job.ended_at = time.time()
        # Keep the state that training itself reported last (finished, stopped, failed).
        self._change(job, job.state if job.has_ended else state)

    def record_event(self, job: Job, event: Event) -> None:
        """Update a job from a training event; called from the training thread."""
        kind: UpdateKind = "progress"
        job.step = max(job.step, event.step)
        match event:
            case RunStarted():
                job.run_id, job.max_iters, job.state = event.run_id, event.max_iters, "running"
                job.message, job.is_warning, job.has_begun, kind = "", False, True, "started"
            case StatusChanged(status="paused" | "running" as status):
                job.state = status
            case Warned():
                job.message, job.is_warning = event.message, True
            case RunFinished():
                # In this order, so that the job is active throughout.
                job.is_reporting = True
                job.state, kind = event.status, "trained"
            case RunFailed():
                job.state, job.message, kind = "failed", event.error, "trained"
            case _:
                pass
        self._updates.put(Update(job, kind))


def artifact_lines(artifacts: "Artifacts") -> tuple[str, ...]:
    """Written files and warnings of a finished run, untrusted text, one per line."""
    written = (f"wrote {path}" for path in (*artifacts.paths, *artifacts.exports))
    return (*written, *artifacts.warnings, *artifacts.failures)


def _raise_if_stopped(job: Job) -> None:
    if job.control.stopping:
        raise _StopError


class _StopError(PlaygroundError):
    """Raised to abort a job that the user stopped before its training began."""

    def __init__(self) -> None:
        super().__init__("stopped")


class _QueueSink:
    """Event sink that passes a run's events to the queue; never blocks."""

    essential = False

    def __init__(self, queue: TrainingQueue, job: Job) -> None:
        self._queue, self._job = queue, job

    def handle(self, event: Event) -> None:
        self._queue.record_event(self._job, event)

    def sync(self) -> None:
        """Nothing to flush."""

    def close(self) -> None:
        """Nothing to close."""
