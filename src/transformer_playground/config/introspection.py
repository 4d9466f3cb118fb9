"""The schema as data: every key, what it accepts and what it is for."""

import functools
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.config.toml import toml_key, toml_string

Key = tuple[str, ...]

ANY_NAME = "*"
"""Stands in a key for a name that the user chooses, as in `prepare.downloads.*.url`."""

_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    tuple: "a list of texts",
    dict: "a table",
}
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


@dataclass(frozen=True)
class SchemaField:
    """One key of the schema: a setting, a table, or a table of named tables."""

    key: Key
    info: FieldInfo
    table: type[BaseModel] | None
    named_tables: bool = False

    @property
    def name(self) -> str:
        """The dotted key."""
        return toml_key(self.key)

    @property
    def is_table(self) -> bool:
        """Whether other keys live below this one."""
        return self.table is not None

    @property
    def default(self) -> Any:
        """The schema's default value."""
        return self.info.get_default(call_default_factory=True)

    @property
    def description(self) -> str:
        """The one line from the schema."""
        return self.info.description or ""

    @property
    def optional(self) -> bool:
        """Whether the setting may be unset (`None`)."""
        return type(None) in get_args(self.info.annotation)

    @property
    def is_path(self) -> bool:
        """Whether the setting names a file or folder."""
        return _bare(self.info.annotation) is Path

    @property
    def is_text(self) -> bool:
        """Whether the setting is free text."""
        return _bare(self.info.annotation) is str

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that a choice allows; empty for anything else."""
        annotation = _bare(self.info.annotation)
        return get_args(annotation) if get_origin(annotation) is Literal else ()

    @property
    def allowed(self) -> str:
        """What the value must be, in words: "a whole number, at least 1"."""
        if self.is_table:
            return "a table"
        if self.choices:
            return f"one of {', '.join(map(toml_string, self.choices))}"
        annotation = _bare(self.info.annotation)
        kind = _KINDS.get(get_origin(annotation) or annotation, str(annotation))
        return ", ".join([kind, *self._constraints()])

    def _constraints(self) -> Iterator[str]:
        for constraint in self.info.metadata:
            for attribute, words in _BOUNDS.items():
                bound = getattr(constraint, attribute, None)
                if bound is not None:
                    yield f"{words} {bound if isinstance(bound, int) else format(bound, 'g')}"
            if getattr(constraint, "min_length", None):
                yield "not empty"
            pattern = getattr(constraint, "pattern", None)
            if pattern is not None:
                yield f"matching {pattern}"


def _bare(annotation: Any) -> Any:
    """The type without `| None`."""
    if get_origin(annotation) not in (Union, types.UnionType):
        return annotation
    members = [member for member in get_args(annotation) if member is not type(None)]
    return members[0] if len(members) == 1 else annotation


def _table_type(annotation: Any) -> type[BaseModel] | None:
    is_table = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_table else None


def _walk(table: type[BaseModel], prefix: Key) -> Iterator[SchemaField]:
    for name, info in table.model_fields.items():
        key = (*prefix, name)
        annotation = _bare(info.annotation)
        if table_type := _table_type(annotation):
            yield SchemaField(key, info, table_type)
            yield from _walk(table_type, key)
        elif get_origin(annotation) is dict and (named := _table_type(get_args(annotation)[1])):
            yield SchemaField(key, info, named, named_tables=True)
            yield SchemaField((*key, ANY_NAME), info, named)
            yield from _walk(named, (*key, ANY_NAME))
        else:
            yield SchemaField(key, info, None)


@functools.cache
def schema_index() -> Mapping[Key, SchemaField]:
    """Every table and setting of the schema by key, in the schema's order."""
    return types.MappingProxyType({entry.key: entry for entry in _walk(ExperimentConfig, ())})


def find_entry(key: Key) -> SchemaField | None:
    """The schema's entry for a key as a user writes it, or `None` if there is none."""
    index = schema_index()
    pattern: Key = ()
    for part in key:
        pattern = next(
            (known for known in ((*pattern, part), (*pattern, ANY_NAME)) if known in index), ()
        )
        if not pattern:
            return None
    return index.get(pattern)
