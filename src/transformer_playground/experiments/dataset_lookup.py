"""The dataset and the settings that a run recorded, found again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.dataset import Dataset, open_dataset
from transformer_playground.errors import DataError, RunError
from transformer_playground.experiments.recorded import (
    recorded_experiment,
    recorded_prepare_command,
)
from transformer_playground.jsonvalues import as_object, as_text


@dataclass(frozen=True)
class DatasetLookup:
    """A run's dataset, or why there is none.

    Attributes:
        is_checked: Whether its fingerprint was compared with the one that the run recorded.
        problem: Why there is no dataset: one or more sentences.
        hint: What the user can do about it.
    """

    dataset: Dataset | None
    is_checked: bool = False
    problem: str = ""
    hint: str = ""


def find_dataset(
    record: Mapping[str, Any], *, stated: Path | None, experiments_dir: Path | None
) -> DatasetLookup:
    """Find the dataset that a run was trained on.

    Args:
        record: The run's `config.json`; empty for a folder without one.
        stated: Folder named by the user; no other folder is tried then.
        experiments_dir: The `datasets` folder of the run's experiment in it is tried after the
            folder that the run recorded.

    Raises:
        DataError: `stated` is not an intact dataset, or not the one of this run.
    """
    expected = recorded_fingerprint(record)
    if stated is not None:
        return DatasetLookup(_open(stated, record, expected), is_checked=expected is not None)
    if expected is None:
        # Without a fingerprint any dataset at the recorded path would be accepted.
        return DatasetLookup(
            None,
            problem="The run did not record which dataset it was trained on.",
            hint="Name the folder of its dataset with --dataset.",
        )
    problems: list[str] = []
    for folder in dataset_folders(record, experiments_dir):
        try:
            return DatasetLookup(_open(folder, record, expected), is_checked=True)
        except DataError as error:
            problems.append(error.message)
    command = recorded_prepare_command(record)
    return DatasetLookup(
        None,
        problem=" ".join(problems) or "The run did not record the folder of its dataset.",
        hint=f"Name its folder with --dataset, or prepare it again: {command}",
    )


def _open(folder: Path, record: Mapping[str, Any], expected: str | None) -> Dataset:
    dataset = open_dataset(folder, prepare_command=recorded_prepare_command(record))
    if expected is not None and dataset.fingerprint != expected:
        raise DataError(
            f"The dataset in {folder} is not the one this run was trained on: "
            f"its fingerprint is {dataset.fingerprint[:12]}…, not {expected[:12]}….",
            "Restore its input and prepare it again, or name the right folder with --dataset.",
        )
    return dataset


def recorded_fingerprint(record: Mapping[str, Any]) -> str | None:
    """Fingerprint of the dataset that a run was trained on; None if it recorded none."""
    return as_text(as_object(record.get("dataset")).get("fingerprint"))


def dataset_folders(record: Mapping[str, Any], experiments_dir: Path | None) -> Iterator[Path]:
    """Where a run's dataset may be: the folder it recorded, then that of its experiment."""
    prepare = as_object(as_object(record.get("config")).get("prepare"))
    recorded = as_text(prepare.get("dataset_dir"))
    tried = set()
    if recorded and "\0" not in recorded:
        tried.add(Path(recorded))
        yield Path(recorded)
    experiment = recorded_experiment(record)
    if experiments_dir is not None and experiment is not None:
        folder = (experiments_dir / experiment / "datasets").resolve()
        if folder not in tried:
            yield folder


def saved_config(record: Mapping[str, Any]) -> ExperimentConfig:
    """Configuration saved with a run.

    Raises:
        RunError: It is missing, or not valid in this version.
    """
    try:
        return ExperimentConfig.model_validate(record.get("config"))
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"])) or "config"
        raise RunError(
            f"The settings saved in config.json are not valid in this version: {key}.",
            "Without them the evaluation windows of the training are unknown.",
        ) from error
