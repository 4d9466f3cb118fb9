"""Run folder: layout, creation, opening and `config.json`."""

import contextlib
import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from transformer_playground.errors import RunError, UsageError, translate_os_errors
from transformer_playground.files import fsync_folder, random_hex, read_regular, replace_json

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_GENERATED_ID = re.compile(r".+-[0-9]{8}-[0-9]{6}-([0-9a-f]{4,8})")
RUNS_DIR = Path("runs")
SCHEMA_VERSION = 1
_REQUIRED_KEYS = {"experiment": str, "config": dict}
# Leaves room for "-YYYYMMDD-HHMMSS-xxxx" within the 100 characters of a run id.
_MAX_STEM_LENGTH = 79
# Far longer than writing a note or a report takes.
_LEFTOVER_SECONDS = 60.0


class _Inside:
    """Attribute that is a path below the root of a run."""

    def __init__(self, *parts: str) -> None:
        self._parts = parts

    def __get__(self, run: "RunFolder", _kind: object) -> Path:
        return run.root.joinpath(*self._parts)


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run, all inside `root`.

    Attributes:
        config_path: Resolved configuration, provenance and environment.
        metrics_path: Append-only rows of training and evaluation.
        samples_path: Append-only rows of generated text.
        summary_path: Summary metrics; can be recomputed.
        notes_path: Note and tags.
        checkpoints: Folder of checkpoints.
        adapters: Folder of the PEFT adapters best, last and final (kind = lora).
        tokenizer: Folder of the tokenizer.
        reports: Folder of reports and plots.
        evaluations: Folder of losses of single windows.
        logs: Folder of logs.
        tensorboard: Folder of TensorBoard events.
        log_path: Plain-text log of training.
        lock_path: Lock file of the writing process.
        writer_path: Process, host and heartbeat of the writer.
        requests: Folder of requests to the writer, if there were any.
    """

    root: Path

    config_path = _Inside("config.json")
    metrics_path = _Inside("metrics.jsonl")
    samples_path = _Inside("samples.jsonl")
    summary_path = _Inside("summary.json")
    notes_path = _Inside("notes.json")
    checkpoints = _Inside("checkpoints")
    adapters = _Inside("adapters")
    tokenizer = _Inside("tokenizer")
    reports = _Inside("reports")
    evaluations = _Inside("evaluations")
    logs = _Inside("logs")
    tensorboard = _Inside("logs", "tb")
    log_path = _Inside("logs", "train.log")
    lock_path = _Inside("writer.lock")
    writer_path = _Inside("writer.json")
    requests = _Inside("requests")

    @property
    def run_id(self) -> str:
        """Name of the run."""
        return self.root.name


def new_run_id(experiment: str) -> str:
    """New run id, `<experiment>-<YYYYMMDD-HHMMSS>-<4 hex>` in local time.

    Invalid characters become dashes.
    """
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", experiment).lstrip("._-")[:_MAX_STEM_LENGTH] or "run"
    return f"{stem}-{datetime.now().astimezone():%Y%m%d-%H%M%S}-{random_hex(2)}"


def generated_suffix(run_id: str) -> str | None:
    """The end of an id that `new_run_id` made up; None for a name that somebody has chosen."""
    match = _GENERATED_ID.fullmatch(run_id)
    return match[1] if match else None


def check_run_id(name: str) -> str:
    """Return `name` if it is a valid run id.

    Raises:
        UsageError: Invalid run id.
    """
    if not _RUN_ID.fullmatch(name):
        raise UsageError(
            f"'{name}' is not a valid run ID.",
            "Use up to 100 letters, digits, dots, dashes and underscores; "
            "the first must be a letter or digit.",
        )
    return name


def create_run(runs_dir: Path, run_id: str, run_config: Mapping[str, Any]) -> RunFolder:
    """Create a run folder with its `config.json` atomically.

    Args:
        runs_dir: Runs folder; created if missing.
        run_id: Id of the new run.
        run_config: Content of `config.json`; schema version, id and creation time are added.

    Raises:
        UsageError: The id is invalid or taken.
        RunError: OSError while writing.
    """
    root = runs_dir / check_run_id(run_id)
    temporary = runs_dir / f".{run_id}.{random_hex(4)}.tmp"
    if os.path.lexists(root):
        raise _taken(RunFolder(root))
    what = f"The run '{run_id}' could not be created in {runs_dir}"
    hint = "Check the disk and the folder's permissions, or choose another --runs-dir."
    staged = RunFolder(temporary)
    folders = staged.checkpoints, staged.tokenizer, staged.reports, staged.tensorboard
    try:
        with translate_os_errors(RunError, what, hint):
            runs_dir.mkdir(parents=True, exist_ok=True)
            for folder in folders:
                folder.mkdir(parents=True)
            replace_json(staged.config_path, {**_identity(run_id), **run_config})
            move_into_place(temporary, root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return RunFolder(root)


def move_into_place(staged: Path, root: Path) -> None:
    """Move a complete folder to its place as a run; of two concurrent processes, one succeeds.

    Raises:
        UsageError: There is already a run of this name.
        OSError: While moving or syncing; no run was made.
    """
    try:
        # Renaming onto a folder that is not empty fails.
        staged.rename(root)
    except OSError as error:
        if os.path.lexists(root):
            raise _taken(RunFolder(root)) from error
        raise
    try:
        fsync_folder(root.parent)
    except OSError:
        shutil.rmtree(root, ignore_errors=True)
        raise


def open_run(runs_dir: Path, run_id: str) -> RunFolder:
    """Open an existing run by its exact id.

    Raises:
        UsageError: The id is invalid, or a link that leads out of `runs_dir`.
        RunError: No such run.
    """
    root = runs_dir / check_run_id(run_id)
    if not root.is_dir():
        raise RunError(f"There is no run '{run_id}' in {runs_dir}.", "See: tp runs")
    home = runs_dir.resolve()
    if not root.resolve().is_relative_to(home):
        raise UsageError(
            f"The run '{run_id}' is a link that leads out of {runs_dir}.",
            "Move or copy the run folder itself, or point --runs-dir at the folder it is in.",
        )
    return RunFolder(root)


def reports_folder(run: RunFolder) -> Path:
    """The folder of reports and plots, for writing.

    Raises:
        RunError: It is a link, which may lead out of the run folder.
    """
    _refuse_link(run.reports)
    return run.reports


def evaluations_folder(run: RunFolder) -> Path:
    """The folder of losses of single windows, for writing.

    Raises:
        RunError: It is a link, which may lead out of the run folder.
    """
    _refuse_link(run.evaluations)
    return run.evaluations


def refuse_links(run: RunFolder) -> None:
    """Check that no folder that training writes is a link.

    Raises:
        RunError: One is a link, which may lead out of the run folder.
    """
    written = (run.checkpoints, run.adapters, run.tokenizer, run.reports, run.logs, run.tensorboard)
    for folder in (*written, run.requests):
        _refuse_link(folder)


def _refuse_link(folder: Path) -> None:
    if folder.is_symlink():
        raise RunError(
            f"{folder} is a link, and links are not followed for writing.",
            "Replace it by a folder of its own; for another disk, use --runs-dir.",
        )


def remove_leftovers(run: RunFolder) -> None:
    """Remove temporary files of killed writers; the caller holds the run's lock.

    Notes, reports and requests are written without the lock, so that their newest temporary files
    are kept.
    """
    for parent, folders, files in os.walk(run.root):
        for name in (*folders, *files):
            if not (name.startswith(".") and name.endswith(".tmp")):
                continue
            path = Path(parent, name)
            is_shared = name.startswith(".notes.json.") or any(
                path.is_relative_to(folder) for folder in (run.reports, run.requests)
            )
            with contextlib.suppress(OSError):
                if is_shared and time.time() - path.lstat().st_mtime < _LEFTOVER_SECONDS:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        folders[:] = [name for name in folders if not name.endswith(".tmp")]


def read_run_config(run: RunFolder) -> dict[str, Any]:
    """Read `config.json` of a run.

    Raises:
        RunError: It is missing, damaged or written by a newer version.
    """
    hint = "Restore config.json from a copy of the run."
    try:
        document = json.loads(read_regular(run.config_path))
    except FileNotFoundError:
        if (run.root / "ckpt.pt").is_file():
            # In the message itself: lists of runs show no hint.
            raise RunError(
                f"The folder '{run.run_id}' holds a nanoGPT checkpoint, not a run; make one of it: "
                f"tp import {shlex.quote(str(run.root))}"
            ) from None
        raise RunError(f"The run '{run.run_id}' has no config.json.", hint) from None
    except OSError as error:
        raise RunError(
            f"The config.json of run '{run.run_id}' cannot be read: {error.strerror}."
        ) from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"The config.json of run '{run.run_id}' is not valid JSON.", hint) from error
    if not isinstance(document, dict):
        raise RunError(f"The config.json of run '{run.run_id}' is not a JSON object.", hint)
    _refuse_newer(run, document)
    for key, kind in _REQUIRED_KEYS.items():
        if not isinstance(document.get(key), kind):
            raise RunError(f"The config.json of run '{run.run_id}' has no '{key}'.", hint)
    return document


def former_ids(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Ids that a run had before it was renamed, the last one last, as in its `config.json`."""
    found = config.get("former_ids")
    return tuple(each for each in found if isinstance(each, str)) if isinstance(found, list) else ()


def refuse_newer(run: RunFolder) -> None:
    """Raise if a newer version wrote the run; a missing or damaged `config.json` is ignored.

    Raises:
        RunError: A newer version wrote the run.
    """
    try:
        document = json.loads(read_regular(run.config_path))
    except (OSError, ValueError, RecursionError):
        return
    if isinstance(document, dict):
        _refuse_newer(run, document)


def _refuse_newer(run: RunFolder, document: dict[str, Any]) -> None:
    version = document.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RunError(
            f"The run '{run.run_id}' was written by a newer version: "
            f"its schema is {version}, this one reads up to {SCHEMA_VERSION}.",
            "Open it with the version that wrote it.",
        )


def _identity(run_id: str) -> dict[str, Any]:
    created = datetime.now().astimezone().isoformat()
    return {"schema_version": SCHEMA_VERSION, "run_id": run_id, "created": created}


def _taken(run: RunFolder) -> UsageError:
    run_id = run.run_id
    hint = "Choose another --run-id, or resume that run with --resume."
    if not any(run.checkpoints.glob("*.json")):
        hint = f"It has no checkpoint: `tp runs delete {run_id}`, then begin it again."
    return UsageError(f"There is already a run '{run_id}'.", hint)


def run_entries(runs_dir: Path) -> list[os.DirEntry[str]]:
    """The folders of a runs folder that may be runs; none if it is missing.

    Raises:
        RunError: `runs_dir` cannot be listed.
    """
    try:
        with os.scandir(runs_dir) as entries:
            return [entry for entry in entries if _is_candidate(entry)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"Cannot list {runs_dir}: {error.strerror}.") from error


def _is_candidate(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith("."):
        return False
    # Path.is_dir also accepts loops of links.
    return Path(entry).is_dir() if entry.is_symlink() else entry.is_dir()
