"""Create experiments: from a template, or as a copy of another or a bundled experiment."""

import os
import re
import shutil
import string
import tempfile
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import (
    CONFIG_FILE,
    Experiment,
    bundled_dir,
    check_experiment_name,
    find_experiment,
    is_bundled,
)
from transformer_playground.files import (
    display_path,
    fsync_folder,
    remove_abandoned,
    replace_text,
)

Template = Literal["char", "gpt2", "sentencepiece", "lora"]

_TEMPLATES = Path(__file__).with_name("templates")
_README = "README.md"
# Names that `mkdtemp` makes.
_UNFINISHED = re.compile(r"\.new-[a-z0-9_]{8}")
# What `prepare` makes, caches of Python, and unfinished writes.
_NOT_COPIED = shutil.ignore_patterns("datasets", "__pycache__", ".*.tmp", "*.pyc")


def scaffold(experiments_dir: Path, name: str, template: Template) -> list[Path]:
    """Create the folder of a new experiment, atomically: settings, a README and an empty `raw/`.

    Args:
        experiments_dir: Created if missing.
        name: Name of the new experiment.
        template: Tokenizer of a model trained from scratch, or "lora" to finetune a base model.

    Returns:
        The written files.

    Raises:
        UsageError: The name is invalid or taken, or the folder cannot be written.
    """
    texts = _rendered(name, template)

    def write(building: Path) -> None:
        (building / "raw").mkdir()
        for file, text in texts.items():
            replace_text(building / file, text)

    folder = _create(experiments_dir, name, write)
    return [folder / file for file in texts]


def copy_experiment(experiments_dir: Path, name: str, source: str) -> list[Path]:
    """Create an experiment as a copy of another one, without its dataset, atomically.

    Args:
        experiments_dir: Created if missing.
        name: Name of the new experiment.
        source: Name of an experiment in `experiments_dir`, or else of a bundled one.

    Returns:
        The written files.

    Raises:
        UsageError: The name is invalid or taken, there is no such source, or a folder cannot be
            read or written.
    """
    here = os.path.lexists(experiments_dir / check_experiment_name(source))
    origin = find_experiment(
        experiments_dir if here or not is_bundled(source) else bundled_dir(), source
    )

    def write(building: Path) -> None:
        shutil.copytree(
            origin.folder, building, symlinks=True, ignore=_NOT_COPIED, dirs_exist_ok=True
        )
        (building / "raw").mkdir(exist_ok=True)

    folder = _create(experiments_dir, name, write)
    return sorted(path for path in folder.rglob("*") if path.is_file())


def find_or_install(
    experiments_dir: Path, name: str, notify: Callable[[str], object]
) -> Experiment:
    """Find an experiment; a bundled one that is not there yet is copied into place first.

    Args:
        experiments_dir: Created if missing.
        name: Name of the experiment.
        notify: Called with one sentence if something was copied.

    Raises:
        UsageError: There is no such experiment, or it cannot be written.
    """
    folder = experiments_dir / check_experiment_name(name)
    if not os.path.lexists(folder) and is_bundled(name):
        copy_experiment(experiments_dir, name, name)
        notify(f"copied the bundled experiment {name} to {display_path(folder)}")
    return find_experiment(experiments_dir, name)


def _create(experiments_dir: Path, name: str, write: Callable[[Path], None]) -> Path:
    """Create an experiment's folder, filled by `write`, in one step."""
    folder = experiments_dir / check_experiment_name(name)
    if os.path.lexists(folder):
        raise UsageError(
            f"{display_path(folder)} already exists.", "Choose another name, or delete it first."
        )
    try:
        _write_folder(folder, write)
    except OSError as error:
        reason = error.strerror or "not every file could be copied"
        raise UsageError(f"{display_path(folder)} cannot be written: {reason}.") from error
    return folder


def _rendered(name: str, template: Template) -> dict[str, str]:
    config = _text(f"{template}.toml")
    table = tomllib.loads(config)["experiment"]
    readme = string.Template(_text(f"README.{table.get('kind', 'gpt')}.md"))
    return {
        CONFIG_FILE: config,
        _README: readme.substitute(name=name, template=template, description=table["description"]),
        ".gitignore": "datasets/\n",
    }


def _text(file: str) -> str:
    return (_TEMPLATES / file).read_text(encoding="utf-8")


def _write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(parent, _UNFINISHED)
    # With the leading dot no listing shows the incomplete folder.
    building = Path(tempfile.mkdtemp(prefix=".new-", dir=parent))
    try:
        write(building)
        # mkdtemp creates private folders, and copies of an installed package may be read-only.
        building.chmod(0o755)
        building.rename(folder)
        fsync_folder(parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)
