"""Completion of `key=value` overrides: keys by name, values by what the schema allows."""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from transformer_playground.config.override_text import setting_named
from transformer_playground.config.reference import ANY_NAME, SchemaField, schema_index
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.config.toml import toml_string, toml_value
from transformer_playground.tui.shared.completion import Completion

_MAX_COUNT = 50


def complete(text: str, config: ExperimentConfig | None) -> list[Completion]:
    """Completions of the typed text, the best match first.

    Args:
        text: `part.of.key`, `dotted.key=` or `dotted.key=part`.
        config: The current settings; None if they are not valid.
    """
    key, separator, value = text.partition("=")
    if not separator:
        return [_key_completion(entry, config) for entry in _matching(key.strip())[:_MAX_COUNT]]
    entry = _setting(text)
    if entry is None:
        return []
    # A choice may be typed with or without its quotes.
    typed = value.strip().strip('"')
    options = dict(_values(entry, current_value(config, entry)))
    return [
        Completion(f"{entry.name}={option}", note)
        for option, note in options.items()
        if option.strip('"').startswith(typed)
    ]


def is_complete(text: str) -> bool:
    """Whether this is a complete `key=value` of a known setting."""
    return bool(text.partition("=")[2].strip()) and _setting(text) is not None


def is_choice(text: str) -> bool:
    """Whether the value of a `key=value` is one of the choices of its setting."""
    entry = _setting(text)
    return entry is not None and text.partition("=")[2].strip() in _options(entry)


def describe_key(text: str) -> str:
    """Description and allowed values of the setting before the `=`; empty if there is none."""
    entry = _setting(text)
    if entry is None:
        return ""
    return f"{entry.description} {entry.allowed[:1].upper()}{entry.allowed[1:]}."


def _setting(text: str) -> SchemaField | None:
    """The setting before the `=`; None for a table or an unknown key."""
    return setting_named(text.partition("=")[0].strip())


def current_value(config: ExperimentConfig | None, entry: SchemaField) -> Any:
    """Value of a setting in `config`; without a config the schema's default."""
    if config is None:
        return entry.default
    value: Any = config
    for part in entry.key:
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part)
    return value


def _key_completion(entry: SchemaField, config: ExperimentConfig | None) -> Completion:
    value = current_value(config, entry)
    note = f"{toml_value(_plain(value))} · {entry.description}"
    return Completion(f"{entry.name}=", note, needs_value=True)


def _matching(query: str) -> list[SchemaField]:
    """Settings whose key contains every word, the best match first."""
    wanted = query.casefold().split()
    found = [
        entry
        for entry in schema_index().values()
        if not entry.is_table
        and ANY_NAME not in entry.key
        and all(word in entry.name for word in wanted)
    ]
    first = wanted[0] if wanted else ""
    return sorted(found, key=lambda entry: _distance(entry, first))


def _distance(entry: SchemaField, word: str) -> int:
    """0 if the key or its last part equals `word`, 1 if one starts with it, 2 otherwise."""
    last = entry.key[-1]
    if word in {entry.name, last}:
        return 0
    if entry.name.startswith(word) or last.startswith(word):
        return 1
    return 2


def _values(entry: SchemaField, current: Any) -> Iterator[tuple[str, str]]:
    now, default = typed_form(current), typed_form(entry.default)
    for option in _options(entry):
        notes = [note for note, value in (("now", now), ("default", default)) if value == option]
        yield option, ", ".join(notes)
    yield now, "now, default" if now == default else "now"
    yield default, "default"


def _options(entry: SchemaField) -> Iterator[str]:
    yield from entry.choices
    if bool in (entry.info.annotation, *get_args(entry.info.annotation)):
        yield from ("true", "false")
    if entry.optional:
        yield "none"


def typed_form(value: Any) -> str:
    """A value as the user types it: choices and other single words without quotes."""
    plain = _plain(value)
    if isinstance(plain, str):
        return plain if plain.replace("_", "").isalnum() and plain.isascii() else toml_string(plain)
    return toml_value(plain)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
