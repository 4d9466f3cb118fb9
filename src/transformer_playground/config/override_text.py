"""Overrides as they are typed: several on one line, each key in full or by its end."""

import re
from collections.abc import Iterator

from transformer_playground.config.reference import (
    ANY_NAME,
    SchemaField,
    find_field,
    schema_index,
)

_NEXT = re.compile(r"\s+(?=([A-Za-z_][\w.-]*)\s*=)")
_DOUBLED = re.compile(r"^(\s*[\w.-]+=)=")
_OPENING, _CLOSING = "[{", "]}"
_USUAL = "train.runtime."


def setting_named(key: str) -> SchemaField | None:
    """The setting with this dotted key, or else the only one whose key ends so.

    Of several that of a training is meant: `seed` is `train.runtime.seed`, not that of a dataset or
    sample.
    """
    entry = find_field(tuple(key.split(".")))
    if entry is None:
        ending = _ending_with(key)
        if len(ending) > 1:
            ending = [each for each in ending if each.name.startswith(_USUAL)]
        entry = ending[0] if len(ending) == 1 else None
    return None if entry is None or entry.is_table else entry


def _ending_with(key: str) -> list[SchemaField]:
    return [
        each
        for each in schema_index().values()
        if each.name.endswith(f".{key}") and ANY_NAME not in each.key and not each.is_table
    ]


def full_override(text: str) -> str:
    """A `key=value` with the full dotted key; a key that is not known stays as it is."""
    key, separator, value = text.strip().partition("=")
    known = find_field(tuple(key.strip().split(".")))
    entry = setting_named(key.strip()) if separator and known is None else None
    return f"{entry.name}={value}" if entry is not None else text.strip()


def split_overrides(text: str) -> list[str]:
    """The overrides of a line, the last one perhaps unfinished.

    A space ends a value where a key and `=` follow, outside of quotes and brackets. A text without
    quotes may hold such words, too: there it must be the key of a setting.
    """
    pieces, start = [], 0
    for index in _outside(text):
        if index < start or not text[index].isspace() or "=" not in text[start:index]:
            continue
        following = _NEXT.match(text, index)
        if following and (_ending_with(following[1]) or not _is_open_text(text[start:index])):
            pieces.append(text[start:index])
            start = following.end()
    return [*pieces, text[start:]]


def split_values(text: str) -> list[str]:
    """The values of a list without brackets: split at commas outside of quotes and brackets."""
    ends = [index for index in _outside(text) if text[index] == ","]
    starts = [0, *(end + 1 for end in ends)]
    return [text[start:end].strip() for start, end in zip(starts, [*ends, len(text)], strict=True)]


def _outside(text: str) -> Iterator[int]:
    """Where a text is outside of quotes and brackets; a quote within a word opens nothing."""
    depth, quote, is_escaped = 0, "", False
    for index, char in enumerate(text):
        if quote:
            # As in TOML, single quotes have no escapes.
            quote = "" if char == quote and not is_escaped else quote
            is_escaped = char == "\\" and quote == '"' and not is_escaped
        elif char in "\"'" and text[index - 1 : index] in ("", "=", *_OPENING, ",", " "):
            quote = char
        elif char in _OPENING:
            depth += 1
        elif char in _CLOSING:
            depth = max(0, depth - 1)
        elif not depth:
            yield index


def _is_open_text(override: str) -> bool:
    """Whether the value may go on after a space: it is text without quotes."""
    key, _, value = override.partition("=")
    entry = setting_named(key.strip())
    is_text = entry is not None and (entry.is_text or entry.is_path)
    return is_text and value.strip()[:1] not in ("", '"', "'")


def without_doubled_sign(text: str) -> str:
    """The line without a second `=` after a key, which a completed key already has."""
    return " ".join(_DOUBLED.sub(r"\1", piece) for piece in split_overrides(text))


def unfinished_part(text: str) -> str:
    """The end of a line that completions replace: its last override, or the start of a next key."""
    last = split_overrides(text)[-1]
    head, space, word = last.rpartition(" ")
    entry = setting_named(head.partition("=")[0].strip()) if space and "=" in head else None
    # A text may go on after a space; a number, a switch or a choice may not.
    if entry is not None and "=" not in word:
        may_go_on = not entry.choices and not isinstance(entry.default, int | float)
        return last if may_go_on else word
    return last
