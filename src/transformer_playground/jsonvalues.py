"""Type checks for untrusted JSON values, and conversion to JSON values.

Files of runs may be damaged, and Python's parser accepts NaN, infinities and numbers of any size.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import PurePath
from typing import Any

LARGEST = 1e100
"""Upper bound of measured values; sums of smaller numbers cannot overflow."""
# Larger integers neither fit a column nor become floats without an error.
_INT_LIMIT = 1 << 63
_DEEPEST = 40


def as_number(value: object) -> float | None:
    """`value` if it is a finite number below `LARGEST`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Without conversion: an integer may be too large for a float. False for NaN.
    return value if abs(value) < LARGEST else None


def as_int(value: object) -> int | None:
    """`value` if it is an int of at most 64 bits, not a bool."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if -_INT_LIMIT <= value < _INT_LIMIT else None


def as_count(value: object) -> int | None:
    """`value` if it is an int of at most 64 bits that is not negative."""
    number = as_int(value)
    return None if number is None or number < 0 else number


def as_text(value: object) -> str | None:
    """`value` if it is text."""
    return value if isinstance(value, str) else None


def as_timestamp(value: object) -> float | None:
    """Unix time of `value` if it is an ISO 8601 date."""
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        return None


def as_object(value: object) -> dict[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def ascii_json(value: Any, indent: int | None = None) -> str:
    """A JSON document of printable ASCII characters."""
    text = json.dumps(value, indent=indent, ensure_ascii=True, allow_nan=False)
    # DEL is the only control character that json.dumps leaves unescaped.
    return text.replace("\x7f", "\\u007f")


def to_jsonable(value: Any, non_finite: Callable[[float], Any] = lambda _: None) -> Any:
    """`value` as JSON values: dataclasses as objects, paths as text.

    `non_finite` converts NaN and infinities; the default is null. Values nested deeper than 40
    levels become "…".
    """
    return _plain(value, non_finite, 0)


def _plain(value: Any, non_finite: Callable[[float], Any], depth: int) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        value = {field.name: getattr(value, field.name) for field in fields}
    match value:
        case Mapping() | list() | tuple() if depth > _DEEPEST:
            return "…"
        case Mapping():
            return {str(key): _plain(item, non_finite, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, non_finite, depth + 1) for item in value]
        case float():
            return value if math.isfinite(value) else non_finite(value)
        case PurePath():
            return str(value)
        case _:
            return value
