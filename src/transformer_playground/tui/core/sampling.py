"""Sampling service of the console: draws in a worker thread and hands over token by token.

The console's own thread starts, stops and drains a job; `SamplingService.work` runs in a worker
thread and is the only place here that touches torch. Models that were sampled from lately are kept.
"""

import contextlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from transformer_playground.errors import CheckpointError, PlaygroundError
from transformer_playground.files import sha256_file
from transformer_playground.generation.samples import SampleEvent
from transformer_playground.runs.folder import open_run
from transformer_playground.runs.generation_request import SampleRequest

if TYPE_CHECKING:
    from transformer_playground.config.train import Device, DType
    from transformer_playground.runs.generation import LoadedModel, LoadedRun

ALTERNATIVES = 6
"""How many of the likeliest tokens are kept beside each drawn one."""
# Drained ten times a second, so many updates hold nobody up.
_MAX_UPDATES = 50_000
# How long showing them may keep the console busy at a time, however fast a model is.
_BUSY_SECONDS = 0.03
_AT_ONCE = 256
# As many as are drawn from side by side, so that sampling all of them again loads none.
_MAX_MODELS = 6
_MAX_HASHES = 256
_K = TypeVar("_K")
_V = TypeVar("_V")
# Device, inode, bytes, time of change: training replaces files, it never writes into one.
_Identity = tuple[int, int, int, int]


@dataclass(frozen=True)
class Source:
    """A checkpoint of a run.

    Attributes:
        run_id: The run.
        checkpoint: auto, best, last or a file name.
    """

    run_id: str
    checkpoint: str = "auto"


class Started(NamedTuple):
    """A source is loaded; its first token comes next."""

    loaded: "LoadedRun"


class Failed(NamedTuple):
    """A source gives nothing more, and why."""

    problem: str


class Update(NamedTuple):
    """What came of a source; `column` is its number among the sources of a job."""

    column: int
    event: Started | SampleEvent | Failed


class SampleJob:
    """One request for samples, drawn from several checkpoints.

    Args:
        sources: The checkpoints.
        request: What to draw from each of them.
        threads: CPU threads to compute with; None leaves the number alone.
    """

    def __init__(
        self, sources: Sequence[Source], request: SampleRequest, threads: int | None = None
    ) -> None:
        self.sources, self.request, self.threads = tuple(sources), request, threads
        self._updates: list[Update] = []
        self._backlog: list[Update] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._over = False
        self._seconds = 0.0

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come but what `drain` has not given yet."""
        return self._over

    @property
    def is_done(self) -> bool:
        """Whether it is over and `deliver` has delivered all of it."""
        return self._over and not self._updates and not self._backlog

    @property
    def seconds(self) -> float:
        """Duration of the drawing itself, once it is over; loading does not count."""
        return self._seconds

    def stop(self) -> None:
        """End every sample before its next token; never waits."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def drain(self) -> list[Update]:
        """What came since the last call, in order."""
        with self._changed:
            updates, self._updates = self._updates, []
            self._changed.notify_all()
        return updates

    def deliver(self, show: Callable[[Sequence[Update]], object]) -> bool:
        """Show what came, a portion at a time, for no longer than a key can wait.

        What is left over comes first the next time. A view calls this instead of `drain`.

        Returns:
            Whether anything was shown.
        """
        self._backlog += self.drain()
        deadline = time.monotonic() + _BUSY_SECONDS
        shown = 0
        while shown < len(self._backlog) and time.monotonic() < deadline:
            show(self._backlog[shown : shown + _AT_ONCE])
            shown += _AT_ONCE
        del self._backlog[:shown]
        return shown > 0

    def put(self, update: Update) -> None:
        """Add an update; waits while nobody drains, but not once stopped."""
        with self._changed:
            while len(self._updates) >= _MAX_UPDATES and not self._stopping:
                self._changed.wait()
            self._updates.append(update)

    def end(self, seconds: float) -> None:
        """Say that nothing more will come."""
        self._seconds, self._over = seconds, True


class SamplingService:
    """Runs one `SampleJob` at a time.

    Args:
        runs_dir: Folder of runs.
    """

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._models = ModelCache()
        self._turn = threading.Lock()

    def work(self, job: SampleJob) -> None:
        """Draw to the end; the body of a worker thread.

        What goes wrong with a source is said in its column, and the others go on.
        """
        began = time.perf_counter()
        with self._turn:
            try:
                began = self._draw(job)
            finally:
                job.end(time.perf_counter() - began)

    def _draw(self, job: SampleJob) -> float:
        """Draw from all sources in turn, so that they grow side by side; when it began."""
        if job.is_stopping:
            return time.perf_counter()
        with _threads(job.threads):
            streams: dict[int, Iterator[Started | SampleEvent]] = {}
            for column, source in enumerate(job.sources):
                if not job.is_stopping:
                    streams[column] = self._stream(job, source)
                    _advance(streams, column, job)
            began = time.perf_counter()
            while streams:
                for column in list(streams):
                    _advance(streams, column, job)
        return began

    def _stream(self, job: SampleJob, source: Source) -> Iterator[Started | SampleEvent]:
        # The first import of torch takes a second or more.
        from transformer_playground.runs.generation import load_run, stream_samples

        loaded = load_run(
            open_run(self._runs_dir, source.run_id),
            replace(job.request, checkpoint=source.checkpoint, environ=os.environ),
            load=self._models.load,
            hash_file=self._models.sha256,
        )
        yield Started(loaded)
        yield from stream_samples(
            loaded, alternatives=ALTERNATIVES, cancelled=lambda: job.is_stopping
        )


def _advance(
    streams: dict[int, Iterator[Started | SampleEvent]], column: int, job: SampleJob
) -> None:
    try:
        job.put(Update(column, next(streams[column])))
        return
    except StopIteration:
        pass
    except PlaygroundError as error:
        job.put(Update(column, Failed(str(error))))
    except MemoryError:
        job.put(Update(column, Failed("there is not enough memory to sample.")))
    except Exception as error:  # noqa: BLE001 - the console outlives any sample
        job.put(Update(column, Failed(f"{type(error).__name__}: {error}")))
    del streams[column]


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Compute with so many CPU threads in this thread.

    New threads take over the number that was set last, so it is put back afterwards.
    """
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class ModelCache:
    """Keeps models and hashes by the identity of their files.

    A file that training has replaced is another file, and two names of one file are the same.

    Args:
        most: How many models are kept.
    """

    def __init__(self, most: int = _MAX_MODELS) -> None:
        self._models: _Recent[tuple[_Identity, str, str], LoadedModel] = _Recent(most)
        self._hashes: _Recent[_Identity, str] = _Recent(_MAX_HASHES)

    def load(self, path: Path, device: "Device", dtype: "DType") -> "LoadedModel":
        """What `runs.sampling.load_model` gives, loaded at most once.

        Raises:
            PlaygroundError: As there.
        """
        from transformer_playground.runs.generation import load_model

        key = (_identity(path), device, dtype)
        known = self._models.get(key)
        if known is None:
            known = load_model(path, device, dtype)
            self._models.put(key, known)
        return known

    def sha256(self, path: Path) -> str:
        """SHA-256 of a file as hex, computed at most once.

        Raises:
            OSError: The file cannot be read.
        """
        key = _stat_identity(path)
        known = self._hashes.get(key)
        if known is None:
            known = sha256_file(path)
            self._hashes.put(key, known)
        return known


class _Recent(Generic[_K, _V]):
    """The entries used last, at most so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[_K, _V] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: _K, value: _V) -> None:
        self._entries[key] = value
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)


def _identity(path: Path) -> _Identity:
    try:
        return _stat_identity(path)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be read: {error.strerror}.", "Choose another one."
        ) from error


def _stat_identity(path: Path) -> _Identity:
    about = path.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns
