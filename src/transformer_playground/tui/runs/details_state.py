"""What the files of one run say beyond its row in lists; reading blocks, so do it in a thread."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transformer_playground.checkpoints.discovery import scan_folder
from transformer_playground.checkpoints.format import CheckpointInfo, is_pointer
from transformer_playground.errors import PlaygroundError
from transformer_playground.jsonvalues import as_object
from transformer_playground.runs.annotations import annotations_problem
from transformer_playground.runs.details import CheckpointFile
from transformer_playground.runs.folder import RunFolder, open_run, read_run_config
from transformer_playground.runs.metrics import read_samples
from transformer_playground.runs.status import derive_status


def read_start(path: Path, size: int) -> str:
    """The first `size` bytes as text; empty if there are none to read."""
    return _read_text(path, size, from_end=False)


def read_last_lines(path: Path, count: int, size: int) -> list[str]:
    """The last whole lines, `count` at most, within the last `size` bytes."""
    lines = _read_text(path, size, from_end=True).splitlines()
    return lines[-count:]


def _read_text(path: Path, size: int, *, from_end: bool) -> str:
    try:
        # A pipe or a device of that name might never end.
        if not stat.S_ISREG(path.stat().st_mode):
            return ""
        with path.open("rb") as file:
            length = file.seek(0, os.SEEK_END)
            start = max(0, length - size) if from_end else 0
            file.seek(start)
            data = file.read(size)
    except OSError:
        return ""
    if start > 0:
        data = data[data.find(b"\n") + 1 :]
    return data.decode("utf-8", "replace")


Section = Literal["overview", "settings", "samples", "log"]
SECTIONS: tuple[Section, ...] = ("overview", "settings", "samples", "log")
_MOST_SAMPLES = 5
_MOST_LOG_LINES = 300
_LOG_BYTES = 65_536


@dataclass(frozen=True)
class RunFacts:
    """What one section of the details needs.

    Attributes:
        run_id: The run.
        section: The section.
        path: Its folder.
        pid: The process that writes it.
        provenance: Dotted key -> where a value comes from, for those that are not the default.
        dataset: As in `config.json`.
        environment: As in `config.json`.
        checkpoints: Newest first, then what is damaged.
        samples: Newest first, as in `samples.jsonl`.
        log: The last lines of the log, untrusted text.
        problems: What could not be read, a sentence each.
    """

    run_id: str
    section: Section
    path: Path
    pid: int | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: tuple[CheckpointFile, ...] = ()
    samples: tuple[Mapping[str, Any], ...] = ()
    log: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def read_facts(runs_dir: Path, run_id: str, section: Section) -> RunFacts:
    """Read what a section shows; parts that cannot be read become problems."""
    path = runs_dir / run_id
    try:
        run = open_run(runs_dir, run_id)
        match section:
            case "samples":
                rows = read_samples(run)[-_MOST_SAMPLES:]
                return RunFacts(run_id, section, path, samples=tuple(reversed(rows)))
            case "log":
                lines = read_last_lines(run.log_path, _MOST_LOG_LINES, _LOG_BYTES)
                return RunFacts(run_id, section, path, log=tuple(lines))
            case _:
                return _read(run, section)
    except PlaygroundError as error:
        return RunFacts(run_id, section, path, problems=(str(error),))
    except OSError as error:
        problem = f"{error.filename} cannot be read: {error.strerror}."
        return RunFacts(run_id, section, path, problems=(problem,))


def stamp(runs_dir: Path, run_id: str, section: Section) -> tuple[float, ...]:
    """Times of the files behind a section: as long as they stay, so does what they say."""
    run = RunFolder(runs_dir / run_id)
    watched = {
        "overview": (run.config_path, run.checkpoints, run.notes_path, run.writer_path),
        "settings": (run.config_path,),
        "samples": (run.samples_path,),
        "log": (run.log_path,),
    }
    return tuple(_modified(path) for path in watched[section])


def _read(run: RunFolder, section: Section) -> RunFacts:
    problems: list[str] = []
    config: dict[str, Any] = {}
    checkpoints: tuple[CheckpointFile, ...] = ()
    try:
        config = read_run_config(run)
    except PlaygroundError as error:
        problems.append(str(error))
    try:
        checkpoints = _checkpoints(run)
    except PlaygroundError as error:
        problems.append(str(error))
    damage = annotations_problem(run)
    if damage:
        problems.append(f"{damage}, so its note and tags are not shown.")
    return RunFacts(
        run.run_id,
        section,
        run.root,
        pid=derive_status(run).pid,
        provenance={key: str(value) for key, value in as_object(config.get("provenance")).items()},
        dataset=as_object(config.get("dataset")),
        environment=as_object(config.get("environment")),
        checkpoints=checkpoints,
        problems=tuple(problems),
    )


def _checkpoints(run: RunFolder) -> tuple[CheckpointFile, ...]:
    """By sidecar and size: hashing gigabytes is for those who use a file, not for who looks."""
    scan = scan_folder(run.checkpoints)
    claims = sorted(scan.sidecars.values(), key=lambda info: info.age_key, reverse=True)
    whole = [_describe(info) for info in claims if not is_pointer(info.path)]
    damaged = [
        CheckpointFile(path.name, problem=problem)
        for path, problem in scan.problems.items()
        if not is_pointer(path)
    ]
    return (*whole, *damaged)


def _describe(info: CheckpointInfo) -> CheckpointFile:
    try:
        size = info.path.stat().st_size
    except OSError:
        return CheckpointFile(info.path.name, info.kind, info.step, problem="the file is missing")
    problem = None if size == info.size else "its size is not what its sidecar says"
    return CheckpointFile(info.path.name, info.kind, info.step, info.metric, size, problem=problem)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return -1.0
