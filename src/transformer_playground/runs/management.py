"""Changing runs as a whole: holding one still, and giving it another name.

The name of the folder is the run's id: readers take it from there alone. `config.json` and
`summary.json` repeat it for people and for copies that lost their folder, and follow a change;
until they do, the run is as usable as before. Rows and reports keep the id of their time.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from transformer_playground.errors import RunError, UsageError
from transformer_playground.files import fsync_folder, replace_json
from transformer_playground.runs.layout import RunFolder, check_run_id
from transformer_playground.runs.lock import read_writer
from transformer_playground.runs.status import derive_status

# A configuration has a few kilobytes.
_LARGEST_FILE = 1 << 24


@contextlib.contextmanager
def claimed(run: RunFolder, done: str) -> Iterator[None]:
    """Keep every writer out of a run, also while its folder changes its name.

    The kernel's lock belongs to the open file and not to its name. There is no heartbeat, which
    would go on under the old name.

    Args:
        run: The run.
        done: What is about to be done to it, a participle.

    Raises:
        UsageError: The run is a link.
        RunError: The run is being written, or cannot be locked.
    """
    if run.root.is_symlink():
        raise UsageError(
            f"The run '{run.run_id}' is a link, which cannot be {done} as a run.",
            "Name the run that it leads to, or remove the link itself.",
        )
    status = derive_status(run)
    if status.state == "running":
        raise _running(run, status.pid, done)
    from filelock import FileLock

    lock = FileLock(run.lock_path, timeout=0)
    try:
        lock.acquire()
    except TimeoutError:
        writer = read_writer(run)
        raise _running(run, writer.pid if writer else None, done) from None
    except OSError as error:
        raise RunError(
            f"The run '{run.run_id}' could not be locked, so it was not {done}: {error.strerror}.",
            "Check the disk and the permissions of the run folder.",
        ) from error
    try:
        yield
    finally:
        lock.release()


def rename_run(run: RunFolder, run_id: str) -> tuple[RunFolder, str | None]:
    """Give a run another id.

    Returns:
        The run under its new name, and what is not as it should be there, if anything.

    Raises:
        UsageError: The id is malformed or taken, or the run is a link.
        RunError: The run is being written, or the disk refused; then it has its old name.
    """
    target = run.root.with_name(check_run_id(run_id))
    if run_id == run.run_id:
        raise UsageError(f"The run is called '{run_id}' already.", "Choose another name.")
    with claimed(run, "renamed"):
        if os.path.lexists(target):
            raise UsageError(f"There is already a run '{run_id}'.", "Choose another name.")
        try:
            run.root.rename(target)
        except OSError as error:
            raise RunError(
                f"The run '{run.run_id}' could not be renamed: {error.strerror}.",
                "Check the disk and the permissions of the runs' folder.",
            ) from error
        # From here on it is renamed: what follows only tidies up.
        renamed = RunFolder(target)
        return renamed, rewrite_id(renamed)


def rewrite_id(run: RunFolder) -> str | None:
    """Let the files that repeat a run's id follow the name of its folder; a sentence if one cannot.

    A file that is damaged is left as it is.
    """
    try:
        fsync_folder(run.root.parent)
        for path in (run.config_path, run.summary_path):
            _rewrite(path, run.run_id)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        return (
            f"config.json or summary.json still has the old id, for it could not be written: "
            f"{reason}. The name of the folder counts."
        )
    return None


def _rewrite(path: Path, run_id: str) -> None:
    if not path.is_file() or path.is_symlink():
        return
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError("too large")
    document = json.loads(path.read_bytes())
    if not isinstance(document, dict):
        raise ValueError("not an object")
    if document.get("run_id") != run_id:
        replace_json(path, {**document, "run_id": run_id})


def _running(run: RunFolder, pid: int | None, done: str) -> RunError:
    who = "another process" if pid is None else f"process {pid}"
    return RunError(
        f"The run '{run.run_id}' is being written by {who}, so it was not {done}.",
        "Stop it first, or wait until it ends.",
    )
