"""One process writes a run: a lock that dies with its holder, and a heartbeat for readers.

The kernel's lock (flock) keeps a second writer out and vanishes with the process, however it ends.
`writer.json` says who holds it, for messages and for readers, who never lock.
"""

import json
import os
import platform
import secrets
import threading
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Self

from transformer_playground.errors import RunError
from transformer_playground.runs.folder import RunFolder

if TYPE_CHECKING:
    from filelock import FileLock

HEARTBEAT_SECONDS = 5.0
# A writer on another machine is presumed gone after this many seconds without a heartbeat.
STALE_SECONDS = 60.0
# The start time of a process is derived from the clock, which may be corrected meanwhile.
_START_TOLERANCE = 2.0


@dataclass(frozen=True)
class Writer:
    """The process that writes a run.

    Attributes:
        pid: Its process id on `host`.
        host: Name of its machine.
        process_started: When the process began, seconds since 1970; tells it from a later process
            with the same id.
        heartbeat: When it last said that it lives, seconds since 1970.
    """

    pid: int
    host: str
    process_started: float
    heartbeat: float

    @property
    def is_here(self) -> bool:
        """Whether it ran on this machine."""
        return self.host == platform.node()

    def is_alive(self) -> bool:
        """Whether it still runs: looked up here, judged by its heartbeat elsewhere."""
        if not self.is_here:
            return time.time() - self.heartbeat < STALE_SECONDS
        # Imported where it is needed: what only lists runs shall start quickly.
        import psutil

        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.process_started) < _START_TOLERANCE
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def read_writer(run: RunFolder) -> Writer | None:
    """Who writes the run, or wrote it last and died; None when the last writer left in order."""
    try:
        document = json.loads(run.writer_path.read_bytes())
        return Writer(
            pid=int(document["pid"]),
            host=str(document["host"]),
            process_started=float(document["process_started"]),
            heartbeat=float(document["heartbeat"]),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        # Without a readable record only the kernel's lock speaks, and that one is never stale.
        return None


class RunLock:
    """Holds a run for writing: `with RunLock(run): ...`.

    Args:
        run: The run to write.

    Raises:
        RunError: On entry, when another process writes the run; the message names it.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._lock = _file_lock(run)
        self._released = threading.Event()
        self._heart: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._acquire()
        try:
            self._beat()
        except OSError as error:
            self._lock.release()
            raise self._refused(error) from error
        self._released.clear()
        self._heart = threading.Thread(target=self._keep_beating, name="run-heartbeat", daemon=True)
        self._heart.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        if self._heart is not None:
            self._heart.join()
            self._heart = None
        try:
            self._run.writer_path.unlink(missing_ok=True)
        except OSError:
            # The record then names a process that will end: readers see that by themselves.
            return
        finally:
            self._lock.release()

    def _acquire(self) -> None:
        if not self._run.root.is_dir():  # the lock would make the folder
            raise RunError(f"The run '{self._run.run_id}' is gone: {self._run.root}.")
        try:
            self._lock.acquire()
        except TimeoutError:
            raise self._held(read_writer(self._run)) from None
        except OSError as error:
            raise self._refused(error) from error
        # Locks do not always reach across machines that share a disk; heartbeats do.
        writer = read_writer(self._run)
        if writer is not None and not writer.is_here and writer.is_alive():
            self._lock.release()
            raise self._held(writer)

    def _keep_beating(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            try:
                self._beat()
            except OSError:
                # A full disk must not end the heartbeat: the next one may find room again.
                continue

    def _beat(self) -> None:
        import psutil

        record = Writer(
            pid=os.getpid(),
            host=platform.node(),
            process_started=psutil.Process().create_time(),
            heartbeat=time.time(),
        )
        path = self._run.writer_path
        # Renamed so that readers see whole records; not synced, for it means nothing after a crash.
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            temporary.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _held(self, writer: Writer | None) -> RunError:
        who = "another process"
        if writer is not None:
            where = "" if writer.is_here else f" on {writer.host}"
            who = f"process {writer.pid}{where}"
        return RunError(
            f"The run '{self._run.run_id}' is being written by {who}.",
            "Wait until it ends or stop it, or start a new run.",
        )

    def _refused(self, error: OSError) -> RunError:
        return RunError(
            f"The run '{self._run.run_id}' could not be locked: {error.strerror}.",
            "Check the disk and the permissions of the run folder.",
        )


def _file_lock(run: RunFolder) -> "FileLock":
    from filelock import FileLock

    return FileLock(run.lock_path, timeout=0, thread_local=False)
