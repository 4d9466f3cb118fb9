"""How the dataset of an existing run was prepared, from the run's record."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformer_playground.experiments.discovery import (
    CONFIG_FILE,
    DEFAULTS_FILE,
    EXPERIMENTS_DIR,
    experiment_of_file,
)
from transformer_playground.jsonvalues import as_object

DATASET_TABLES = ("prepare.", "hf_model.", "experiment.")
"""Beginnings of the settings that decide what a dataset contains."""


@dataclass(frozen=True)
class RecordedPreparation:
    """What prepares the dataset of a run again.

    Attributes:
        experiment: Name of the experiment; None if `config` says it, or if it is not known.
        experiments_dir: Folder of the experiment; None for the usual one.
        config: Configuration file in place of the experiment's own.
        overrides: `dotted.key=value` each, of the settings that decide what a dataset contains.
    """

    experiment: str | None
    experiments_dir: Path | None = None
    config: Path | None = None
    overrides: tuple[str, ...] = ()


def recorded_experiment(record: Mapping[str, Any]) -> str | None:
    """Name of the experiment of a run; None if its record has none that can be one."""
    name = record.get("experiment")
    if not isinstance(name, str) or name in ("", ".", "..") or Path(name).name != name:
        return None
    return None if "\0" in name else name


def recorded_config_file(record: Mapping[str, Any]) -> Path | None:
    """The configuration file that a run was started with, as it was reached then.

    None if it is that of an experiment in the usual folder, or unknown.
    """
    files = {
        Path(origin)
        for origin in map(str, as_object(record.get("provenance")).values())
        if origin.endswith(".toml") and Path(origin).name != DEFAULTS_FILE
    }
    usual = EXPERIMENTS_DIR / (recorded_experiment(record) or "") / CONFIG_FILE
    return files.pop() if len(files) == 1 and usual not in files else None


def recorded_preparation(record: Mapping[str, Any]) -> RecordedPreparation:
    """What prepares the dataset of a run again.

    Args:
        record: The run's `config.json`; empty for a folder without one.
    """
    name, file = recorded_experiment(record), recorded_config_file(record)
    overrides = tuple(_overrides(record))
    if file is None:
        return RecordedPreparation(name, overrides=overrides)
    if name is not None and file.name == CONFIG_FILE and file.parent.name == name:
        return RecordedPreparation(name, file.parent.parent, overrides=overrides)
    # An experiment that was named beside the file may have other folders than the file's.
    named = name if name != experiment_of_file(file).name else None
    return RecordedPreparation(named, config=file, overrides=overrides)


def recorded_prepare_command(record: Mapping[str, Any]) -> str:
    """The shell command that prepares the dataset of a run again.

    Args:
        record: The run's `config.json`; empty for a folder without one.
    """
    found = recorded_preparation(record)
    arguments = ["tp", "prepare"]
    if found.experiment is not None or found.config is None:
        arguments.append(found.experiment or "EXPERIMENT")
    if found.experiments_dir is not None:
        arguments += ["--experiments-dir", str(found.experiments_dir)]
    if found.config is not None:
        arguments += ["--config", str(found.config)]
    for override in found.overrides:
        arguments += ["--set", override]
    return shlex.join(arguments)


def _overrides(record: Mapping[str, Any]) -> Iterator[str]:
    # Late: a report of a run whose dataset exists needs no command.
    from transformer_playground.config.toml import toml_value

    for key, origin in as_object(record.get("provenance")).items():
        if origin == "--set" and key.startswith(DATASET_TABLES):
            value: Any = as_object(record.get("config"))
            for part in key.split("."):
                value = as_object(value).get(part)
            yield f"{key}={toml_value(value)}"
