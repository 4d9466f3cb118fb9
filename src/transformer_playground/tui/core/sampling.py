"""Sampling service of the console: generates text in a worker thread, token by token.

The application's own thread starts, stops and drains a job; `SamplingService.work` runs in a worker
thread, the only one here that uses torch. Recently used models are cached.
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

from transformer_playground.errors import CheckpointError, describe_error
from transformer_playground.files import sha256_file
from transformer_playground.generation.samples import SampleEvent
from transformer_playground.runs.folder import open_run
from transformer_playground.runs.generation_request import SampleRequest

if TYPE_CHECKING:
    from transformer_playground.config.sample import SampleRuntimeConfig
    from transformer_playground.runs.generation import LoadedModel, LoadedRun

ALTERNATIVES = 6
"""Number of most likely tokens reported with each sampled token."""
# Views drain ten times a second, so this limit does not slow generation down.
_MAX_UPDATES = 50_000
# Longest time that one delivery may block the application, however fast a model is.
_DELIVERY_SECONDS = 0.03
_DELIVERY_BATCH = 256
# As many as are sampled side by side, so that sampling all of them again loads none.
_MAX_MODELS = 6
_MAX_HASHES = 256
_K = TypeVar("_K")
_V = TypeVar("_V")
# Device, inode, size, mtime: training replaces checkpoint files, it never modifies one.
FileIdentity = tuple[int, int, int, int]


MOST_SOURCES = 6
"""Number of checkpoints that can be sampled side by side."""


@dataclass(frozen=True)
class Source:
    """A checkpoint of a run to sample from.

    Attributes:
        checkpoint: auto, best, last or a file name.
    """

    run_id: str
    checkpoint: str = "auto"


class Started(NamedTuple):
    """A source is loaded; its tokens follow."""

    loaded: "LoadedRun"


class Failed(NamedTuple):
    """A source failed and yields no more events."""

    problem: str


class Update(NamedTuple):
    """An event of one source; `column` is the index of the source in its job."""

    column: int
    event: Started | SampleEvent | Failed


class SampleJob:
    """One sampling request for several checkpoints.

    Args:
        request: Prompt and options, the same for every source.
        threads: Number of CPU threads; None keeps the current number.
    """

    def __init__(
        self, sources: Sequence[Source], request: SampleRequest, threads: int | None = None
    ) -> None:
        self.sources, self.request, self.threads = tuple(sources), request, threads
        self._updates: list[Update] = []
        self._backlog: list[Update] = []
        self._changed = threading.Condition()
        self.is_stopping = False
        self.is_over = False
        self.seconds = 0.0

    @property
    def is_done(self) -> bool:
        """Whether generation has ended and `deliver` has delivered every update."""
        return self.is_over and not self._updates and not self._backlog

    def stop(self) -> None:
        """End every sample before its next token; does not block."""
        with self._changed:
            self.is_stopping = True
            self._changed.notify_all()

    def drain(self) -> list[Update]:
        """Updates since the last call, in order."""
        with self._changed:
            updates, self._updates = self._updates, []
            self._changed.notify_all()
        return updates

    def deliver(self, show: Callable[[Sequence[Update]], object]) -> bool:
        """Show new updates in batches for a limited time; the rest follows in the next call.

        A view calls this instead of `drain`.

        Returns:
            Whether anything was shown.
        """
        self._backlog += self.drain()
        deadline = time.monotonic() + _DELIVERY_SECONDS
        shown = 0
        while shown < len(self._backlog) and time.monotonic() < deadline:
            show(self._backlog[shown : shown + _DELIVERY_BATCH])
            shown += _DELIVERY_BATCH
        del self._backlog[:shown]
        return shown > 0

    def put(self, update: Update) -> None:
        """Add an update; blocks while the buffer is full, unless the job was stopped."""
        with self._changed:
            while len(self._updates) >= _MAX_UPDATES and not self.is_stopping:
                self._changed.wait()
            self._updates.append(update)

    def end(self, seconds: float) -> None:
        self.seconds, self.is_over = seconds, True


class SamplingService:
    """Runs one `SampleJob` at a time."""

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._models = ModelCache()
        self._lock = threading.Lock()

    def work(self, job: SampleJob) -> None:
        """Run a job to its end; the body of a worker thread.

        A source that fails is reported in its column; the others continue.
        """
        began = time.perf_counter()
        with self._lock:
            try:
                began = self._generate(job)
            # Not only Exception: a panic in Rust code must not end the job without its reason.
            except BaseException as error:  # noqa: BLE001
                for column in range(len(job.sources)):
                    job.put(Update(column, _failure(error)))
            finally:
                job.end(time.perf_counter() - began)

    def _generate(self, job: SampleJob) -> float:
        """Sample from all sources in turn, one token each; return when generation began."""
        if job.is_stopping:
            return time.perf_counter()
        with cpu_threads(job.threads):
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
    except BaseException as error:  # noqa: BLE001 - the other sources are drawn nevertheless
        job.put(Update(column, _failure(error)))
    del streams[column]


def _failure(error: BaseException) -> Failed:
    if isinstance(error, MemoryError):
        return Failed("there is not enough memory to sample.")
    return Failed(describe_error(error))


@contextlib.contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Limit the CPU threads of torch and restore the number afterwards, for later threads."""
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
    """LRU cache of models and file hashes, keyed by the identity of their files.

    A replaced file is a new file; two names of one file share an entry.
    """

    def __init__(self, max_models: int = _MAX_MODELS) -> None:
        self._models: LruCache[tuple[FileIdentity, str, str, str], LoadedModel] = LruCache(
            max_models
        )
        self._hashes: LruCache[FileIdentity, str] = LruCache(_MAX_HASHES)

    def load(self, path: Path, runtime: "SampleRuntimeConfig") -> "LoadedModel":
        """Load a model at most once.

        Raises:
            PlaygroundError: As of `runs.generation.load_model`.
        """
        from transformer_playground.runs.generation import load_model

        key = (file_identity(path), runtime.device, runtime.dtype, runtime.quantization)
        known = self._models.get(key)
        if known is None:
            known = load_model(path, runtime)
            self._models.put(key, known)
        return known

    def sha256(self, path: Path) -> str:
        """SHA-256 of a file in hex, computed at most once.

        Raises:
            OSError: The file cannot be read.
        """
        key = _stat_file(path)
        known = self._hashes.get(key)
        if known is None:
            known = sha256_file(path)
            self._hashes.put(key, known)
        return known


class LruCache(Generic[_K, _V]):
    """The entries that were used last, at most `max_entries`."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[_K, _V] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        """The entry, which is now the last used; None without one."""
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: _K, value: _V) -> None:
        """Add or replace an entry; the one that was not used for longest gives way."""
        self._entries[key] = value
        if len(self._entries) > self._max_entries:
            self._entries.popitem(last=False)


def file_identity(path: Path) -> FileIdentity:
    """What tells a checkpoint file from any other, past ones of its name included.

    Raises:
        CheckpointError: It cannot be read.
    """
    try:
        return _stat_file(path)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be read: {error.strerror}.", "Choose another checkpoint."
        ) from error


def _stat_file(path: Path) -> FileIdentity:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
