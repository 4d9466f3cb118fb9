"""Changing runs as a whole: holding one still, and giving it another name.

The name of the folder is the run's id: readers take it from there alone. `config.json` and
`summary.json` repeat it for people and for copies that lost their folder, and follow a change;
until they do, the run is as usable as before. Rows and reports keep the id of their time.
"""

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from transformer_playground.errors import PlaygroundError, RunError, UsageError
from transformer_playground.files import fsync_folder, replace_json
from transformer_playground.runs.folder import RunFolder, check_run_id
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


TRASH_NAME = ".trash"
_MOST_COPIES = 10_000
_MOST_CANDIDATES = 8
_COPY = re.compile(r"(.+)~(\d{1,5})", re.DOTALL)


@dataclass(frozen=True)
class DeletedRun:
    """A run in the trash.

    Attributes:
        name: Name of its folder there, untrusted text: its id, or its id with `~2` behind it.
        run_id: The id it had.
        deleted: About when it was deleted, seconds since 1970.
        experiment: The experiment it belongs to.
        step: Steps done.
        best_val_loss: In nats per token.
        problem: Why nothing more is known of it.
    """

    name: str
    run_id: str
    deleted: float
    experiment: str | None = None
    step: int | None = None
    best_val_loss: float | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Moved:
    """A run that was moved.

    Attributes:
        run_id: The id it had before.
        path: The folder it is now.
        problem: What is not as it should be there, though the run is whole.
    """

    run_id: str
    path: Path
    problem: str | None = None


def delete_runs(runs: Sequence[RunFolder]) -> list[Moved]:
    """Move runs of one folder to its trash, after checking that all of them can be.

    Raises:
        UsageError: A run is named twice, or is a link.
        RunError: A run is being written, or the disk refused; the message says what was moved.
    """
    if len(set(runs)) < len(runs):
        raise UsageError("A run is named twice.", "Name each run once.")
    with contextlib.ExitStack() as stack:
        for run in runs:
            stack.enter_context(claimed(run, "deleted"))
        moved: list[Moved] = []
        for run in runs:
            try:
                moved.append(Moved(run.run_id, _move_to_trash(run.root)))
            except OSError as error:
                raise _undeletable(run, moved, error) from error
    return moved


def list_deleted(runs_dir: Path) -> list[DeletedRun]:
    """Every run in the trash, the latest deleted first.

    Raises:
        UsageError: The trash is a link or no folder.
        RunError: It cannot be listed.
    """
    found = [_describe(path) for path in _entries(runs_dir)]
    return sorted(found, key=lambda run: (run.deleted, run.name), reverse=True)


def restore_run(runs_dir: Path, name: str, run_id: str | None = None) -> Moved:
    """Put a run back from the trash.

    Args:
        runs_dir: Folder of all runs.
        name: The run's id, a unique beginning of it, or the name of its folder in the trash.
        run_id: The id to give it; None for the one it had.

    Raises:
        UsageError: Nothing in the trash fits or several things do, the id is malformed or taken,
            or what is there is a link.
        RunError: The disk refused.
    """
    source = _find(runs_dir, name)
    old = _id_of(source.name)
    target = runs_dir / check_run_id(old if run_id is None else run_id)
    if source.is_symlink():
        raise UsageError(f"'{source.name}' in the trash is a link.", "Look where it leads first.")
    if os.path.lexists(target):
        raise UsageError(
            f"There is already a run '{target.name}'.",
            f"Give the restored one another id: tp runs restore {source.name} --as NEW",
        )
    try:
        source.rename(target)
        fsync_folder(runs_dir)
    except OSError as error:
        raise RunError(
            f"The run '{old}' could not be restored: {error.strerror}.",
            f"It is still in {source.parent}. Check the disk and the folders' permissions.",
        ) from error
    problem = rewrite_id(RunFolder(target)) if target.name != old else None
    return Moved(old, target, problem)


def _move_to_trash(root: Path) -> Path:
    trash = _trash(root.parent)
    trash.mkdir(exist_ok=True)
    for copy in range(1, _MOST_COPIES):
        target = trash / (root.name if copy == 1 else f"{root.name}~{copy}")
        if os.path.lexists(target):
            continue
        try:
            root.rename(target)
        except OSError as error:
            # Another process may have taken the name in this moment.
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                continue
            raise
        fsync_folder(trash)
        fsync_folder(root.parent)
        return target
    raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))


def _undeletable(run: RunFolder, moved: Sequence[Moved], error: OSError) -> RunError:
    trash = run.root.parent / TRASH_NAME
    reason = f"{error.strerror}"
    if error.errno == errno.EXDEV:
        reason = f"{trash} lies on another file system"
    done = f" Moved before: {', '.join(each.run_id for each in moved)}." if moved else ""
    return RunError(
        f"The run '{run.run_id}' could not be moved to {trash}: {reason}. "
        f"It is where it was.{done}",
        "Check the disk and the folders' permissions.",
    )


def _trash(runs_dir: Path) -> Path:
    trash = runs_dir / TRASH_NAME
    if trash.is_symlink():
        raise UsageError(
            f"{trash} is a link, and runs stay inside {runs_dir}.", "Remove or rename the link."
        )
    if os.path.lexists(trash) and not trash.is_dir():
        raise UsageError(f"{trash} is not a folder.", "Rename or remove it.")
    return trash


def _entries(runs_dir: Path) -> Iterator[Path]:
    trash = _trash(runs_dir)
    try:
        entries = sorted(trash.iterdir())
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunError(f"Cannot list {trash}: {error.strerror}.") from error
    yield from (path for path in entries if path.is_symlink() or path.is_dir())


def _id_of(name: str) -> str:
    match = _COPY.fullmatch(name)
    return match[1] if match else name


def _find(runs_dir: Path, name: str) -> Path:
    known = {path.name: path for path in _entries(runs_dir)}
    match = _COPY.fullmatch(name)
    if match and name in known:
        return known[name]
    if match and int(match[2]) == 1 and match[1] in known:
        # How the first of several is named, whose folder has no number.
        return known[match[1]]
    fitting = [entry for entry in known if _id_of(entry) == name]
    fitting = fitting or [entry for entry in known if name and entry.startswith(name)]
    if len(fitting) == 1:
        return known[fitting[0]]
    if fitting:
        # Its own name would mean all of its copies, too.
        shown = [f"{entry}~1" if f"{entry}~2" in known else entry for entry in fitting]
        more = ", …" if len(shown) > _MOST_CANDIDATES else ""
        shown = shown[:_MOST_CANDIDATES]
        raise UsageError(
            f"'{name}' fits {len(fitting)} deleted runs: {', '.join(shown)}{more}.",
            "Name one of them as it stands here; see: tp runs deleted",
        )
    nearest = get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"Nearest: {', '.join(nearest)}." if nearest else "See: tp runs deleted"
    raise UsageError(f"There is no deleted run '{name}' in {runs_dir / TRASH_NAME}.", hint)


def _describe(path: Path) -> DeletedRun:
    # Here, so that deleting and restoring start without numpy.
    from transformer_playground.runs.summary import summarise

    known: dict[str, Any] = {}
    try:
        # Moving a folder changes it, and nothing does after that.
        deleted = path.lstat().st_ctime
    except OSError:
        deleted = 0.0
    if path.is_symlink():
        return DeletedRun(path.name, _id_of(path.name), deleted, problem="It is a link.")
    try:
        known = summarise(RunFolder(path))
    except PlaygroundError as error:
        return DeletedRun(path.name, _id_of(path.name), deleted, problem=error.message)
    return DeletedRun(
        path.name,
        _id_of(path.name),
        deleted,
        experiment=known["experiment"],
        step=known["final_step"],
        best_val_loss=known["best_val_loss"],
    )
