"""What is known of experiments, read anew only where a file has changed."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from transformer_playground.config.toml import toml_key
from transformer_playground.errors import PlaygroundError
from transformer_playground.experiments.discovery import (
    DEFAULTS_FILE,
    Experiment,
    load_experiment,
)
from transformer_playground.tui.runs.details_state import read_start

DataState = Literal["prepared", "stale", "missing", "broken"]
GLYPHS: Mapping[DataState, str] = {
    "prepared": "✓",
    "stale": "~",
    "missing": "·",
    "broken": "✗",
}
_README = "README.md"
_README_BYTES = 16_384
# A folder of raw texts may hold thousands; its own time changes when one comes or goes.
_MOST_FILES = 200

Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class ExperimentFacts:
    """One experiment.

    Attributes:
        name: Its name.
        kind: What it does; "?" when its configuration is not valid.
        data: State of its dataset, or "broken" when its configuration is not valid.
        description: One line, untrusted text; what is wrong with a broken one.
        tags: Its tags, untrusted text.
        settings: Every setting by its dotted key.
        provenance: Dotted key -> where the value comes from, for those that are not the default.
        readme: First paragraph of its README, untrusted text.
    """

    name: str
    kind: str
    data: DataState
    description: str = ""
    tags: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    readme: str = ""


class ExperimentReader:
    """Reads experiments and remembers them until one of their files changes.

    Args:
        experiments_dir: Folder of experiments.
    """

    def __init__(self, experiments_dir: Path) -> None:
        self._dir = experiments_dir
        self._known: dict[str, tuple[ExperimentFacts, tuple[Path, ...], Signature]] = {}

    def read(self, experiments: Iterable[Experiment]) -> dict[str, ExperimentFacts]:
        """Every one of them by name; blocks on files, so call it in a thread."""
        found: dict[str, ExperimentFacts] = {}
        known: dict[str, tuple[ExperimentFacts, tuple[Path, ...], Signature]] = {}
        for experiment in experiments:
            entry = self._known.get(experiment.name)
            if entry is None or _signature(entry[1]) != entry[2]:
                entry = self._read(experiment)
            known[experiment.name] = entry
            found[experiment.name] = entry[0]
        self._known = known
        return found

    def _read(self, experiment: Experiment) -> tuple[ExperimentFacts, tuple[Path, ...], Signature]:
        # Here, so that the first frame does not wait for the whole schema.
        from transformer_playground.config.loading import leaves
        from transformer_playground.experiments.registry import PREPARER_FILE, dataset_state

        folder = experiment.folder
        paths: tuple[Path, ...] = (
            experiment.config_path,
            self._dir / DEFAULTS_FILE,
            folder / PREPARER_FILE,
            folder / _README,
        )
        # Taken before the reading: what changes meanwhile is read once more.
        try:
            _, loaded = load_experiment(self._dir, experiment.name, None, (), os.environ)
            prepare = loaded.config.prepare
            paths = (*paths, prepare.raw_dir, prepare.dataset_dir)
            signature = _signature(paths)
            facts = ExperimentFacts(
                experiment.name,
                loaded.config.experiment.kind,
                dataset_state(experiment, loaded.config),
                loaded.config.experiment.description,
                loaded.config.experiment.tags,
                {toml_key(key): value for key, value in leaves(loaded.config.model_dump())},
                loaded.provenance,
                _first_paragraph(folder / _README),
            )
        except PlaygroundError as error:
            signature = _signature(paths)
            facts = ExperimentFacts(experiment.name, "?", "broken", str(error))
        except OSError as error:
            signature = _signature(paths)
            reason = f"{error.filename} cannot be read: {error.strerror}."
            facts = ExperimentFacts(experiment.name, "?", "broken", reason)
        return facts, paths, signature


def _signature(paths: Iterable[Path]) -> Signature:
    """Times and sizes of files, and of what lies in folders."""
    found: list[tuple[str, int, int]] = []
    for path in paths:
        found.append(_state(path))
        try:
            with os.scandir(path) as entries:
                names = sorted(entry.name for entry in entries)[:_MOST_FILES]
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
    for line in read_start(path, _README_BYTES).splitlines():
        text = line.strip()
        if text and not text.startswith(("#", "<", "!", "```", "|")):
            paragraph.append(text)
        elif paragraph:
            break
    return " ".join(paragraph)
