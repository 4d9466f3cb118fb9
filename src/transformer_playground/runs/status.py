"""Run lock, heartbeat and run status."""

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal, Self

from transformer_playground.errors import RunError, translate_os_errors
from transformer_playground.files import open_regular, random_hex, read_regular
from transformer_playground.jsonvalues import as_int, as_number, as_object, as_text
from transformer_playground.runs.folder import RunFolder, refuse_links, remove_leftovers
from transformer_playground.runs.jsonl import Row, parse_lines
from transformer_playground.runs.metrics import is_metrics_row
from transformer_playground.terminal import visible_line

HEARTBEAT_SECONDS = 5.0
# A writer on another host is considered dead after this time without a heartbeat.
STALE_SECONDS = 60.0
# The start time of a process is derived from the system clock, which may be adjusted.
_START_TOLERANCE = 2.0
# A process id is a positive C int.
_PID_LIMIT = 1 << 31


@dataclass(frozen=True)
class Writer:
    """The process that writes a run.

    Attributes:
        process_started: Unix time; distinguishes it from a later process with the same pid.
        heartbeat: Unix time of the last heartbeat.
        session: Distinguishes it from other writers of the run; empty in records of older versions.
    """

    pid: int
    host: str
    process_started: float
    heartbeat: float
    session: str = ""

    @property
    def is_here(self) -> bool:
        """Whether it runs on this host."""
        return self.host == platform.node()

    def __str__(self) -> str:
        """Process, and host if it is another one."""
        where = "" if self.is_here else f" on {visible_line(self.host)}"
        return f"process {self.pid}{where}"

    def is_alive(self) -> bool:
        """Whether the process is running; on other hosts, whether its heartbeat is recent.

        A heartbeat in the future counts as recent, since the clock of that host may be ahead:
        see `unlock`.
        """
        if not self.is_here:
            return time.time() - self.heartbeat < STALE_SECONDS
        # Late, for quick lists of runs.
        import psutil

        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.process_started) < _START_TOLERANCE
            return is_same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def read_writer(run: RunFolder) -> Writer | None:
    """The current writer, or the last one if it was killed; None after a clean exit."""
    try:
        document = as_object(json.loads(read_regular(run.writer_path)))
    except (OSError, ValueError, RecursionError):
        # Only the record is unreadable; the kernel's lock still protects the run.
        return None
    pid, host = as_int(document.get("pid")), as_text(document.get("host"))
    started, heartbeat = map(as_number, map(document.get, ("process_started", "heartbeat")))
    if pid is None or not 0 < pid < _PID_LIMIT or not host or started is None or heartbeat is None:
        return None
    return Writer(pid, host, started, heartbeat, as_text(document.get("session")) or "")


class RunLock:
    """Exclusive lock for writing a run: `with RunLock(run): ...`.

    The kernel's lock (flock) keeps other writers out and ends with the process. `writer.json`
    names the holder, for messages and for readers, which never lock.

    Attributes:
        session: Random text that names this holding of the lock.

    Raises:
        RunError: On entry, if another process is writing the run or a folder in it is a link.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self.session = random_hex(8)
        self._held = contextlib.ExitStack()
        self._released = threading.Event()
        self._heart: threading.Thread | None = None

    def __enter__(self) -> Self:
        if not self._run.root.is_dir():  # filelock would create the folder
            raise RunError(f"The run '{self._run.run_id}' is gone: {self._run.root}.")
        refuse_links(self._run)
        with contextlib.ExitStack() as held:
            held.enter_context(hold_lock(self._run))
            self._refuse_other_writer()
            with _translate_lock_errors(self._run, "locked"):
                self._write_heartbeat()
            self._held = held.pop_all()
        remove_leftovers(self._run)
        self._released.clear()
        self._heart = threading.Thread(
            target=self._heartbeat_loop, name="run-heartbeat", daemon=True
        )
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
            # Readers detect that the process named in the record has ended.
            return
        finally:
            self._held.close()

    def _refuse_other_writer(self) -> None:
        # File locks may not work across hosts that share a disk, and the lock file may have been
        # removed: then only the record names the process that holds the lock of the old file.
        writer = read_writer(self._run)
        is_own = writer is not None and writer.is_here and writer.pid == os.getpid()
        if writer is not None and not is_own and writer.is_alive():
            raise in_use_error(self._run, writer)

    def _heartbeat_loop(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            try:
                self._write_heartbeat()
            except OSError:
                # Try again at the next heartbeat: the disk may only be full for now.
                continue

    def _write_heartbeat(self) -> None:
        import psutil

        record = Writer(
            pid=os.getpid(),
            host=platform.node(),
            process_started=psutil.Process().create_time(),
            heartbeat=time.time(),
            session=self.session,
        )
        path = self._run.writer_path
        # Renamed for atomicity; not synced, since the record is worthless after a crash.
        temporary = path.with_name(f".{path.name}.{random_hex(4)}.tmp")
        try:
            temporary.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def hold_lock(run: RunFolder, action: str = "locked", consequence: str = "") -> Iterator[None]:
    """Hold the kernel's lock of a run, which belongs to the open file and so survives a rename.

    Args:
        run: The run.
        action: Completes "The run 'x' could not be …".
        consequence: Ends the sentence about the process that is writing the run.

    Raises:
        RunError: Another process has it, or OSError while locking.
    """
    from filelock import FileLock

    lock = FileLock(run.lock_path, timeout=0, thread_local=False)
    with _translate_lock_errors(run, action):
        try:
            lock.acquire()
        except TimeoutError:
            raise in_use_error(run, read_writer(run), consequence) from None
    try:
        yield
    finally:
        lock.release()


def _translate_lock_errors(run: RunFolder, action: str) -> contextlib.AbstractContextManager[None]:
    hint = "Check the disk and the permissions of the run folder."
    return translate_os_errors(RunError, f"The run '{run.run_id}' could not be {action}", hint)


def in_use_error(run: RunFolder, writer: Writer | None, consequence: str = "") -> RunError:
    """Error: another process is writing the run. `consequence` ends its sentence."""
    hint = "Wait until it ends or stop it, or start a new run."
    if writer is not None and not writer.is_here:
        hint = f"Stop it there. If it has ended: tp runs unlock {run.run_id}"
    who = "another process" if writer is None else str(writer)
    return RunError(f"The run '{run.run_id}' is being written by {who}{consequence}.", hint)


def unlock(run: RunFolder) -> Writer | None:
    """Remove the record of a writer that has ended, whatever its heartbeat says.

    A writer on another host that still runs writes its record again within seconds.

    Returns:
        The writer that was removed; None if the run was not locked.

    Raises:
        RunError: A process on this host is writing the run, or the record cannot be removed.
    """
    with hold_lock(run, "unlocked"), _translate_lock_errors(run, "unlocked"):
        writer = read_writer(run)
        if writer is not None and writer.is_here and writer.is_alive():
            raise in_use_error(run, writer)
        run.writer_path.unlink(missing_ok=True)
        return writer


State = Literal["new", "running", "finished", "stopped", "failed", "interrupted"]

_BLOCK = 1 << 16
_ENDS: dict[object, State] = {"finished": "finished", "stopped": "stopped", "failed": "failed"}


@dataclass(frozen=True)
class RunStatus:
    """State of a run.

    Attributes:
        state: "new" = no rows yet; "interrupted" = the writer ended without a final status row.
        error: Error message of a failed run.
        writer: Process of a running run.
    """

    state: State
    error: str | None = None
    writer: Writer | None = None


# Lists ask for thousands of them.
_PLAIN_ENDS = {end: RunStatus(end) for end in _ENDS.values()}


def derive_status(run: RunFolder) -> RunStatus:
    """Status of a run, derived from its last status row and its writer without locking."""
    writer = read_writer(run)
    last_row = last_status_row(run.metrics_path) or {}
    return judge_status(run, last_row.get("status"), last_row.get("error"), writer)


def ended_status(last_status: object, error: object) -> RunStatus | None:
    """Status of a run whose newest `status` row says that it has ended, whatever its writer."""
    end = _ENDS.get(last_status) if isinstance(last_status, str) else None
    if end is None:
        return None
    return _PLAIN_ENDS[end] if error is None else RunStatus(end, error=as_text(error))


def judge_status(
    run: RunFolder, last_status: object, error: object, writer: Writer | None
) -> RunStatus:
    """Status of a run, given its newest `status` row.

    Args:
        run: The run.
        last_status: The row's `status`; None without a row.
        error: The row's `error`.
        writer: The writer as read *before* the row: a writer that exits in between may have
            written a later row.
    """
    ended = ended_status(last_status, error)
    if ended is not None:
        return ended
    if writer is None or not writer.is_alive():
        # The writer may have started since: the row can be its first.
        writer = read_writer(run)
    if writer is not None and writer.is_alive():
        return RunStatus("running", writer=writer)
    if last_status is None and writer is None and not _has_rows(run.metrics_path):
        return RunStatus("new")
    return RunStatus("interrupted")


def last_status_row(path: Path) -> Row | None:
    """The newest complete `status` row of a metrics file, searched from the end."""
    try:
        with open_regular(path) as file:
            for line in _lines_backwards(file):
                if b'"status"' not in line:
                    continue
                for row in parse_lines(line):
                    if row.get("event") == "status" and is_metrics_row(row):
                        return row
    except OSError:
        return None
    return None


def _lines_backwards(file: IO[bytes]) -> Iterator[bytes]:
    start = file.seek(0, os.SEEK_END)
    tail = b""
    is_torn = True  # text after the last newline is an incomplete row
    while start > 0:
        length = min(_BLOCK, start)
        start -= length
        file.seek(start)
        first, *lines = (file.read(length) + tail).split(b"\n")
        if is_torn and lines:
            lines.pop()
            is_torn = False
        yield from reversed(lines)
        tail = first
    if not is_torn:
        yield tail


def _has_rows(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
