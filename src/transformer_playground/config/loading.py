"""Loading of a configuration from files, environment variables and flags."""

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
    """Make every path in `merged` absolute, in place, including the schema's defaults.

    A path is relative to the folder of the layer that sets it, a default to `home`. A relative
    path must stay inside `project` or inside the folder of the layer after links are resolved. `~`
    is expanded. The path of a prompt file and the folder of a base model are resolved as well.

    Returns:
        One problem for each unusable path, which is removed from `merged`.
    """
    problems: list[Problem] = []
    for entry in schema_index().values():
        if not (entry.is_path or entry.key in (_PROMPT, _MODEL)) or ANY_NAME in entry.key:
            continue
        *parents, name = entry.key
        table: dict[str, Any] = merged.values
        for parent in parents:
            table = table.setdefault(parent, {})
        origin = merged.origin(entry.key) if name in table else None
        where, folder = (origin.name, origin.folder) if origin else (DEFAULT_ORIGIN, home)
        value = table.get(name, entry.default)
        text = str(value)
        prefix = PROMPT_FILE if entry.key == _PROMPT else ""
        is_hub_name = entry.key == _MODEL and not is_model_path(text)
        if not isinstance(value, str | Path) or not text.startswith(prefix) or is_hub_name:
            continue
        try:
            table[name] = f"{prefix}{_absolute(text.removeprefix(prefix), folder, project)}"
        except ValueError as error:
            table.pop(name, None)
            shown = shortened(toml_string(text))
            problems.append(Problem(where, f"{entry.name} = {shown} {error}"))
    return problems


def _absolute(text: str, folder: Path, project: Path) -> Path:
    if not text or "\0" in text:
        raise ValueError("is not a path.")
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError("has an unknown home folder.") from error
    target = Path(os.path.realpath(folder / path))
    if path.is_absolute():
        return target
    roots = [Path(os.path.realpath(root)) for root in (project, folder)]
    if not any(target.is_relative_to(root) for root in roots):
        raise ValueError(
            f"is outside the project ({roots[0]}); use an absolute path if this is intended."
        )
    return target


_NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class LoadedConfig:
    """A valid configuration with absolute paths, and the origin of its values.

    `provenance` maps the dotted key of each non-default value to its file, variable or flag;
    `path` is the experiment's own configuration file.
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
    """Merge all sources and validate the result once.

    Later sources win: `defaults`, the file at `path`, the environment, `overrides`. Relative paths
    in the file are relative to its folder, those in the environment and in `overrides` to the
    current directory, those of the schema and of `defaults` to `home`.

    Args:
        path: The experiment's `config.toml`.
        defaults: A file with values for all experiments.
        overrides: `--set` flags of the form `dotted.key=value`.
        environ: Environment with `ML_PLAYGROUND_TRAIN_OVERRIDES` and similar variables.
        home: The experiment's folder; default: that of `path`.
        project: The folder that must contain relative paths; default: `home`.

    Raises:
        ConfigError: With all problems found.
    """
    folder = path.absolute().parent
    home = home.absolute() if home else folder
    layers = [
        *([] if defaults is None else [read_layer(defaults, home)]),
        read_layer(path, folder),
        *environment_layers(environ),
        *flag_layers(overrides),
    ]
    hint = f"All settings and their defaults are in {display_path(defaults)}." if defaults else ""
    return combine(layers, path=path, home=home, project=project or home, hint=hint)


def combine(
    layers: Sequence[Layer], *, path: Path, home: Path, project: Path, hint: str = ""
) -> LoadedConfig:
    """Merge and validate layers; later layers win.

    Raises:
        ConfigError: With all problems found, and `hint`.
    """
    layers, problems = validate_layers(layers)
    merged = merge(layers)
    problems += resolve_paths(merged, home=home, project=project)
    try:
        config = ExperimentConfig.model_validate(merged.values)
    except ValidationError as error:
        # A conflict may be caused by a value that was removed above.
        problems += validation_problems(error, merged, conflicts=not problems)
        raise config_error(problems, hint) from error
    if problems:
        raise config_error(problems, hint)
    return LoadedConfig(config, _provenance(config, merged, home), path)


def validate_layers(layers: Iterable[Layer]) -> tuple[list[Layer], list[Problem]]:
    """`validate_values` for several layers."""
    valid, problems = zip(*map(validate_values, layers), strict=True)
    return list(valid), [problem for each in problems for problem in each]


def _provenance(config: ExperimentConfig, merged: Merged, home: Path) -> dict[str, str]:
    defaults = Merged()
    resolve_paths(defaults, home=home, project=home)
    default_values = dict(leaves(ExperimentConfig.model_validate(defaults.values).model_dump()))
    return {
        toml_key(key): merged.origins[key].name
        for key, value in leaves(config.model_dump())
        if key in merged.origins and (key not in default_values or default_values[key] != value)
    }


def leaves(table: Mapping[str, Any], prefix: Key = ()) -> Iterator[tuple[Key, Any]]:
    """All values of nested tables with their keys, depth first."""
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from leaves(value, (*prefix, name))
        else:
            yield (*prefix, name), value


def set_overrides(text: str, overrides: Iterable[str]) -> str:
    """Write `dotted.key=value` settings into a TOML document, in order.

    Raises:
        ConfigError: A setting does not have that form, or cannot be written.
    """
    for layer in flag_layers(overrides):
        for key, value in leaves(layer.values):
            text = set_value(text, key, value)
    return text
