"""TOML text: keys and values as TOML, and edits that keep comments and layout."""

import json
import re
from collections.abc import Mapping, MutableMapping, Sequence
from datetime import date, time
from typing import Any

from transformer_playground.errors import ConfigError

Key = tuple[str, ...]
"""The parts of a dotted key."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PADDED_EXPONENT = re.compile(r"e([+-])0+(?=\d)")


def toml_string(text: str) -> str:
    """A basic string on one line. JSON and TOML escapes are the same except for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(key: Sequence[str]) -> str:
    """A dotted key, with parts quoted where TOML requires it."""
    return ".".join(part if _BARE_KEY.fullmatch(part) else toml_string(part) for part in key)


def toml_value(value: Any) -> str:
    """A value on one line; `None`, which TOML lacks, is `none` as in `--set`."""
    match value:
        case Mapping():
            pairs = ", ".join(f"{toml_key((key,))} = {toml_value(v)}" for key, v in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
        case list() | tuple():
            return f"[{', '.join(map(toml_value, value))}]"
        case date() | time():
            return value.isoformat()
        case None:
            return "none"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _PADDED_EXPONENT.sub(r"e\1", repr(value))
        case _:
            return toml_string(str(value))


def shortened(text: str, limit: int = 60) -> str:
    """`text`, truncated to `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def set_value(text: str, key: Key, value: Any) -> str:
    """Change a setting in a TOML document, or add it at the end of its table; None removes it.

    Raises:
        ConfigError: The document is not TOML, or has a plain value where a table is needed.
    """
    # Imported late: only edits need them, and tomlkit is 30 times slower than tomllib.
    import tomllib

    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
        is_new_table = _put(document, key, value)
        changed = tomlkit.dumps(document)
        if is_new_table:
            changed = _with_blank_lines(changed, f"[{toml_key(key[:-1])}]")
        tomllib.loads(changed)
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise ConfigError(f"the setting {toml_key(key)} cannot be written: {error}.") from error
    return changed


def _put(document: Any, key: Key, value: Any) -> bool:
    """Change the parsed document; return whether the setting's table is new."""
    import tomlkit
    from tomlkit.items import Item

    *tables, name = key
    target, is_new = document, False
    for depth, part in enumerate(tables, start=1):
        if part not in target:
            if value is None:
                return False
            is_new = True
            target[part] = tomlkit.table(is_super_table=depth < len(tables))
        target = target[part]
        if not isinstance(target, MutableMapping):
            where = toml_key(key[:depth])
            raise ConfigError(f"{where} is a plain value in the file, not a table.")
    if value is None:
        target.pop(name, None)
        return False
    new = tomlkit.item(value)
    old = target.get(name)
    if isinstance(old, Item):
        # Keep the comment behind the old value.
        new.trivia.comment_ws, new.trivia.comment = old.trivia.comment_ws, old.trivia.comment
    target[name] = new
    return is_new


def _with_blank_lines(text: str, header: str) -> str:
    """Add an empty line before a new table and before the next one."""
    lines = text.split("\n")
    if header not in lines:
        return text
    at = lines.index(header)
    after = next((n for n in range(at + 1, len(lines)) if lines[n].startswith("[")), None)
    for place in (after, at):
        if place and lines[place - 1].strip():
            lines.insert(place, "")
    return "\n".join(lines)
