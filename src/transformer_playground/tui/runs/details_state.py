"""Details of runs and experiments as read from their files; reading blocks, so use a thread."""

import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from transformer_playground.checkpoints.format import is_pointer
from transformer_playground.config.toml import toml_key
from transformer_playground.errors import PlaygroundError
from transformer_playground.experiments.discovery import (
    DEFAULTS_FILE,
    Experiment,
    load_experiment,
)
from transformer_playground.jsonvalues import as_object
from transformer_playground.runs.annotations import annotations_problem
from transformer_playground.runs.details import CheckpointFile, read_checkpoints
from transformer_playground.runs.folder import RunFolder, open_run, read_run_config
from transformer_playground.runs.metrics import read_samples
from transformer_playground.runs.status import Writer, derive_status

if TYPE_CHECKING:
    from transformer_playground.data.prepare import DatasetState

Section = Literal["overview", "settings", "samples", "log"]
SECTIONS: tuple[Section, ...] = ("overview", "settings", "samples", "log")
_MAX_SAMPLES = 5
_MAX_LOG_LINES = 300
_LOG_BYTES = 65_536


@dataclass(frozen=True)
class RunSectionData:
    """Data of one section of a run's details.

    Attributes:
        writer: The process that writes the run.
        provenance: Dotted key -> origin, for values that differ from the default.
        dataset: As in `config.json`.
        environment: As in `config.json`.
        checkpoints: Newest first, then damaged ones.
        samples: Newest first, as in `samples.jsonl`.
        log: Last lines of the log, untrusted text.
        problems: What could not be read, a sentence each.
    """

    run_id: str
    section: Section
    path: Path
    writer: Writer | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    dataset: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: tuple[CheckpointFile, ...] = ()
    samples: tuple[Mapping[str, Any], ...] = ()
    log: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def read_section(runs_dir: Path, run_id: str, section: Section) -> RunSectionData:
    """Read the data of a section; unreadable parts become problems."""
    path = runs_dir / run_id
    try:
        run = open_run(runs_dir, run_id)
        match section:
            case "samples":
                rows = read_samples(run)[-_MAX_SAMPLES:]
                return RunSectionData(run_id, section, path, samples=tuple(reversed(rows)))
            case "log":
                lines = read_last_lines(run.log_path, _MAX_LOG_LINES, _LOG_BYTES)
                return RunSectionData(run_id, section, path, log=tuple(lines))
            case _:
                return _read(run, section)
    except (PlaygroundError, OSError) as error:
        return RunSectionData(run_id, section, path, problems=(_problem_text(error),))


def _problem_text(error: PlaygroundError | OSError) -> str:
    if isinstance(error, PlaygroundError):
        return str(error)
    return f"{error.filename} cannot be read: {error.strerror}."


def modification_times(runs_dir: Path, run_id: str, section: Section) -> tuple[float, ...]:
    """Modification times of the files of a section, to detect changes."""
    run = RunFolder(runs_dir / run_id)
    watched = {
        "overview": (run.config_path, run.checkpoints, run.notes_path, run.writer_path),
        "settings": (run.config_path,),
        "samples": (run.samples_path,),
        "log": (run.log_path,),
    }
    return tuple(_modified(path) for path in watched[section])


def _read(run: RunFolder, section: Section) -> RunSectionData:
    problems: list[str] = []
    config: dict[str, Any] = {}
    checkpoints: tuple[CheckpointFile, ...] = ()
    try:
        config = read_run_config(run)
    except PlaygroundError as error:
        problems.append(str(error))
    try:
        # Hashing gigabytes is too slow for a display.
        found = read_checkpoints(run, hash_files=False)
        checkpoints = tuple(each for each in found if not is_pointer(Path(each.name)))
    except PlaygroundError as error:
        problems.append(str(error))
    damage = annotations_problem(run)
    if damage:
        problems.append(f"{damage}, so its note and tags are not shown.")
    return RunSectionData(
        run.run_id,
        section,
        run.root,
        writer=derive_status(run).writer,
        provenance={key: str(value) for key, value in as_object(config.get("provenance")).items()},
        dataset=as_object(config.get("dataset")),
        environment=as_object(config.get("environment")),
        checkpoints=checkpoints,
        problems=tuple(problems),
    )


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return -1.0


DATA_LABELS: Mapping[str, str] = {
    "prepared": "✓ prepared",
    "stale": "~ stale",
    "missing": "· not prepared",
    "broken": "✗ broken",
}
_README = "README.md"
_README_BYTES = 16_384
# A folder of raw texts may have thousands of files; its own time shows additions and removals.
_MAX_FILES = 200

_Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class ExperimentDetails:
    """One experiment.

    Attributes:
        kind: Kind of experiment; "?" if its configuration is not valid.
        data: State of its dataset, "broken" if its configuration is not valid.
        description: One line, untrusted text; the error of a broken experiment.
        settings: Every setting by its dotted key.
        provenance: Dotted key -> origin, for values that differ from the default.
        readme: First paragraph of its README, untrusted text.
    """

    name: str
    kind: str
    data: "DatasetState | Literal['broken']"
    description: str = ""
    tags: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    readme: str = ""


_CachedExperiment = tuple[ExperimentDetails, tuple[Path, ...], _Signature]


class ExperimentReader:
    """Reads experiments and caches them until one of their files changes."""

    def __init__(self, experiments_dir: Path) -> None:
        self._dir = experiments_dir
        self._known: dict[str, _CachedExperiment] = {}

    def read(self, experiments: Iterable[Experiment]) -> dict[str, ExperimentDetails]:
        details: dict[str, ExperimentDetails] = {}
        known: dict[str, _CachedExperiment] = {}
        for experiment in experiments:
            entry = self._known.get(experiment.name)
            if entry is None or _signature(entry[1]) != entry[2]:
                entry = self._read(experiment)
            known[experiment.name] = entry
            details[experiment.name] = entry[0]
        self._known = known
        return details

    def _read(self, experiment: Experiment) -> _CachedExperiment:
        # Imported late, because the schema needs pydantic.
        from transformer_playground.config.loading import leaves
        from transformer_playground.experiments.registry import PREPARER_FILE, dataset_state

        folder = experiment.folder
        paths: tuple[Path, ...] = (
            experiment.config_path,
            self._dir / DEFAULTS_FILE,
            folder / PREPARER_FILE,
            folder / _README,
        )
        # Taken before reading, so that a change meanwhile is read again.
        try:
            _, loaded = load_experiment(self._dir, experiment.name, None, (), os.environ)
            prepare = loaded.config.prepare
            paths = (*paths, prepare.raw_dir, prepare.dataset_dir)
            signature = _signature(paths)
            details = ExperimentDetails(
                experiment.name,
                loaded.config.experiment.kind,
                dataset_state(experiment, loaded.config),
                loaded.config.experiment.description,
                loaded.config.experiment.tags,
                {toml_key(key): value for key, value in leaves(loaded.config.model_dump())},
                loaded.provenance,
                _first_paragraph(folder / _README),
            )
        except (PlaygroundError, OSError) as error:
            signature = _signature(paths)
            details = ExperimentDetails(experiment.name, "?", "broken", _problem_text(error))
        return details, paths, signature


def _signature(paths: Iterable[Path]) -> _Signature:
    """Modification times and sizes of files, and of the files in folders."""
    found: list[tuple[str, int, int]] = []
    for path in paths:
        found.append(_state(path))
        try:
            with os.scandir(path) as entries:
                names = sorted(entry.name for entry in entries)[:_MAX_FILES]
        except OSError:
            continue
        found += [_state(path / name) for name in names]
    return tuple(found)


def _state(path: Path) -> tuple[str, int, int]:
    try:
        state = path.stat()
    except OSError:
        return (str(path), 0, -1)
    return (str(path), state.st_mtime_ns, state.st_size)


def _first_paragraph(path: Path) -> str:
    """The first lines of prose in a Markdown file."""
    paragraph: list[str] = []
    for line in _read_text(path, _README_BYTES, from_end=False).splitlines():
        text = line.strip()
        if text and not text.startswith(("#", "<", "!", "```", "|")):
            paragraph.append(text)
        elif paragraph:
            break
    return " ".join(paragraph)


def read_last_lines(path: Path, count: int, size: int) -> list[str]:
    """The last whole lines, `count` at most, within the last `size` bytes."""
    lines = _read_text(path, size, from_end=True).splitlines()
    return lines[-count:]


def _read_text(path: Path, size: int, *, from_end: bool) -> str:
    """The first or last `size` bytes as text, empty for an unreadable file."""
    try:
        # Reading a pipe or a device might never end.
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
