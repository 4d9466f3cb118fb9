"""Run details: settings, checkpoints, reports and problems of one run."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from transformer_playground.checkpoints.discovery import FileHashes, list_checkpoints
from transformer_playground.errors import PlaygroundError
from transformer_playground.files import stat_or_none
from transformer_playground.jsonvalues import as_object, to_jsonable
from transformer_playground.runs.annotations import annotations_problem
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.status import Writer, derive_status

_DATASET = ("fingerprint", "train_tokens", "val_tokens", "vocab_size", "val_bytes_per_token")
_MOST_REPORTS = 1000

_T = TypeVar("_T")


@dataclass(frozen=True)
class ChangedSetting:
    """A non-default setting and where it was set (`origin`, untrusted text)."""

    key: str
    value: Any
    origin: str


@dataclass(frozen=True)
class CheckpointFile:
    """A checkpoint file, valid or damaged.

    Attributes:
        kind: "last" or "best"; None if damaged.
        metric: Validation loss of a best checkpoint.
        size: Bytes.
        created: ISO 8601.
        problem: Why it cannot be used.
    """

    name: str
    kind: str | None = None
    step: int | None = None
    metric: float | None = None
    size: int | None = None
    created: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class ReportFile:
    """A file in `reports/`.

    Attributes:
        name: Path relative to `reports/`, untrusted text.
        size: Bytes.
        modified: Unix time.
    """

    name: str
    size: int
    modified: float


@dataclass(frozen=True)
class RunDetails:
    """Details of one run.

    Attributes:
        writer: Process that is writing the run.
        changed: Non-default settings.
        checkpoints: Valid ones from newest to oldest, then damaged ones.
        dataset: fingerprint, train_tokens, val_tokens, vocab_size, val_bytes_per_token.
        environment: As in `config.json`.
        problems: Sentences about what could not be read.
    """

    row: RunInfo
    path: Path
    writer: Writer | None = None
    changed: tuple[ChangedSetting, ...] = ()
    checkpoints: tuple[CheckpointFile, ...] = ()
    reports: tuple[ReportFile, ...] = ()
    dataset: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The details as one JSON object."""
        others = {key: value for key, value in vars(self).items() if key not in ("row", "writer")}
        writer = {"pid": self.writer.pid, "host": self.writer.host} if self.writer else {}
        return {
            "schema_version": 1,
            **self.row.as_json(),
            **to_jsonable({"pid": None, "host": None, **writer, **others}),
        }


def describe_run(run: RunFolder, row: RunInfo) -> RunDetails:
    """Read the details of a run; parts that cannot be read become problems."""
    problems: list[str] = []
    config: dict[str, Any] = _attempt(lambda: read_run_config(run), {}, problems)
    checkpoints: tuple[CheckpointFile, ...]
    checkpoints = _attempt(lambda: read_checkpoints(run), (), problems)
    reports: tuple[ReportFile, ...] = _attempt(lambda: _reports(run.reports), (), problems)
    damage = annotations_problem(run)
    if damage:
        problems.append(f"{damage}, so its note and tags are not shown.")
    dataset = as_object(config.get("dataset"))
    return RunDetails(
        row=row,
        path=run.root,
        writer=derive_status(run).writer,
        changed=tuple(
            ChangedSetting(key, row.settings[key], str(origin))
            for key, origin in as_object(config.get("provenance")).items()
            if key in row.settings
        ),
        checkpoints=checkpoints,
        reports=reports,
        dataset={key: dataset.get(key) for key in _DATASET},
        environment=as_object(config.get("environment")),
        problems=tuple(dict.fromkeys(problems)),
    )


def _attempt(read: Callable[[], _T], otherwise: _T, problems: list[str]) -> _T:
    try:
        return read()
    except PlaygroundError as error:
        problems.append(error.message)
    except OSError as error:
        problems.append(f"{error.filename} cannot be read: {error.strerror}.")
    return otherwise


def read_checkpoints(run: RunFolder, *, hash_files: bool = True) -> tuple[CheckpointFile, ...]:
    """Checkpoints of a run, newest first, then damaged ones.

    Args:
        run: The run.
        hash_files: Whether to check the content of files. Their sizes are always checked.

    Raises:
        CheckpointError: The folder cannot be listed.
    """
    listing = list_checkpoints(run.checkpoints, FileHashes() if hash_files else None)
    whole = [
        CheckpointFile(info.path.name, info.kind, info.step, info.metric, info.size, info.created)
        for info in listing.valid
    ]
    damaged = [
        CheckpointFile(
            skipped.path.name,
            size=state.st_size if (state := stat_or_none(skipped.path)) else None,
            problem=skipped.reason,
        )
        for skipped in listing.skipped
    ]
    return (*whole, *damaged)


def _reports(folder: Path) -> tuple[ReportFile, ...]:
    found: list[ReportFile] = []
    if folder.is_symlink():
        return ()
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(parent) / name
            if name.startswith(".") or path.is_symlink() or not path.is_file():
                continue
            state = path.stat()
            found.append(ReportFile(str(path.relative_to(folder)), state.st_size, state.st_mtime))
            if len(found) >= _MOST_REPORTS:
                return tuple(found)
    return tuple(found)
