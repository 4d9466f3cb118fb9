"""Layers of configuration and how they become one whole: later wins, key by key."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Any

from transformer_playground.config.fields import Key, find_entry
from transformer_playground.config.toml_text import shortened, toml_key, toml_value

DEFAULT_ORIGIN = "default"
"""What stands where the place of a value is named and no layer set it."""

_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True)
class Layer:
    """Values from one place.

    Args:
        name: The file, variable or flag, as errors and provenance show it.
        folder: What relative paths in it are relative to.
        values: The nested tables.
    """

    name: str
    folder: Path
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, on one line; `where` is empty if the message says it."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


@dataclass
class Merged:
    """The merged tables and, for each key in them, the layer that set it last."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, Layer] = field(default_factory=dict)

    def origin(self, key: Key) -> Layer | None:
        """The layer that set `key`, or the nearest table around it; `None` for a default."""
        while key:
            if key in self.origins:
                return self.origins[key]
            key = key[:-1]
        return None


def merge(layers: Iterable[Layer]) -> Merged:
    """Lay `layers` over each other. Tables merge; any other value replaces what was there."""
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
        _forget_below(merged, key)
        if isinstance(value, Mapping):
            target[name] = {}
            _overlay(merged, target[name], value, key, layer)
        else:
            target[name] = value


def _forget_below(merged: Merged, key: Key) -> None:
    depth = len(key)
    for known in [known for known in merged.origins if len(known) > depth and known[:depth] == key]:
        del merged.origins[known]


def screen(layer: Layer) -> tuple[Layer, list[Problem]]:
    """Take out values that no setting accepts, whatever its type.

    These are the things that TOML or JSON can write and a run could not store or would misread:
    dates and times, infinities and NaN, integers beyond 64 bits, text that is not valid Unicode,
    and a plain value where the schema has a table (which would hide the layers below).

    Returns:
        The layer without them, and one problem for each.
    """
    problems: list[Problem] = []
    values = _screen_table(layer.values, (), layer, problems)
    return Layer(layer.name, layer.folder, values), problems


def _screen_table(
    table: Mapping[str, Any], prefix: Key, layer: Layer, problems: list[Problem]
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in table.items():
        key = (*prefix, name)
        if isinstance(value, Mapping):
            kept[name] = _screen_table(value, key, layer, problems)
        elif fault := _shape_fault(key) or _value_fault(value):
            shown = shortened(toml_value(value))
            problems.append(Problem(layer.name, f"{toml_key(key)} = {shown} {fault}."))
        else:
            kept[name] = value
    return kept


def _shape_fault(key: Key) -> str:
    entry = find_entry(key)
    if entry is None or not entry.is_table:
        return ""
    return f"must be a table: write [{toml_key(key)}] and its keys below"


def _value_fault(value: Any) -> str:
    """Why no setting could take `value`; empty if one could."""
    match value:
        case date() | time():
            return "is a date or time, which no setting takes; put it in quotes to make it text"
        case float() if not math.isfinite(value):
            return "is not a finite number"
        case int() if value not in _INT64:
            return "is too large: integers must fit in 64 bits"
        case str() if any("\ud800" <= char <= "\udfff" for char in value):
            return "is not valid Unicode text"
        case list() | Mapping():
            items = value.values() if isinstance(value, Mapping) else value
            return next((fault for item in items if (fault := _value_fault(item))), "")
    return ""
