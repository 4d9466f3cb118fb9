"""Values as every JSON reader takes them."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

_DEEPEST = 40


def plain(value: Any) -> Any:
    """`value` with dataclasses as objects and paths as text.

    NaN and infinities, which Python reads and JSON lacks, become null; what is nested deeper than
    any of our files becomes "…".
    """
    return _plain(value, 0)


def _plain(value: Any, depth: int) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        value = {field.name: getattr(value, field.name) for field in fields}
    match value:
        case Mapping() | list() | tuple() if depth > _DEEPEST:
            return "…"
        case Mapping():
            return {str(key): _plain(item, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, depth + 1) for item in value]
        case float():
            return value if math.isfinite(value) else None
        case PurePath():
            return str(value)
        case _:
            return value
