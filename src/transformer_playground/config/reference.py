"""Schema reference: every setting with its type, default and description.

`python -m transformer_playground.config.reference` prints it as a commented TOML file,
`experiments/default_config.toml`.
"""

import functools
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.config.toml import Key, toml_key, toml_string, toml_value

ANY_NAME = "*"
"""Key part that stands for any name, as in `prepare.downloads.*.url`."""

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
    """A key of the schema: a setting, a table, or a table of named tables."""

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
        """Whether this is a table."""
        return self.table is not None

    @property
    def default(self) -> Any:
        """The schema's default value."""
        return self.info.get_default(call_default_factory=True)

    @property
    def description(self) -> str:
        """The description from the schema."""
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
        """The allowed strings of a choice; empty for other types."""
        annotation = _bare(self.info.annotation)
        return get_args(annotation) if get_origin(annotation) is Literal else ()

    @property
    def allowed(self) -> str:
        """The allowed values, such as "a whole number, at least 1"."""
        if self.is_table:
            return "a table"
        if self.choices:
            return f"one of {', '.join(map(toml_string, self.choices))}"
        annotation = _bare(self.info.annotation)
        kind = _KINDS.get(get_origin(annotation) or annotation, str(annotation))
        return ", ".join([kind, *self._constraints()])

    def _constraints(self) -> Iterator[str]:
        for constraint in self.info.metadata:
            for attribute, phrase in _BOUNDS.items():
                bound = getattr(constraint, attribute, None)
                if bound is not None:
                    yield f"{phrase} {bound if isinstance(bound, int) else format(bound, 'g')}"
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
    if len(members) != 1:
        return annotation
    (member,) = members
    return get_args(member)[0] if get_origin(member) is Annotated else member


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
    """All tables and settings by key, in the order of the schema."""
    return types.MappingProxyType({entry.key: entry for entry in _walk(ExperimentConfig, ())})


def find_field(key: Key) -> SchemaField | None:
    """The schema field of a key as written by the user; None if it is unknown."""
    index = schema_index()
    pattern: Key = ()
    for part in key:
        pattern = next(
            (known for known in ((*pattern, part), (*pattern, ANY_NAME)) if known in index), ()
        )
        if not pattern:
            return None
    return index.get(pattern)


_HEADER = """\
# All settings with their defaults. An experiment's config.toml contains only the differences.
# Later sources win: this file, the experiment's config.toml, ML_PLAYGROUND_TRAIN_OVERRIDES and
# ML_PLAYGROUND_SAMPLE_OVERRIDES (JSON objects for [train] and [sample]), --set key=value.
# Relative paths in this file are relative to the folder of the experiment.
# Commented keys are unset; --set KEY=none unsets a key that an experiment sets.
#
# Generated by: python -m transformer_playground.config.reference
"""
_WIDTH = 98


def default_config_text() -> str:
    """The text of `experiments/default_config.toml`."""
    return "\n".join([_HEADER, *_tables()])


def _tables() -> Iterator[str]:
    index = schema_index()
    for entry in index.values():
        if not entry.is_table or entry.named_tables:
            continue
        below = [
            child for child in index.values() if child.key[:-1] == entry.key and not child.is_table
        ]
        if below:
            yield _named_table(entry, below) if ANY_NAME in entry.key else _table(entry, below)


def _table(table: SchemaField, settings: list[SchemaField]) -> str:
    return "\n".join([f"[{table.name}]", *map(_setting, settings)])


def _named_table(table: SchemaField, settings: list[SchemaField]) -> str:
    heading = toml_key([part if part != ANY_NAME else "NAME" for part in table.key])
    lines = [*_comment(f"{table.description} Repeatable:"), f"# [{heading}]"]
    for setting in settings:
        lines += _comment(f"{setting.key[-1]} = {setting.allowed}. {setting.description}")
    return "\n".join([*lines, ""])


def _setting(setting: SchemaField) -> str:
    allowed, name = setting.allowed, setting.key[-1]
    lines = _comment(f"{setting.description} {allowed[0].upper()}{allowed[1:]}.")
    unset = setting.default is None
    return "\n".join(
        [*lines, f"# {name} =" if unset else f"{name} = {toml_value(setting.default)}", ""]
    )


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


if __name__ == "__main__":
    sys.stdout.write(default_config_text())
