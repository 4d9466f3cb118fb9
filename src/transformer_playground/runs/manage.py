"""Rename, delete and restore runs.

The folder name is the run id. `config.json` and `summary.json` repeat it and are updated on a
rename; rows and reports keep the old id. `config.json` lists the ids that a run had before, by
which its branches know it.
"""

import contextlib
import errno
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from transformer_playground.errors import PlaygroundError, RunError, UsageError, translate_os_errors
from transformer_playground.files import fsync_folder, replace_json
from transformer_playground.runs.folder import RunFolder, check_run_id, former_ids
from transformer_playground.runs.status import (
    derive_status,
    hold_lock,
    in_use_error,
    read_writer,
)

# config.json has a few kilobytes.
_MAX_FILE_SIZE = 1 << 24
_MOST_FORMER_IDS = 100


@contextlib.contextmanager
def locked_for(run: RunFolder, action: str) -> Iterator[None]:
    """Hold the lock of a run while its folder is moved.

    There is no heartbeat.

    Args:
        run: The run.
        action: Past participle for messages, such as "renamed".

    Raises:
        UsageError: The run is a link.
        RunError: The run is being written, or cannot be locked.
    """
    if run.root.is_symlink():
        raise UsageError(
            f"The run '{run.run_id}' is a symbolic link, which cannot be {action}.",
            "Use the run that it points to, or remove the link.",
        )
    consequence = f", so it was not {action}"
    if derive_status(run).state == "running":
        raise in_use_error(run, read_writer(run), consequence)
    with hold_lock(run, f"locked and was not {action}", consequence):
        yield


def rename_run(run: RunFolder, run_id: str) -> tuple[RunFolder, str | None]:
    """Rename a run.

    Returns:
        The renamed run, and a warning if its files still contain the old id.

    Raises:
        UsageError: The id is invalid or taken, or the run is a link.
        RunError: The run is being written, or OSError while renaming; the run is unchanged.
    """
    target = run.root.with_name(check_run_id(run_id))
    if run_id == run.run_id:
        raise UsageError(f"The run is already called '{run_id}'.", "Choose another name.")
    with locked_for(run, "renamed"):
        if os.path.lexists(target):
            raise UsageError(f"There is already a run '{run_id}'.", "Choose another name.")
        hint = "Check the disk and the permissions of the runs' folder."
        with translate_os_errors(RunError, f"The run '{run.run_id}' could not be renamed", hint):
            run.root.rename(target)
        renamed = RunFolder(target)
        return renamed, rewrite_id(renamed)


def rewrite_id(run: RunFolder) -> str | None:
    """Write the folder's name as run id into the run's files; return a warning on failure."""
    try:
        fsync_folder(run.root.parent)
        _rewrite(run.config_path, run.run_id, keeps_former=True)
        _rewrite(run.summary_path, run.run_id)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        return (
            f"config.json or summary.json still contains the old id: {reason}. "
            "The folder name is used."
        )
    return None


def _rewrite(path: Path, run_id: str, *, keeps_former: bool = False) -> None:
    if not path.is_file() or path.is_symlink():
        return
    if path.stat().st_size > _MAX_FILE_SIZE:
        raise ValueError("too large")
    document = json.loads(path.read_bytes())
    if not isinstance(document, dict):
        raise ValueError("not an object")
    old = document.get("run_id")
    if old == run_id:
        return
    document["run_id"] = run_id
    if keeps_former and isinstance(old, str):
        known = [each for each in former_ids(document) if each not in (old, run_id)]
        document["former_ids"] = [*known, old][-_MOST_FORMER_IDS:]
    replace_json(path, document)


TRASH_NAME = ".trash"
_MAX_COPIES = 10_000
_MAX_CANDIDATES = 8
_COPY = re.compile(r"(.+)~(\d{1,5})", re.DOTALL)


@dataclass(frozen=True)
class DeletedRun:
    """A run in the trash.

    Attributes:
        name: Folder name in the trash (untrusted text): the id, or the id followed by `~2`.
        run_id: Id before deletion.
        deleted: Approximate Unix time of deletion.
        problem: Why the run cannot be read.
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
        run_id: Id before the move.
        path: New folder.
        problem: Warning about an intact run, such as an old id in its files.
    """

    run_id: str
    path: Path
    problem: str | None = None


def delete_runs(runs: Sequence[RunFolder]) -> list[Moved]:
    """Move runs to the trash, after checking and locking all of them.

    Raises:
        UsageError: A run is given twice, or is a link.
        RunError: A run is being written, or OSError while moving; the message lists moved runs.
    """
    if len(set(runs)) < len(runs):
        raise UsageError("A run is given twice.", "List each run once.")
    with contextlib.ExitStack() as stack:
        for run in runs:
            stack.enter_context(locked_for(run, "deleted"))
        moved: list[Moved] = []
        for run in runs:
            try:
                moved.append(Moved(run.run_id, _move_to_trash(run.root)))
            except OSError as error:
                raise _undeletable(run, moved, error) from error
    return moved


def list_deleted(runs_dir: Path) -> list[DeletedRun]:
    """List deleted runs, most recent first.

    Raises:
        UsageError: The trash is not a folder.
        RunError: The trash cannot be listed.
    """
    found = [_describe(path) for path in _entries(runs_dir)]
    return sorted(found, key=lambda run: (run.deleted, run.name), reverse=True)


def restore_run(runs_dir: Path, name: str, run_id: str | None = None) -> Moved:
    """Restore a run from the trash.

    Args:
        runs_dir: Runs folder.
        name: Run id, unique prefix, or folder name in the trash.
        run_id: New run id; None = the old one.

    Raises:
        UsageError: No or several deleted runs match, the id is invalid or taken, or the entry is a
            link.
        RunError: OSError while moving.
    """
    source = _find(runs_dir, name)
    old = _id_of(source.name)
    target = runs_dir / check_run_id(old if run_id is None else run_id)
    if source.is_symlink():
        raise UsageError(
            f"'{source.name}' in the trash is a symbolic link.", "Check its target first."
        )
    if os.path.lexists(target):
        raise UsageError(
            f"There is already a run '{target.name}'.",
            f"Choose another id: tp runs restore {source.name} --as NEW",
        )
    hint = f"It is still in {source.parent}. Check the disk and the folders' permissions."
    with translate_os_errors(RunError, f"The run '{old}' could not be restored", hint):
        source.rename(target)
        fsync_folder(runs_dir)
    problem = rewrite_id(RunFolder(target)) if target.name != old else None
    return Moved(old, target, problem)


def _move_to_trash(root: Path) -> Path:
    trash = _trash(root.parent)
    trash.mkdir(exist_ok=True)
    for copy in range(1, _MAX_COPIES):
        target = trash / (root.name if copy == 1 else f"{root.name}~{copy}")
        if os.path.lexists(target):
            continue
        try:
            root.rename(target)
        except OSError as error:
            # Another process may have taken the name since the check.
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
        reason = f"{trash} is on another file system"
    previous = f" Already moved: {', '.join(each.run_id for each in moved)}." if moved else ""
    return RunError(
        f"The run '{run.run_id}' could not be moved to {trash}: {reason}. "
        f"It was not moved.{previous}",
        "Check the disk and the folders' permissions.",
    )


def _trash(runs_dir: Path) -> Path:
    trash = runs_dir / TRASH_NAME
    if trash.is_symlink():
        raise UsageError(f"{trash} is a symbolic link.", "Remove or rename the link.")
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
        # `~1` names the first of several copies, whose folder has no number.
        return known[match[1]]
    matching = [entry for entry in known if _id_of(entry) == name]
    matching = matching or [entry for entry in known if name and entry.startswith(name)]
    if len(matching) == 1:
        return known[matching[0]]
    if matching:
        # The plain name would match all copies, so the first is shown as `~1`.
        shown = [f"{entry}~1" if f"{entry}~2" in known else entry for entry in matching]
        more = ", …" if len(shown) > _MAX_CANDIDATES else ""
        shown = shown[:_MAX_CANDIDATES]
        raise UsageError(
            f"'{name}' matches {len(matching)} deleted runs: {', '.join(shown)}{more}.",
            "Use one of these names; see: tp runs deleted",
        )
    nearest = get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"Nearest: {', '.join(nearest)}." if nearest else "See: tp runs deleted"
    raise UsageError(f"There is no deleted run '{name}' in {runs_dir / TRASH_NAME}.", hint)


def _describe(path: Path) -> DeletedRun:
    # Late: deleting and restoring do not need numpy.
    from transformer_playground.runs.summary_file import summarise

    try:
        # The move was the last change of the folder.
        deleted = path.lstat().st_ctime
    except OSError:
        deleted = 0.0
    run = DeletedRun(path.name, _id_of(path.name), deleted)
    if path.is_symlink():
        return replace(run, problem="It is a symbolic link.")
    try:
        known = summarise(RunFolder(path))
    except PlaygroundError as error:
        return replace(run, problem=error.message)
    return replace(
        run,
        experiment=known["experiment"],
        step=known["final_step"],
        best_val_loss=known["best_val_loss"],
    )
