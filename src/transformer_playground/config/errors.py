"""Configuration errors with the origin of each value and suggestions."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import ValidationError

from transformer_playground.config.reference import ANY_NAME, SchemaField, find_field, schema_index
from transformer_playground.config.sources import DEFAULT_ORIGIN, Merged, Problem
from transformer_playground.config.toml import Key, shortened, toml_key, toml_string, toml_value
from transformer_playground.errors import ConfigError

_LISTED = 3


def config_error(problems: Sequence[Problem], hint: str = "") -> ConfigError:
    """One error for all problems, one line each."""
    if len(problems) == 1:
        return ConfigError(str(problems[0]), hint)
    lines = "\n".join(f"  - {problem}" for problem in problems)
    return ConfigError(f"{len(problems)} problems in the configuration:\n{lines}\n", hint)


def validation_problems(
    error: ValidationError, merged: Merged, *, conflicts: bool = True
) -> list[Problem]:
    """One problem for each error of the schema, with its origin.

    Without `conflicts`, settings that are only invalid in combination are not reported.
    """
    return [
        _problem(dict(fault), merged)
        for fault in error.errors(include_url=False)
        if conflicts or fault["type"] != "conflict"
    ]


def closest_keys(key: Key) -> list[str]:
    """Known keys similar to `key`, best match first."""
    entries = [entry for entry in schema_index().values() if ANY_NAME not in entry.key]
    same_table = [entry for entry in _siblings(key) if entry.key[-1] != ANY_NAME]
    same_name = [entry.name for entry in entries if entry.key[-1] == key[-1]]
    if same_name:
        return same_name[:_LISTED]
    found = [
        *_close_names(key, same_table),
        *_close_names(key, entries),
        *difflib.get_close_matches(toml_key(key), [entry.name for entry in entries], cutoff=0.8),
    ]
    return list(dict.fromkeys(found))[:_LISTED]


def _siblings(key: Key) -> list[SchemaField]:
    """Known fields of the table that contains `key`."""
    table = find_field(key[:-1])
    if table is None and key[:-1]:
        return []
    parent = table.key if table else ()
    return [entry for entry in schema_index().values() if entry.key[:-1] == parent]


def _close_names(key: Key, entries: Iterable[SchemaField]) -> list[str]:
    by_name: dict[str, list[str]] = {}
    for entry in entries:
        by_name.setdefault(entry.key[-1], []).append(entry.name)
    close = difflib.get_close_matches(key[-1], by_name, n=_LISTED, cutoff=0.7)
    return [name for match in close for name in by_name[match]]


def _problem(fault: dict[str, Any], merged: Merged) -> Problem:
    parts = [part for part in fault["loc"] if isinstance(part, str)]
    items = [part for part in fault["loc"] if isinstance(part, int)]
    key = tuple(parts)
    origin = merged.origin(key)
    where = origin.name if origin else ""
    if fault["type"] == "conflict":
        return Problem("", _conflict(fault["ctx"], merged))
    if fault["type"] == "extra_forbidden":
        return Problem(where, _unknown(key, fault["input"]))
    entry = find_field(key)
    allowed = entry.allowed if entry else fault["msg"]
    description = entry.description if entry else ""
    if fault["type"] == "missing":
        return Problem(where, f"{toml_key(key)} is missing: {allowed}. {description}".strip())
    subject = toml_key(key) + "".join(f", item {item + 1}," for item in items)
    if items:
        allowed = "text"
    shown = shortened(toml_value(fault["input"]))
    message = f"{subject} = {shown} must be {allowed}{_suggestion(entry, fault['input'], where)}"
    return Problem(where, f"{message} {description}".strip())


def _conflict(context: dict[str, Any], merged: Merged) -> str:
    places = []
    for name in context["keys"]:
        origin = merged.origins.get(tuple(name.split(".")))
        places.append(f"{name}: {origin.name if origin else DEFAULT_ORIGIN}")
    return f"{context['message']} ({'; '.join(places)})."


def _unknown(key: Key, value: Any) -> str:
    table = isinstance(value, dict)
    subject = f"table [{toml_key(key)}]" if table else f"key {toml_key(key)}"
    shown = "" if table else f" = {shortened(toml_value(value))}"
    near = closest_keys(key)
    if near:
        return f"unknown {subject}{shown}; did you mean {' or '.join(near)}?"
    known = ", ".join(entry.key[-1] for entry in _siblings(key))
    place = f"[{toml_key(key[:-1])}]" if key[:-1] else "the top level"
    return f"unknown {subject}{shown}; {place} has {known}."


def _suggestion(entry: SchemaField | None, value: Any, where: str) -> str:
    if entry is None:
        return "."
    if entry.choices and isinstance(value, str):
        close = difflib.get_close_matches(value, entry.choices, n=1)
        return f"; did you mean {toml_string(close[0])}?" if close else "."
    if entry.is_text and where == "--set" and not isinstance(value, dict | list | str):
        quoted = toml_string(toml_value(value))
        return f" in quotes: --set '{entry.name}={quoted}'."
    return "."
