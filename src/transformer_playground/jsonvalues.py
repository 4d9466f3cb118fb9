"""Guards for values of untrusted JSON: each returns a value of the type asked for, or nothing.

Files of runs may be damaged or made up, and Python reads NaN, infinities and numbers of any size.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

LARGEST = 1e100
"""No run measures a number of this size or beyond; sums of smaller ones cannot overflow."""
_DEEPEST = 40


def as_number(value: object) -> float | None:
    """`value` if it is a finite number that a run can have measured."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Compared before any conversion: an integer may be too large for a float. NaN is not below.
    return value if abs(value) < LARGEST else None


def as_int(value: object) -> int | None:
    """`value` if it is a whole number; True and 1.0 are none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def as_text(value: object) -> str | None:
    """`value` if it is text."""
    return value if isinstance(value, str) else None


def as_object(value: object) -> dict[str, Any]:
    """`value` if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def to_jsonable(value: Any, non_finite: Callable[[float], Any] = lambda _: None) -> Any:
    """`value` as every JSON writer takes it: dataclasses as objects, paths as text.

    What is nested deeper than any of our files becomes "…".

    Args:
        value: Any value of a run's files or records.
        non_finite: What stands for NaN and infinities, which JSON lacks; null by default.
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
