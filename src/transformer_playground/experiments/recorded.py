"""How the dataset of an existing run was prepared, from the run's record."""

import shlex
from collections.abc import Iterator, Mapping
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


def recorded_prepare_command(record: Mapping[str, Any]) -> str:
    """The shell command that prepares the dataset of a run again.

    Args:
        record: The run's `config.json`; empty for a folder without one.
    """
    name, file = recorded_experiment(record), recorded_config_file(record)
    return shlex.join(["tp", "prepare", *_origin(name, file), *_overrides(record)])


def _origin(name: str | None, file: Path | None) -> Iterator[str]:
    if file is None:
        yield name or "EXPERIMENT"
    elif name is not None and file.name == CONFIG_FILE and file.parent.name == name:
        yield from (name, "--experiments-dir", str(file.parent.parent))
    else:
        # An experiment that was named beside the file may have other folders than the file's.
        if name is not None and name != experiment_of_file(file).name:
            yield name
        yield from ("--config", str(file))


def _overrides(record: Mapping[str, Any]) -> Iterator[str]:
    # Late: a report of a run whose dataset exists needs no command.
    from transformer_playground.config.toml import toml_value

    for key, origin in as_object(record.get("provenance")).items():
        if origin == "--set" and key.startswith(DATASET_TABLES):
            value: Any = as_object(record.get("config"))
            for part in key.split("."):
                value = as_object(value).get(part)
            yield from ("--set", f"{key}={toml_value(value)}")
