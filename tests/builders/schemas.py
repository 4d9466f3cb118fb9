"""The documented form of what `--json` prints, held against what it really prints."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"

# Where a schema holds further schemas: one, a list of them, or a table of them by name.
_ONE = ("items", "contains", "not", "if", "then", "else", "propertyNames", "unevaluatedItems")
_LISTS = ("oneOf", "anyOf", "allOf", "prefixItems")
_TABLES = ("$defs", "properties", "patternProperties", "dependentSchemas")


def check(name: str, document: Any) -> None:
    """Hold a parsed JSON document against `docs/schemas/<name>.json`.

    The schema itself must be a closed and explained one: see `faults`.

    Raises:
        AssertionError: The schema is missing or has faults, or the document differs from it; each
            difference is named by its place.
    """
    validator = _validator(name)
    differences = [
        f"{name}{error.json_path.removeprefix('$')}: {error.message[:500]}"
        for error in validator.iter_errors(document)
    ]
    assert not differences, "\n".join(differences)


def faults(schema: dict[str, Any]) -> list[str]:
    """What keeps a schema from documenting its objects: "place: fault" each.

    Every property needs a description. Every object is closed (`additionalProperties` or
    `unevaluatedProperties` false), or is a map from names to values: then it says in a description,
    its own or that of the values, what it maps.
    """
    return [fault for place, part in _parts("", schema) for fault in _faults_at(place, part)]


@cache
def _validator(name: str) -> Draft202012Validator:
    path = FOLDER / f"{name}.json"
    assert path.is_file(), f"there is no schema {path}"
    schema = json.loads(path.read_bytes())
    Draft202012Validator.check_schema(schema)
    assert schema.get("$schema") == Draft202012Validator.META_SCHEMA["$id"], (
        f"{path} does not state its draft, 2020-12"
    )
    found = faults(schema)
    assert not found, f"{path}:\n" + "\n".join(found)
    return Draft202012Validator(schema)


def _parts(place: str, schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(schema, dict):
        return
    yield place or "(top)", schema
    for key in (*_ONE, "additionalProperties", "unevaluatedProperties"):
        yield from _parts(f"{place}/{key}", schema.get(key))
    for key in _LISTS:
        for number, part in enumerate(schema.get(key, ())):
            yield from _parts(f"{place}/{key}/{number}", part)
    for key in _TABLES:
        for name, part in schema.get(key, {}).items():
            yield from _parts(f"{place}/{key}/{name}", part)


def _faults_at(place: str, schema: dict[str, Any]) -> Iterator[str]:
    for name, part in schema.get("properties", {}).items():
        if not (isinstance(part, dict) and part.get("description")):
            yield f"{place}: the property '{name}' has no description"
    if _is_object(schema) and not _is_closed(schema) and not _is_explained_map(schema):
        yield f"{place}: an open object that does not say what it maps"


def _is_object(schema: dict[str, Any]) -> bool:
    stated = schema.get("type", ())
    return stated == "object" or "object" in stated or "properties" in schema


def _is_closed(schema: dict[str, Any]) -> bool:
    keys = ("additionalProperties", "unevaluatedProperties")
    return any(schema.get(key) is False for key in keys)


def _is_explained_map(schema: dict[str, Any]) -> bool:
    values = schema.get("additionalProperties", schema.get("unevaluatedProperties"))
    if values is None:
        return False
    explained = isinstance(values, dict) and bool(values.get("description"))
    return explained or bool(schema.get("description"))
