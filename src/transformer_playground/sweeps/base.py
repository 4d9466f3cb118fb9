"""What the runs of a sweep begin with: the settings of its experiment, as they were at first.

Without this copy an edit of the experiment's files, or another environment, between two runs of a
sweep would mix runs that cannot be compared. The same holds for a dataset that is prepared again.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from transformer_playground.config.base import Strings, Table, setting
from transformer_playground.config.loading import LoadedConfig
from transformer_playground.config.run_config import saved_settings
from transformer_playground.config.toml import shortened
from transformer_playground.errors import ConfigError, translate_os_errors
from transformer_playground.experiments.discovery import Experiment
from transformer_playground.experiments.kept import KeptSettings
from transformer_playground.files import display_path, read_regular, replace_json
from transformer_playground.jsonvalues import as_object, as_text
from transformer_playground.runs.index import flatten
from transformer_playground.runs.naming import LOCATIONS, learning_settings
from transformer_playground.sweeps.folder import SweepFolder


class _File(Table):
    """`experiment.json`."""

    experiment: str = setting(..., "Experiment as in sweep.toml.")
    config: str = setting(..., "Configuration file as in sweep.toml; empty for the experiment's.")
    overrides: Strings = setting(..., "Settings of all runs as in sweep.toml, which are applied.")
    name: str = setting(..., "Name of the experiment.")
    folder: str = setting(..., "Its folder, relative to the project if it is in it.")
    config_path: str = setting(..., "Its configuration file, likewise.")
    settings: dict[str, Any] = setting(..., "All settings by table, with folders likewise.")
    provenance: dict[str, str] = setting(..., "Origin of each setting that is not a default.")
    dataset: str | None = setting(..., "Fingerprint of the dataset; null before the first run.")


@dataclass(frozen=True)
class Base:
    """The settings that all runs of a sweep begin with.

    Attributes:
        experiment, config, overrides: As in the sweep's file when it was made.
        kept: The settings, `overrides` included.
        dataset: Fingerprint of the dataset of all runs; None before the first.
    """

    experiment: str
    config: str
    overrides: tuple[str, ...]
    kept: KeptSettings
    dataset: str | None = None

    @property
    def learned(self) -> dict[str, Any]:
        """The settings that change what is learned, by dotted key.

        Raises:
            ConfigError: They are no longer valid.
        """
        return learning_settings(flatten(self.kept.load(()).config.model_dump(mode="json")))

    def check(self, experiment: str, config: str, overrides: Sequence[str]) -> None:
        """Hold it against the sweep's file as it is now.

        Raises:
            ConfigError: The file names another experiment, or no longer has a setting that is
                part of the copy.
        """
        if (experiment, config) != (self.experiment, self.config):
            was, now = self.experiment or self.config, experiment or config
            raise ConfigError(
                f"The sweep was made from {was}, not from {now}.",
                "Make a new sweep with tp sweep new, or write the former name again.",
            )
        left = {override.partition("=")[0] for override in overrides}
        gone = [each for each in self.overrides if each.partition("=")[0] not in left]
        if gone:
            raise ConfigError(
                f"settings no longer has {shortened(gone[0])}, with which the sweep was made.",
                "Write the value that the setting shall have, also if it is the default.",
            )

    def with_dataset(self, fingerprint: str) -> "Base":
        """The same, for runs on this dataset."""
        return replace(self, dataset=fingerprint)


def settings_digest(settings: Mapping[str, Any]) -> str:
    """Hexadecimal digest of the settings by table that change what is learned."""
    learned = sorted(learning_settings(flatten(settings)).items())
    return hashlib.sha256(repr(learned).encode()).hexdigest()


def base_of_experiment(
    experiment: str,
    config: str,
    overrides: Sequence[str],
    found: tuple[Experiment, LoadedConfig],
) -> Base:
    """The base of a sweep whose runs begin with an experiment's settings as they are now."""
    known, loaded = found
    settings = loaded.config.model_dump(mode="json")
    kept = KeptSettings(known, settings, loaded.provenance)
    return Base(experiment, config, tuple(overrides), kept)


def base_of_run(
    experiment: str,
    config: str,
    overrides: Sequence[str],
    known: Experiment,
    record: dict[str, Any],
) -> Base:
    """The base of a sweep that has a run already, from the run's `config.json`.

    The values of the run's own trial are part of it; those of each other trial replace them.
    """
    origins = {str(key): str(value) for key, value in as_object(record.get("provenance")).items()}
    kept = KeptSettings(known, saved_settings(record), origins)
    fingerprint = as_text(as_object(record.get("dataset")).get("fingerprint"))
    return Base(experiment, config, tuple(overrides), kept, fingerprint)


def load_base(folder: SweepFolder) -> Base | None:
    """The base of a sweep; None if it has not been kept yet.

    Raises:
        ConfigError: Its file is damaged.
    """
    path = folder.base_path
    try:
        file = _File.model_validate(json.loads(read_regular(path)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ValidationError):
            fault = error.errors(include_url=False)[0]
            what = f"{'.'.join(map(str, fault['loc'])) or 'the document'}: {fault['msg']}"
        else:
            what = str(error) or type(error).__name__
        raise ConfigError(
            f"{display_path(path)} is damaged: {what}.",
            "Restore it from a copy. Without it, the settings of the sweep's first run are taken.",
        ) from error
    project = _project(folder)
    experiment = Experiment(file.name, project / file.folder, project / file.config_path)
    settings = _with_locations(file.settings, lambda path: str(project / path))
    kept = KeptSettings(experiment, settings, file.provenance)
    return Base(file.experiment, file.config, file.overrides, kept, file.dataset)


def save_base(folder: SweepFolder, base: Base) -> None:
    """Write the base of a sweep.

    Raises:
        ConfigError: OSError while writing.
    """
    known, project = base.kept.experiment, _project(folder)

    def portable(path: str | Path) -> str:
        whole = Path(path).absolute()
        return str(whole.relative_to(project) if whole.is_relative_to(project) else whole)

    document = {
        "experiment": base.experiment,
        "config": base.config,
        "overrides": list(base.overrides),
        "name": known.name,
        "folder": portable(known.folder),
        "config_path": portable(known.config_path),
        "settings": _with_locations(base.kept.settings, portable),
        "provenance": dict(base.kept.provenance),
        "dataset": base.dataset,
    }
    with translate_os_errors(ConfigError, f"{display_path(folder.base_path)} cannot be written"):
        replace_json(folder.base_path, document)


def _project(folder: SweepFolder) -> Path:
    """Where `sweeps/` is: paths below it stay right when the project is copied or moved."""
    return folder.root.absolute().parent.parent


def _with_locations(settings: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """The settings by table with changed folders."""
    found = dict(settings)
    for key in LOCATIONS:
        table, _, name = key.partition(".")
        values = found.get(table)
        if isinstance(values, dict) and isinstance(values.get(name), str):
            found[table] = values | {name: change(values[name])}
    return found
