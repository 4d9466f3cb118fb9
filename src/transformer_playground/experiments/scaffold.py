"""A new experiment that runs as it stands, from a template."""

import os
import shutil
import string
import tempfile
from pathlib import Path
from typing import Literal

from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import CONFIG_FILE, check_experiment_name
from transformer_playground.files import display_path, fsync_folder, replace_text

Template = Literal["char", "gpt2", "sentencepiece"]

_TEMPLATES = Path(__file__).with_name("templates")
_README = "README.md"


def scaffold(experiments_dir: Path, name: str, template: Template) -> list[Path]:
    """Write `experiments_dir/name`: its settings, a README and an empty `raw/`.

    Whole or not at all: the folder appears under its name when everything is in it.

    Args:
        experiments_dir: Made if it is missing.
        name: The new experiment.
        template: Which tokenizer it starts with.

    Returns:
        The files that were written.

    Raises:
        UsageError: The name cannot be one or is taken, or the folder cannot be written.
    """
    folder = experiments_dir / check_experiment_name(name)
    if os.path.lexists(folder):
        raise UsageError(
            f"{display_path(folder)} is there already.", "Choose another name, or delete it first."
        )
    texts = _rendered(name, template)
    try:
        _write_folder(folder, texts)
    except OSError as error:
        raise UsageError(f"{display_path(folder)} cannot be written: {error.strerror}.") from error
    return [folder / file for file in texts]


def _rendered(name: str, template: Template) -> dict[str, str]:
    readme = string.Template(_text(_README))
    return {
        CONFIG_FILE: _text(f"{template}.toml"),
        _README: readme.substitute(name=name, template=template),
        ".gitignore": "datasets/\n",
    }


def _text(file: str) -> str:
    return (_TEMPLATES / file).read_text(encoding="utf-8")


def _write_folder(folder: Path, texts: dict[str, str]) -> None:
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    # A leading dot: no listing shows the folder before it is whole.
    building = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        # mkdtemp makes private folders; an experiment is meant to be shared.
        building.chmod(0o755)
        (building / "raw").mkdir()
        for file, text in texts.items():
            replace_text(building / file, text)
        building.rename(folder)
        fsync_folder(parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)
