"""Where layers come from: TOML files, environment variables and `--set` flags."""

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from transformer_playground.config.fields import Key, find_entry
from transformer_playground.config.layers import Layer
from transformer_playground.config.toml_text import shortened, toml_string
from transformer_playground.errors import ConfigError
from transformer_playground.files import shown_path

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16

TABLE_BY_VARIABLE = {
    "ML_PLAYGROUND_TRAIN_OVERRIDES": "train",
    "ML_PLAYGROUND_SAMPLE_OVERRIDES": "sample",
}

_POSITION = re.compile(r" \(at line (\d+), column (\d+)\)$")
_AT_END = " (at end of document)"
# The parser's time grows with the square of a dotted key's length: a file of one endless key
# would keep it busy for minutes.
_ENDLESS_KEY = re.compile(r"""(?<![\w"'-])(?:[\w"'-]+[ \t]*\.[ \t]*){64}""")
_TOO_DEEP = f"tables or lists are nested more than {MAX_DEPTH} deep"
UNSET_WORDS = ("none", "null")


def read_layer(path: Path, folder: Path) -> Layer:
    """Read one TOML file.

    Args:
        path: The file.
        folder: What relative paths in it are relative to.

    Raises:
        ConfigError: Missing, unreadable, too large, not UTF-8, or not TOML.
    """
    name = shown_path(path)
    text = _read_text(path, name)
    if _ENDLESS_KEY.search(text):
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
    """The layers that environment variables hold as JSON objects; empty variables hold none.

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
        ConfigError: Not of that form.
    """
    return [_flag_layer(flag) for flag in overrides]


def _read_text(path: Path, name: str) -> str:
    if not path.is_file():
        what = "is not a plain file" if path.exists() else "does not exist"
        raise ConfigError(f"The configuration file {name} {what}.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{name} cannot be read: {error.strerror}.") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"{name} is larger than {MAX_BYTES // 1024} KiB.",
            "A configuration holds settings only; keep data in other files.",
        )
    if data.startswith(b"\xef\xbb\xbf"):
        raise ConfigError(
            f"{name} starts with a byte order mark.", "Save it as UTF-8 without a signature."
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{name}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8.",
            "Save the file as UTF-8.",
        ) from error


def _syntax_error(name: str, text: str, complaint: str) -> ConfigError:
    lines = text.splitlines() or [""]
    line, column = len(lines), len(lines[-1]) + 1
    if position := _POSITION.search(complaint):
        line, column = int(position[1]), int(position[2])
        complaint = complaint[: position.start()]
    complaint = complaint.removesuffix(_AT_END)
    hint = (
        f"The line reads: {shortened(lines[line - 1].strip(), 100)}" if line <= len(lines) else ""
    )
    return ConfigError(f"{name}, line {line}, column {column}: {complaint}.", hint)


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
        raise ValueError(f"the name {toml_string(twice)} is there twice in one object")
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
    values = {name: _parse_value(key, value)}
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


def _parse_value(key: Key, text: str) -> Any:
    """A TOML value, or bare words as text.

    The bare words `none` and `null` unset a setting that may be unset; for every other setting
    (`model.positional_encoding` has a choice "none") they are words like any other.
    """
    text = text.strip()
    entry = find_entry(key)
    if entry is not None and entry.optional and text in UNSET_WORDS:
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
