"""A note in the dataset folder: which `prepare.py` made it, under which settings."""

import hashlib
import json
from pathlib import Path
from typing import Literal

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.errors import DataError
from transformer_playground.files import replace_json, sha256_file

STAMP_FILE = "preparer.json"


def write(config: PrepareConfig, preparer: Path, *, is_standard: bool) -> None:
    """Record that `preparer` made the dataset.

    Args:
        config: Its settings, dataset folder included.
        preparer: The `prepare.py`.
        is_standard: Whether the result is a dataset whose freshness the standard preparer can tell.

    Raises:
        DataError: The dataset folder is missing or cannot be written.
    """
    note = {**_fingerprints(config, preparer), "standard": is_standard}
    try:
        replace_json(config.dataset_dir / STAMP_FILE, note)
    except OSError as error:
        raise DataError(
            f"{config.dataset_dir} cannot be written: {error.strerror}.",
            "The preparer must leave its dataset in that folder.",
        ) from error


def compare(config: PrepareConfig, preparer: Path) -> Literal["standard", "own", "changed"]:
    """Tell what made the dataset, or that the preparer or its settings changed since."""
    try:
        note = json.loads((config.dataset_dir / STAMP_FILE).read_bytes())
    except (OSError, ValueError):
        return "changed"
    if not isinstance(note, dict):
        return "changed"
    is_standard = note.pop("standard", None)
    if note != _fingerprints(config, preparer):
        return "changed"
    return "standard" if is_standard else "own"


def _fingerprints(config: PrepareConfig, preparer: Path) -> dict[str, str]:
    # Where the folders are does not matter: a moved experiment keeps its dataset.
    settings = config.model_dump_json(exclude={"raw_dir", "dataset_dir"})
    return {
        "preparer_sha256": sha256_file(preparer),
        "settings_sha256": hashlib.sha256(settings.encode()).hexdigest(),
    }
