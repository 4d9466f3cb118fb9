"""Values and keys written as TOML, for error messages and generated files."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PADDED_EXPONENT = re.compile(r"e([+-])0+(?=\d)")


def toml_string(text: str) -> str:
    """A basic string on one line. JSON's escapes are TOML's, but JSON leaves DEL as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_key(key: Sequence[str]) -> str:
    """A dotted key, its parts quoted where TOML asks for it."""
    return ".".join(part if _BARE_KEY.fullmatch(part) else toml_string(part) for part in key)


def toml_value(value: Any) -> str:
    """One value on one line.

    `None`, which TOML cannot write, is shown as `none`: the word that `--set` takes for it.
    """
    match value:
        case Mapping():
            pairs = ", ".join(f"{toml_key((key,))} = {toml_value(v)}" for key, v in value.items())
            return f"{{ {pairs} }}" if pairs else "{}"
        case list() | tuple():
            return f"[{', '.join(map(toml_value, value))}]"
        case date() | time():
            return value.isoformat()
        case None | bool() | int() | float():
            return _bare_word(value)
        case _:
            return toml_string(str(value))


def _bare_word(value: float | bool | None) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return _PADDED_EXPONENT.sub(r"e\1", repr(value))


def shortened(text: str, limit: int = 60) -> str:
    """`text`, cut so that an error stays readable."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
