"""Overrides as they are typed: several on one line, each key in full or by its end."""

import re

from transformer_playground.config.reference import (
    ANY_NAME,
    SchemaField,
    find_field,
    schema_index,
)

_NEXT = re.compile(r"\s+(?=([A-Za-z_][\w.-]*)\s*=)")
_DOUBLED = re.compile(r"^(\s*[\w.-]+=)=")
_OPENING, _CLOSING = "[{", "]}"


def setting_named(key: str) -> SchemaField | None:
    """The setting with this dotted key, or else the only one whose key ends so."""
    entry = find_field(tuple(key.split(".")))
    if entry is None:
        ending = [
            each
            for each in schema_index().values()
            if each.name.endswith(f".{key}") and ANY_NAME not in each.key and not each.is_table
        ]
        entry = ending[0] if len(ending) == 1 else None
    return None if entry is None or entry.is_table else entry


def full_override(text: str) -> str:
    """A `key=value` with the full dotted key; a key that is not known stays as it is."""
    key, separator, value = text.strip().partition("=")
    known = find_field(tuple(key.strip().split(".")))
    entry = setting_named(key.strip()) if separator and known is None else None
    return f"{entry.name}={value}" if entry is not None else text.strip()


def split_overrides(text: str) -> list[str]:
    """The overrides of a line, the last one perhaps unfinished.

    A space ends a value where the key of a setting and `=` follow, outside of quotes and brackets.
    """
    pieces, start, depth, quote = [], 0, 0, ""
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[index - 1] != "\\" else quote
        elif char in "\"'" and text[index - 1 : index] in ("=", "[", ",", " "):
            quote = char
        elif char in _OPENING:
            depth += 1
        elif char in _CLOSING:
            depth = max(0, depth - 1)
        elif char.isspace() and not depth and "=" in text[start:index]:
            following = _NEXT.match(text, index)
            if following and setting_named(following[1]):
                pieces.append(text[start:index])
                start = following.end()
    return [*pieces, text[start:]]


def split_values(text: str) -> list[str]:
    """The values of a list without brackets: split at commas outside of quotes and brackets."""
    parts, start, depth, quote = [], 0, 0, ""
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote and text[index - 1] != "\\" else quote
        elif char in "\"'":
            quote = char
        elif char in _OPENING:
            depth += 1
        elif char in _CLOSING:
            depth = max(0, depth - 1)
        elif char == "," and not depth:
            parts.append(text[start:index].strip())
            start = index + 1
    return [*parts, text[start:].strip()]


def without_doubled_sign(text: str) -> str:
    """The line without a second `=` after a key, which a completed key already has."""
    return " ".join(_DOUBLED.sub(r"\1", piece) for piece in split_overrides(text))


def unfinished_part(text: str) -> str:
    """The end of a line that completions replace: its last override, or the start of a next key."""
    last = split_overrides(text)[-1]
    head, space, word = last.rpartition(" ")
    entry = setting_named(head.partition("=")[0].strip()) if space and "=" in head else None
    # A text may go on after a space; a number, a switch or a choice may not.
    if entry is not None and "=" not in word and (entry.choices or not _is_text(entry)):
        return word
    return last


def _is_text(entry: SchemaField) -> bool:
    return not isinstance(entry.default, int | float)
