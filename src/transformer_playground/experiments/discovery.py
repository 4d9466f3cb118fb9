"""Experiment discovery: find and load experiment folders, without running their code."""

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from transformer_playground.errors import UsageError
from transformer_playground.files import display_path

if TYPE_CHECKING:
    from transformer_playground.config.loading import LoadedConfig

EXPERIMENTS_DIR = Path("experiments")
CONFIG_FILE = "config.toml"
DEFAULTS_FILE = "default_config.toml"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NAME_RULE = "Names start with a letter or digit and hold up to 100 letters, digits, '.', '_', '-'."
_LISTED = 20
_MAX_START_SECONDS = 30

# In a wheel the experiments of the project lie here; in a checkout, at its root.
_PACKAGED = Path(__file__).with_name("bundled")


@dataclass(frozen=True)
class Experiment:
    """One experiment on disk; relative paths of the defaults are relative to its `folder`."""

    name: str
    folder: Path
    config_path: Path


def check_experiment_name(name: str) -> str:
    """Return `name`; UsageError if it is no valid experiment name."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{name}' is not an experiment name.", _NAME_RULE)
    return name


def discover(experiments_dir: Path) -> list[Experiment]:
    """List the folders of `experiments_dir` that have a `config.toml`, by name.

    Experiments with an invalid configuration are listed, too; folders with an invalid name and
    links out of `experiments_dir` are not. A missing or unreadable `experiments_dir` counts as
    empty; `list_folders` says so.
    """
    try:
        names = sorted(entry.name for entry in experiments_dir.iterdir())
    except OSError:
        return []
    return [
        _experiment(experiments_dir, name)
        for name in names
        if _NAME.fullmatch(name)
        and _is_inside(experiments_dir, name)
        and os.path.lexists(experiments_dir / name / CONFIG_FILE)
    ]


def list_folders(experiments_dir: Path) -> list[Experiment]:
    """Every visible folder of `experiments_dir`, by name, usable as an experiment or not.

    `find_experiment` raises the reason for one that `discover` leaves out. A missing
    `experiments_dir` counts as empty.

    Raises:
        UsageError: `experiments_dir` cannot be read or searched, or is a file.
    """
    try:
        names = sorted(entry.name for entry in experiments_dir.iterdir() if _may_be_meant(entry))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unreadable(experiments_dir, error) from error
    return [_experiment(experiments_dir, name) for name in names]


def _unreadable(folder: Path, error: OSError) -> UsageError:
    hint = "Give yourself the permission to read and search it."
    if isinstance(error, NotADirectoryError):
        hint = "Name a folder of experiments with --experiments-dir."
    return UsageError(f"The folder {display_path(folder)} cannot be read: {error.strerror}.", hint)


def _may_be_meant(entry: Path) -> bool:
    """Whether an entry is a folder, or a link to one or to nothing, that a user put there."""
    if entry.name.startswith(".") or entry.name == "__pycache__":
        return False
    return entry.is_dir() or _is_dangling(entry)


def _is_dangling(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def bundled_dir() -> Path:
    """Folder of the experiments that come with the package."""
    return _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[3] / "experiments"


def is_bundled(name: str) -> bool:
    """Whether an experiment of this name comes with the package."""
    return name in [experiment.name for experiment in discover(bundled_dir())]


def start_experiment(experiments: Iterable[Experiment]) -> tuple[str, int] | None:
    """The experiment to start with, and its seconds: the fastest of at most half a minute.

    Only bundled experiments with unchanged settings count, since the time was measured with these.
    """
    measured = ((_measured_seconds(each), each.name) for each in experiments)
    usable = [each for each in measured if 0 < each[0] <= _MAX_START_SECONDS]
    if not usable:
        return None
    seconds, name = min(usable)
    return name, seconds


def _measured_seconds(experiment: Experiment) -> int:
    import tomllib

    try:
        text = experiment.config_path.read_bytes()
        if text != (bundled_dir() / experiment.name / CONFIG_FILE).read_bytes():
            return 0
        table = tomllib.loads(text.decode("utf-8")).get("experiment", {})
    except (OSError, ValueError):
        return 0
    return int(table.get("run_seconds", 0))


def find_experiment(experiments_dir: Path, name: str) -> Experiment:
    """Find an experiment by its exact name.

    Raises:
        UsageError: There is no such experiment, it cannot be read, or it is a link out of
            `experiments_dir`.
    """
    check_experiment_name(name)
    folder = experiments_dir / name
    if os.path.lexists(folder) and not _is_inside(experiments_dir, name):
        raise UsageError(
            f"The experiment '{name}' is a link that leads out of {display_path(experiments_dir)}.",
            "Copy the folder instead, or give its folder's parent as --experiments-dir.",
        )
    try:
        # Unlike lexists(), this tells a folder that cannot be searched from an empty one.
        os.lstat(folder / CONFIG_FILE)
        return _experiment(experiments_dir, name)
    except PermissionError as error:
        raise _unreadable(folder, error) from error
    except OSError:
        pass
    # Says why, if none of the folders can be read.
    list_folders(experiments_dir)
    if _is_dangling(folder):
        raise UsageError(
            f"The experiment '{name}' is a link without a target.", "Correct or delete the link."
        )
    if folder.is_dir():
        raise UsageError(
            f"The folder {display_path(folder)} has no {CONFIG_FILE}.",
            f"Add one; an empty {CONFIG_FILE} is valid.",
        )
    raise UsageError(f"There is no experiment '{name}'.", _suggestion(experiments_dir, name))


def load_experiment(
    experiments_dir: Path,
    name: str | None,
    config_path: Path | None,
    overrides: Sequence[str],
    environ: Mapping[str, str],
) -> tuple[Experiment, "LoadedConfig"]:
    """Find an experiment and load its configuration.

    Args:
        experiments_dir: Folder of experiments and `default_config.toml`; its parent is the project.
        name: Name of the experiment; None to use `config_path` alone.
        config_path: File to load instead of the experiment's own.
        overrides: `dotted.key=value` each.
        environ: Environment variables, for the override variables.

    Raises:
        UsageError: Neither name nor file is given, or there is no such experiment.
        ConfigError: The configuration is not valid.
    """
    experiment = _chosen(experiments_dir, name, config_path)
    defaults = experiments_dir / DEFAULTS_FILE
    # Imported late: listing experiments must not load pydantic.
    from transformer_playground.config.loading import load_config

    loaded = load_config(
        experiment.config_path,
        defaults=defaults if os.path.lexists(defaults) else None,
        overrides=overrides,
        environ=environ,
        home=experiment.folder,
        project=experiments_dir.resolve().parent,
    )
    return experiment, loaded


def _chosen(experiments_dir: Path, name: str | None, config_path: Path | None) -> Experiment:
    if name is None and config_path is None:
        raise UsageError("No experiment given.", _suggestion(experiments_dir, ""))
    if name is None:
        assert config_path is not None
        return experiment_of_file(config_path)
    experiment = find_experiment(experiments_dir, name)
    return replace(experiment, config_path=config_path) if config_path else experiment


def experiment_of_file(config_path: Path) -> Experiment:
    """The experiment of a loose file, named after its experiment folder or else after the file."""
    folder = config_path.absolute().parent.resolve()
    stem = folder.name if (folder / CONFIG_FILE).is_file() else config_path.stem
    name = re.sub(r"[^A-Za-z0-9._-]", "-", stem).lstrip("._-")[:100]
    return Experiment(name or "experiment", folder, config_path)


def _experiment(experiments_dir: Path, name: str) -> Experiment:
    folder = experiments_dir / name
    return Experiment(name, folder, folder / CONFIG_FILE)


def _is_inside(experiments_dir: Path, name: str) -> bool:
    root = os.path.realpath(experiments_dir)
    return Path(os.path.realpath(experiments_dir / name)).parent.is_relative_to(root)


def _suggestion(experiments_dir: Path, name: str) -> str:
    known = [experiment.name for experiment in discover(experiments_dir)]
    place = display_path(experiments_dir)
    if is_bundled(name):
        return f"It comes with the package: tp new {name} --from {name}"
    bundled = [experiment.name for experiment in discover(bundled_dir())]
    near = difflib.get_close_matches(name, dict.fromkeys([*known, *bundled]), n=3)
    if not known and not near:
        return f"{place} has none; `tp new NAME` creates one. Bundled: {', '.join(bundled)}."
    if near:
        return f"Did you mean {' or '.join(near)}?"
    more = " …" if len(known) > _LISTED else ""
    return f"{place} has {', '.join(known[:_LISTED])}{more}."
