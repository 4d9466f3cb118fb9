"""Saving an experiment's configuration file: valid, whole, and never over another's change."""

import os
from pathlib import Path

from transformer_playground.errors import ConfigError
from transformer_playground.experiments.discovery import load_experiment
from transformer_playground.files import replace_text, shown_path, temporary_sibling


def save_config(experiments_dir: Path, experiment: str, path: Path, text: str, seen: str) -> None:
    """Replace an experiment's file by `text` if the whole configuration is valid with it.

    Args:
        experiments_dir: Folder of experiments.
        experiment: Whose file it is.
        path: The file.
        text: The new content.
        seen: What the file held when editing began.

    Raises:
        ConfigError: The settings are not valid, or the disk refused; the file is as it was.
        ChangedMeanwhileError: The file holds something else by now.
    """
    try:
        current = path.read_bytes()
        with temporary_sibling(path) as trial:
            trial.write_text(text, encoding="utf-8", newline="")
            _check_trial(experiments_dir, experiment, trial, path)
        if current != seen.encode("utf-8"):
            raise ChangedMeanwhileError(current.decode("utf-8", "replace"))
        replace_text(path, text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError(f"{shown_path(path)} could not be saved: {reason}.") from error


class ChangedMeanwhileError(ConfigError):
    """Somebody else wrote the file.

    Args:
        text: What it holds now.
    """

    def __init__(self, text: str) -> None:
        super().__init__(
            "The file was changed elsewhere meanwhile.", "Save again to keep yours, or reload it."
        )
        self.text = text


def _check_trial(experiments_dir: Path, experiment: str, trial: Path, path: Path) -> None:
    try:
        load_experiment(experiments_dir, experiment, trial, (), os.environ)
    except ConfigError as error:
        real, tried = shown_path(path), shown_path(trial)
        raise ConfigError(
            error.message.replace(tried, real), error.hint.replace(tried, real)
        ) from error
