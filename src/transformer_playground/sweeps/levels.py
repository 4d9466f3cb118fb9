"""Levels of a setting: its values, or ranges of drawn numbers, and where they are on an axis."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from transformer_playground.errors import UsageError
from transformer_playground.formatting import power_text
from transformer_playground.runs.fields import setting_text
from transformer_playground.runs.naming import endings, setting_headers
from transformer_playground.sweeps.axes import Axis, Choices, Range

_BINS = 5
_MOST_WHOLE = 8


@dataclass(frozen=True)
class Scale:
    """Where the values of a setting are: in a row of levels, and between 0 and 1."""

    axis: Axis

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Texts of the values; of ranges of them where any number may be drawn."""
        if self._values is not None:
            return tuple(map(setting_text, self._values))
        edges = [self._text(self._at(place / _BINS)) for place in range(_BINS + 1)]
        return tuple(f"{low}–{high}" for low, high in itertools.pairwise(edges))

    @property
    def is_exact(self) -> bool:
        """Whether a level is one value, and not a range of drawn numbers."""
        return self._values is not None

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Places between 0 and 1 with their texts."""
        if self._values is None:
            return tuple((place, self._text(self._at(place))) for place in (0.0, 0.5, 1.0))
        last = max(1, len(self.levels) - 1)
        return tuple((level / last, text) for level, text in enumerate(self.levels))

    def level(self, value: Any) -> int | None:
        """Number of the level of a value; None if it is not on the axis."""
        if self._values is not None:
            return self._values.index(value) if value in self._values else None
        place = self.place(value)
        return None if place is None else min(_BINS - 1, int(place * _BINS))

    def place(self, value: Any) -> float | None:
        """Where a value is, from 0 to 1; None if it is not on the axis."""
        if self._values is not None:
            level = self.level(value)
            return None if level is None else level / max(1, len(self._values) - 1)
        assert isinstance(self.axis, Range)
        if not isinstance(value, int | float) or not self.axis.low <= value <= self.axis.high:
            return None
        scale = math.log if self.axis.is_log else float
        low, high = scale(self.axis.low), scale(self.axis.high)
        return (scale(value) - low) / (high - low)

    @cached_property
    def _values(self) -> list[Any] | None:
        """All values in order; None for a range of too many."""
        axis = self.axis
        if isinstance(axis, Choices) or axis.count is not None:
            values = list(axis.values)
            return sorted(values) if all(map(_is_number, values)) else values
        if axis.is_whole and axis.high - axis.low < _MOST_WHOLE:
            return list(range(int(axis.low), int(axis.high) + 1))
        return None

    def _at(self, place: float) -> float:
        assert isinstance(self.axis, Range)
        low, high = self.axis.low, self.axis.high
        if self.axis.is_log:
            return math.exp(math.log(low) + place * (math.log(high) - math.log(low)))
        return low + place * (high - low)

    def _text(self, number: float) -> str:
        assert isinstance(self.axis, Range)
        return str(round(number)) if self.axis.is_whole else power_text(float(f"{number:.2g}"))


def find_setting(axes: Sequence[Axis], name: str) -> str:
    """The dotted key of a setting that varies, by its key or a unique end of it.

    Raises:
        UsageError: None or several are called so.
    """
    keys = [axis.key for axis in axes]
    matching = [key for key in keys if key == name] or [key for key in keys if name in endings(key)]
    if len(matching) == 1:
        return matching[0]
    known = ", ".join(setting_headers(keys).values())
    if matching:
        raise UsageError(
            f"{name} is the end of several settings: {', '.join(matching)}.", "Write more of it."
        )
    raise UsageError(
        f"{name} does not vary in this sweep.",
        f"Settings that do: {known}." if known else "Only its seeds do.",
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
