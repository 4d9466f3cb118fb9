"""Changes to a configuration file that leave its comments and layout as they are."""

import tomllib
from collections.abc import Iterable, MutableMapping
from typing import Any

from transformer_playground.config.introspection import Key
from transformer_playground.config.loading import leaves
from transformer_playground.config.sources import flag_layers
from transformer_playground.config.toml import toml_key
from transformer_playground.errors import ConfigError


def set_value(text: str, key: Key, value: Any) -> str:
    """The TOML document with one setting changed, or added where its table ends.

    Args:
        text: The document.
        key: The setting's place, one part for each table.
        value: What TOML can write; None takes the setting out.

    Raises:
        ConfigError: The document is not TOML, or a plain value stands where a table is needed.
    """
    # Imported late: reading needs no tomlkit, and it is 30 times slower than tomllib.
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(text)
        is_new_table = _put(document, key, value)
        changed = tomlkit.dumps(document)
        if is_new_table:
            changed = _with_air(changed, f"[{toml_key(key[:-1])}]")
        tomllib.loads(changed)
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise ConfigError(f"the setting {toml_key(key)} cannot be written: {error}.") from error
    return changed


def set_overrides(text: str, overrides: Iterable[str]) -> str:
    """The TOML document with `dotted.key=value` settings written into it, in their order.

    Raises:
        ConfigError: One of them is not of that form, or cannot be written.
    """
    for layer in flag_layers(overrides):
        for key, value in leaves(layer.values):
            text = set_value(text, key, value)
    return text


def _put(document: Any, key: Key, value: Any) -> bool:
    """Change the parsed document; true if the setting's table was not there."""
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
        # The comment behind the old value stays where it is.
        new.trivia.comment_ws, new.trivia.comment = old.trivia.comment_ws, old.trivia.comment
    target[name] = new
    return is_new


def _with_air(text: str, header: str) -> str:
    """One empty line before a table that was put in, and before the one that follows it."""
    lines = text.split("\n")
    if header not in lines:
        return text
    at = lines.index(header)
    after = next((n for n in range(at + 1, len(lines)) if lines[n].startswith("[")), None)
    for place in (after, at):
        if place and lines[place - 1].strip():
            lines.insert(place, "")
    return "\n".join(lines)
