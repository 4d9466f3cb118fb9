"""From files, environment and flags to one validated configuration."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from transformer_playground.config.errors import config_error, validation_problems
from transformer_playground.config.finetuning import is_model_path
from transformer_playground.config.reference import ANY_NAME, schema_index
from transformer_playground.config.sample import PROMPT_FILE
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.config.sources import (
    DEFAULT_ORIGIN,
    Layer,
    Merged,
    Problem,
    environment_layers,
    flag_layers,
    merge,
    read_layer,
    validate_values,
)
from transformer_playground.config.toml import Key, set_value, shortened, toml_key, toml_string
from transformer_playground.files import display_path

_PROMPT = ("sample", "sample", "start")
_MODEL = ("hf_model", "model_name")


def resolve_paths(merged: Merged, *, home: Path, project: Path) -> list[Problem]:
    """Make every path in `merged` absolute, the schema's defaults included.

    A stated path is relative to the folder of the layer that states it, a default to `home`. A
    relative path, links followed, must stay inside the project or, stated in a file elsewhere,
    inside that file's folder. `~` is the user's home folder and makes a path absolute. The same
    holds for the path in a prompt that is read from a file, and for a pretrained model's folder.

    Args:
        merged: Changed in place.
        home: The experiment's folder.
        project: The folder that holds the experiments folder.

    Returns:
        One problem for each path that cannot be used; it is taken out of `merged`.
    """
    problems: list[Problem] = []
    for entry in schema_index().values():
        if not (entry.is_path or entry.key in (_PROMPT, _MODEL)) or ANY_NAME in entry.key:
            continue
        *parents, name = entry.key
        table: dict[str, Any] = merged.values
        for parent in parents:
            table = table.setdefault(parent, {})
        stated = name in table
        origin = merged.origin(entry.key) if stated else None
        where, folder = (origin.name, origin.folder) if origin else (DEFAULT_ORIGIN, home)
        text = table[name] if stated else entry.default
        if not isinstance(text, str | Path):
            continue
        text = str(text)
        if not _names_path(entry.key, text):
            continue
        prefix = PROMPT_FILE if entry.key == _PROMPT else ""
        try:
            table[name] = f"{prefix}{_absolute(text.removeprefix(prefix), folder, project)}"
        except ValueError as error:
            table.pop(name, None)
            shown = shortened(toml_string(text))
            problems.append(Problem(where, f"{entry.name} = {shown} {error}"))
    return problems


def _names_path(key: Key, text: str) -> bool:
    if key == _PROMPT:
        return text.startswith(PROMPT_FILE)
    return key != _MODEL or is_model_path(text)


def _absolute(text: str, folder: Path, project: Path) -> Path:
    if not text or "\0" in text:
        raise ValueError("is not a path.")
    try:
        stated = Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError("names a home folder that is not known.") from error
    target = Path(os.path.realpath(folder / stated))
    if stated.is_absolute():
        return target
    roots = [Path(os.path.realpath(root)) for root in (project, folder)]
    if not any(target.is_relative_to(root) for root in roots):
        raise ValueError(
            f"leads out of the project ({roots[0]}); "
            "write an absolute path if it is meant to be elsewhere."
        )
    return target


_NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class LoadedConfig:
    """A valid configuration and where its values come from.

    Args:
        config: Every setting; paths are absolute.
        provenance: Dotted key -> file, variable or flag, for each value that is not the default.
        path: The experiment's own configuration file.
    """

    config: ExperimentConfig
    provenance: dict[str, str]
    path: Path


def load_config(
    path: Path,
    *,
    defaults: Path | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = _NO_ENVIRONMENT,
    home: Path | None = None,
    project: Path | None = None,
) -> LoadedConfig:
    """Lay all sources over each other and validate the whole once.

    Later wins: `defaults`, the file at `path`, the JSON objects in the environment, `overrides`.
    Relative paths in the file are relative to its folder, those in the environment and in
    `overrides` to the current directory. Those of the schema and of `defaults`, which speak for
    each experiment, are relative to `home`.

    Args:
        path: The experiment's `config.toml`.
        defaults: A file with values for every experiment.
        overrides: `dotted.key=value` each, as given to `--set`.
        environ: Where to look for `ML_PLAYGROUND_TRAIN_OVERRIDES` and its like.
        home: The experiment's folder; left out, that of `path`.
        project: The folder that relative paths may not leave; left out, `home`.

    Raises:
        ConfigError: With every problem that was found.
    """
    stated_in = path.absolute().parent
    home = home.absolute() if home else stated_in
    layers: list[Layer] = []
    if defaults is not None:
        layers.append(read_layer(defaults, home))
    layers.append(read_layer(path, stated_in))
    layers += environment_layers(environ)
    layers += flag_layers(overrides)

    return combine(layers, path=path, home=home, project=project or home, hint=_hint(defaults))


def combine(
    layers: list[Layer], *, path: Path, home: Path, project: Path, hint: str = ""
) -> LoadedConfig:
    """Validate the whole of some layers, the later ones winning.

    Raises:
        ConfigError: With every problem that was found, and `hint`.
    """
    problems: list[Problem] = []
    for number, layer in enumerate(layers):
        layers[number], found = validate_values(layer)
        problems += found
    merged = merge(layers)
    problems += resolve_paths(merged, home=home, project=project)
    config = _validate(merged, problems, hint)
    return LoadedConfig(config, _provenance(config, merged, home), path)


def _hint(defaults: Path | None) -> str:
    return f"All settings and their defaults are in {display_path(defaults)}." if defaults else ""


def _validate(merged: Merged, problems: list[Problem], hint: str) -> ExperimentConfig:
    try:
        config = ExperimentConfig.model_validate(merged.values)
    except ValidationError as error:
        # A value that was taken out above may be the cause of a conflict: it would mislead.
        raise config_error(
            [*problems, *validation_problems(error, merged, conflicts=not problems)], hint
        ) from error
    if problems:
        raise config_error(problems, hint)
    return config


def _provenance(config: ExperimentConfig, merged: Merged, home: Path) -> dict[str, str]:
    defaults = Merged()
    resolve_paths(defaults, home=home, project=home)
    default_values = dict(leaves(ExperimentConfig.model_validate(defaults.values).model_dump()))
    found: dict[str, str] = {}
    for key, value in leaves(config.model_dump()):
        origin = merged.origins.get(key)
        if origin is not None and (key not in default_values or default_values[key] != value):
            found[toml_key(key)] = origin.name
    return found


def leaves(table: Mapping[str, Any], prefix: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Every value of nested tables with its key, depth first."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*prefix, name))
        else:
            yield (*prefix, name), value


def set_overrides(text: str, overrides: Iterable[str]) -> str:
    """The TOML document with `dotted.key=value` settings written into it, in their order.

    Raises:
        ConfigError: One of them is not of that form, or cannot be written.
    """
    for layer in flag_layers(overrides):
        for key, value in leaves(layer.values):
            text = set_value(text, key, value)
    return text
