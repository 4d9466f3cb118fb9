"""Configuration layers from TOML files, environment variables and `--set` flags."""

import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Any

from transformer_playground.config.reference import find_field
from transformer_playground.config.toml import Key, shortened, toml_key, toml_string, toml_value
from transformer_playground.encodings import decode_config
from transformer_playground.errors import ConfigError, translate_os_errors
from transformer_playground.files import display_path

DEFAULT_ORIGIN = "default"
"""Shown as the origin of a value that no layer sets."""
_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class Layer:
    """Nested tables from one file, variable or flag; paths in it are relative to `folder`."""

    name: str
    folder: Path
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """A problem in one line; `where` is empty if the message contains the origin."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


@dataclass
class Merged:
    """Merged tables and, for each key, the layer that set it last."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, Layer] = field(default_factory=dict)

    def origin(self, key: Key) -> Layer | None:
        """The layer that set `key` or its nearest parent table; None for a default."""
        prefixes = (key[:length] for length in range(len(key), 0, -1))
        return next((self.origins[prefix] for prefix in prefixes if prefix in self.origins), None)


def merge(layers: Iterable[Layer]) -> Merged:
    """Merge layers; later layers win. Tables merge, any other value is replaced."""
    merged = Merged()
    for layer in layers:
        _overlay(merged, merged.values, layer.values, (), layer)
    return merged


def _overlay(
    merged: Merged, target: dict[str, Any], values: Mapping[str, Any], prefix: Key, layer: Layer
) -> None:
    for name, value in values.items():
        key = (*prefix, name)
        merged.origins[key] = layer
        if isinstance(value, Mapping) and isinstance(target.get(name), dict):
            _overlay(merged, target[name], value, key, layer)
            continue
        depth = len(key)
        for known in [each for each in merged.origins if each[:depth] == key and each != key]:
            del merged.origins[known]
        if isinstance(value, Mapping):
            target[name] = {}
            _overlay(merged, target[name], value, key, layer)
        else:
            target[name] = value


def validate_values(layer: Layer) -> tuple[Layer, list[Problem]]:
    """Remove values that no setting accepts.

    These are dates and times, infinities and NaN, integers beyond 64 bits, text that is not valid
    Unicode, and a plain value where the schema has a table (it would hide the layers below).

    Returns:
        The valid part of the layer, and one problem for each removed value.
    """
    problems: list[Problem] = []

    def valid(table: Mapping[str, Any], prefix: Key) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, value in table.items():
            key = (*prefix, name)
            if isinstance(value, Mapping):
                kept[name] = valid(value, key)
            elif fault := _table_error(key) or _value_error(value):
                shown = shortened(toml_value(value))
                problems.append(Problem(layer.name, f"{toml_key(key)} = {shown} {fault}."))
            else:
                kept[name] = value
        return kept

    return Layer(layer.name, layer.folder, valid(layer.values, ())), problems


def _table_error(key: Key) -> str:
    entry = find_field(key)
    if entry is None or not entry.is_table:
        return ""
    return f"must be a table: write [{toml_key(key)}] and its keys below"


def _value_error(value: Any) -> str:
    """Why no setting accepts `value`; empty if one may."""
    match value:
        case date() | time():
            return "is a date or time, which no setting accepts; quote it to make it text"
        case float() if not math.isfinite(value):
            return "is not a finite number"
        case int() if value not in _INT64:
            return "is too large: integers must fit in 64 bits"
        case str() if any("\ud800" <= char <= "\udfff" for char in value):
            return "is not valid Unicode text"
        case list() | Mapping():
            items = value.values() if isinstance(value, Mapping) else value
            return next((fault for item in items if (fault := _value_error(item))), "")
    return ""


MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
TABLE_BY_VARIABLE = {
    "ML_PLAYGROUND_TRAIN_OVERRIDES": "train",
    "ML_PLAYGROUND_SAMPLE_OVERRIDES": "sample",
}
_POSITION = re.compile(r" \(at line (\d+), column (\d+)\)$")
_AT_END = " (at end of document)"
# Parsing takes time quadratic in the length of a dotted key: minutes for a file of one long key.
_LONG_KEY = re.compile(r"""(?<![\w"'-])(?:[\w"'-]+[ \t]*\.[ \t]*){64}""")
_TOO_DEEP = f"tables or lists are nested more than {MAX_DEPTH} deep"
UNSET_VALUES = ("none", "null")


def read_layer(path: Path, folder: Path) -> Layer:
    """Read a TOML file with paths relative to `folder`.

    Raises:
        ConfigError: Missing, unreadable, too large, not UTF-8, or not TOML.
    """
    name = display_path(path)
    text = _read_text(path, name)
    if _LONG_KEY.search(text):
        raise ConfigError(f"{name}: {_TOO_DEEP}.")
    try:
        values = tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(f"{name}: {_TOO_DEEP}.") from error
    except ValueError as error:
        raise _syntax_error(name, text, str(error)) from error
    _check_depth(name, values)
    return Layer(name, folder, values)


def environment_layers(environ: Mapping[str, str]) -> list[Layer]:
    """Layers from environment variables with JSON objects; empty variables are ignored.

    Raises:
        ConfigError: Not JSON, or not a JSON object.
    """
    return [
        Layer(variable, Path.cwd(), {table: _json_object(variable, environ[variable])})
        for variable, table in TABLE_BY_VARIABLE.items()
        if environ.get(variable, "").strip()
    ]


def flag_layers(overrides: Iterable[str]) -> list[Layer]:
    """One layer for each `--set KEY=VALUE`.

    Raises:
        ConfigError: A flag does not have that form.
    """
    return [_flag_layer(flag) for flag in overrides]


def _read_text(path: Path, name: str) -> str:
    if not path.is_file():
        what = "is not a plain file" if path.exists() else "does not exist"
        raise ConfigError(f"The configuration file {name} {what}.")
    with translate_os_errors(ConfigError, f"{name} cannot be read"), path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"{name} is larger than {MAX_BYTES // 1024} KiB.",
            "A configuration holds settings only; keep data in other files.",
        )
    if data.startswith(b"\xef\xbb\xbf"):
        raise ConfigError(
            f"{name} starts with a byte order mark.", "Save it as UTF-8 without a signature."
        )
    return decode_config(data, name)


def _syntax_error(name: str, text: str, message: str) -> ConfigError:
    lines = text.splitlines() or [""]
    line, column = len(lines), len(lines[-1]) + 1
    if position := _POSITION.search(message):
        line, column = int(position[1]), int(position[2])
        message = message[: position.start()]
    message = message.removesuffix(_AT_END)
    hint = f"Line {line}: {shortened(lines[line - 1].strip(), 100)}" if line <= len(lines) else ""
    return ConfigError(f"{name}, line {line}, column {column}: {message}.", hint)


def _check_depth(name: str, values: Mapping[str, Any]) -> None:
    level: list[Any] = [values]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for parent in level
            for child in (parent.values() if isinstance(parent, Mapping) else parent)
            if isinstance(child, Mapping | list)
        ]
    if level:
        raise ConfigError(f"{name}: {_TOO_DEEP}.")


def _json_object(variable: str, text: str) -> dict[str, Any]:
    hint = 'It must hold a JSON object such as {"runtime": {"seed": 1}}.'
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{variable} is larger than {MAX_BYTES // 1024} KiB.", hint)
    try:
        values = json.loads(text, object_pairs_hook=_unique_pairs)
    except RecursionError as error:
        raise ConfigError(f"{variable}: {_TOO_DEEP}.") from error
    except ValueError as error:
        raise ConfigError(f"{variable} is not valid JSON: {error}.", hint) from error
    if not isinstance(values, dict):
        raise ConfigError(f"{variable} is not a JSON object.", hint)
    _check_depth(variable, values)
    return values


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"duplicate name {toml_string(twice)} in an object")
    return table


def _flag_layer(flag: str) -> Layer:
    text, separator, value = flag.partition("=")
    if not separator:
        raise ConfigError(
            f"--set {shortened(flag)} has no '='.",
            "Write --set dotted.key=value, for example --set train.runtime.max_iters=500.",
        )
    key = _parse_key(text.strip())
    *tables, name = key
    values = {name: parse_value(key, value)}
    for table in reversed(tables):
        values = {table: values}
    _check_depth(f"--set {text}", values)
    return Layer("--set", Path.cwd(), values)


def _parse_key(text: str) -> Key:
    fault = ConfigError(
        f"--set {shortened(text)}=… does not start with a dotted key.",
        "Write --set dotted.key=value, for example --set model.n_layer=6.",
    )
    if "\n" in text or text.count(".") >= MAX_DEPTH:
        raise fault
    try:
        node: Any = tomllib.loads(f"{text} = 0")
    except ValueError as error:
        raise fault from error
    key: Key = ()
    while isinstance(node, dict):
        ((part, node),) = node.items()
        key = (*key, part)
    return key


def parse_value(key: Key, text: str) -> Any:
    """A TOML value; unquoted text that is not TOML is a string.

    `none` and `null` unset an optional setting; for other settings they are strings
    (`model.positional_encoding` has a choice "none").
    """
    text = text.strip()
    entry = find_field(key)
    if entry is not None and entry.optional and text in UNSET_VALUES:
        return None
    try:
        document = tomllib.loads(f"value = {text}\n")
    except (ValueError, RecursionError) as error:
        if text[:1] in ("[", "{", '"', "'"):
            raise ConfigError(
                f"--set {'.'.join(key)}={shortened(text)} is not a TOML value.",
                "Quote text like this: --set 'key=\"some text\"'.",
            ) from error
        return text
    return document["value"] if len(document) == 1 else text
