"""Axes of a sweep: the values that a setting takes, as a list or as a range."""

import math
import random
import re
from dataclasses import dataclass
from typing import Any

from transformer_playground.config.errors import closest_keys
from transformer_playground.config.override_text import setting_named, split_values
from transformer_playground.config.reference import SchemaField, find_field
from transformer_playground.config.sources import parse_value
from transformer_playground.config.toml import shortened, toml_value
from transformer_playground.errors import ConfigError
from transformer_playground.experiments.recorded import DATASET_TABLES
from transformer_playground.runs.naming import SEED

_NUMBER = r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER})\.\.({_NUMBER})(:log)?(?::(\d+))?")
_RANGE_FORM = "low..high, low..high:log or low..high:log:5 (5 values)"


@dataclass(frozen=True)
class Choices:
    """A setting with a list of values, in the order in which they were given."""

    key: str
    values: tuple[Any, ...]

    def draw(self, generator: random.Random) -> Any:
        """One of the values, each with the same probability."""
        return generator.choice(self.values)

    def at(self, share: float) -> Any:
        """The value at a share of the list, from 0 to below 1."""
        return self.values[int(share * len(self.values))]

    def text(self) -> str:
        """As in `--set`."""
        return ", ".join(map(toml_value, self.values))


@dataclass(frozen=True)
class Range:
    """A number between two bounds, which are included.

    Attributes:
        is_log: Equal ratios instead of equal differences, for draws and for grid values.
        count: Number of values in a grid; None if the axis can only be drawn from.
        is_whole: Whole numbers only.
    """

    key: str
    low: float
    high: float
    is_log: bool = False
    count: int | None = None
    is_whole: bool = False

    @property
    def values(self) -> tuple[Any, ...]:
        """The values of a grid.

        Raises:
            ConfigError: The number of values is not given.
        """
        if self.count is None:
            raise ConfigError(
                f"{self.key} = {self.text()} has no number of values, which a grid needs.",
                f"Write {self.text()}:5 for five values, a list of values, or --method random.",
            )
        shares = [place / max(1, self.count - 1) for place in range(self.count)]
        return tuple(dict.fromkeys(map(self._at, shares)))

    @property
    def bounds(self) -> tuple[Any, Any]:
        """The lowest and the highest value."""
        return self._at(0.0), self._at(1.0)

    def draw(self, generator: random.Random) -> Any:
        """A number of the range; uniform, or with `is_log` uniform in its logarithm.

        With `count` it is one of the values of the grid.
        """
        return self._at(generator.random()) if self.count is None else generator.choice(self.values)

    def at(self, share: float) -> Any:
        """The number at a share of the range, from 0 to below 1; with `count` one of its values."""
        values = () if self.count is None else self.values
        return values[int(share * len(values))] if values else self._at(share)

    def text(self) -> str:
        """As in `--set`."""
        low, high = (self._shown(bound) for bound in (self.low, self.high))
        count = "" if self.count is None else f":{self.count}"
        return f"{low}..{high}{':log' if self.is_log else ''}{count}"

    def _at(self, share: float) -> Any:
        if share in (0.0, 1.0):
            number = self.high if share else self.low
        elif self.is_log:
            low, high = math.log(self.low), math.log(self.high)
            # More digits would only be noise in names and tables.
            number = float(f"{math.exp(low + share * (high - low)):.4g}")
        else:
            number = float(f"{self.low + share * (self.high - self.low):.6g}")
        return round(number) if self.is_whole else number

    def _shown(self, bound: float) -> str:
        return toml_value(round(bound) if self.is_whole else bound)


Axis = Choices | Range
Values = tuple[tuple[str, Any], ...]
"""Setting and value of each axis."""


def parse_axis(text: str) -> Axis:
    """The axis of one `--set KEY=VALUES`: values with commas between them, or a range.

    The key may be the unique end of a setting's dotted key.

    Raises:
        ConfigError: No such setting, an empty value, two equal values, or an impossible range.
    """
    name, separator, rest = text.partition("=")
    name, rest = name.strip(), rest.strip()
    entry = setting_named(name)
    if not separator or not rest:
        raise ConfigError(
            f"--set {shortened(text)} has no values.",
            f"Write --set key=value,value,… or --set key={_RANGE_FORM}.",
        )
    if entry is None:
        near = closest_keys(tuple(name.split(".")))
        raise ConfigError(
            f"--set {shortened(name)}: there is no such setting, or several end so.",
            f"Did you mean {' or '.join(near)}?"
            if near
            else "See experiments/default_config.toml.",
        )
    if (found := parse_range(entry, rest)) is not None:
        return checked(found)
    key = tuple(entry.name.split("."))
    pieces = split_values(rest)
    if not all(pieces):
        raise ConfigError(
            f"--set {shortened(text)} has an empty value.", "Leave out the comma, or add the value."
        )
    return checked(Choices(entry.name, tuple(parse_value(key, piece) for piece in pieces)))


def parse_range(entry: SchemaField, text: str) -> Range | None:
    """The range that a text stands for; None if it is not written as one.

    Raises:
        ConfigError: It is impossible.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    low, high, log, count = match.groups()
    is_whole = "whole number" in entry.allowed
    return _checked_range(
        Range(entry.name, *_bounds(low, high), bool(log), _count(count), is_whole)
    )


def axis_from_toml(key: str, value: Any) -> Axis:
    """The axis of an entry of `[axes]` in a sweep's file.

    Raises:
        ConfigError: As `parse_axis`.
    """
    entry = find_field(tuple(key.split(".")))
    if entry is None or entry.is_table:
        raise ConfigError(f"axes: there is no setting {shortened(key)}.")
    if isinstance(value, list):
        return checked(Choices(entry.name, tuple(_unset(each, entry.optional) for each in value)))
    match = _RANGE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ConfigError(
            f"axes: {key} = {shortened(toml_value(value))} is neither a list nor a range.",
            f"Write a list of values, or a range in quotes: {_RANGE_FORM}.",
        )
    return parse_axis(f"{entry.name}={value}")


def axis_to_toml(axis: Axis) -> Any:
    """What `axis_from_toml` reads; an unset value, which TOML lacks, is the text "none"."""
    if isinstance(axis, Range):
        return axis.text()
    return ["none" if value is None else value for value in axis.values]


def checked(axis: Axis) -> Axis:
    """The axis itself.

    Raises:
        ConfigError: It has no value, a value twice, bounds that are no range, or is a setting of
            the dataset or the seed.
    """
    if axis.key.startswith(DATASET_TABLES) or axis.key == SEED:
        raise ConfigError(
            f"{axis.key} cannot vary in a sweep.",
            "Seeds are chosen by --seeds."
            if axis.key == SEED
            else "It decides what the dataset contains: make an experiment for each value.",
        )
    if isinstance(axis, Choices):
        texts = [toml_value(value) for value in axis.values]
        twice = next((text for text in texts if texts.count(text) > 1), None)
        if not texts or twice:
            what = f"has the value {shortened(twice)} twice" if twice else "has no value"
            raise ConfigError(f"{axis.key} {what}.", "List each value once.")
        return axis
    return _checked_range(axis)


def _checked_range(axis: Range) -> Range:
    where = f"{axis.key} = {axis.text()}"
    if axis.low >= axis.high:
        raise ConfigError(f"{where} is empty.", "The lower bound comes first.")
    if axis.is_log and axis.low <= 0:
        raise ConfigError(f"{where}: a logarithmic range must start above 0.")
    if axis.is_whole and not (axis.low.is_integer() and axis.high.is_integer()):
        raise ConfigError(f"{where}: the setting takes whole numbers.")
    if axis.count is not None and axis.count < 2:
        raise ConfigError(f"{where}: a range has at least two values.")
    return axis


def override(key: str, value: Any) -> str:
    """A value of an axis as `key=value` of `--set`."""
    return f"{key}={toml_value(value)}"


def _unset(value: Any, is_optional: bool) -> Any:
    return None if value == "none" and is_optional else value


def _bounds(low: str, high: str) -> tuple[float, float]:
    bounds = float(low), float(high)
    if not all(map(math.isfinite, bounds)):
        raise ConfigError(f"{low}..{high} is not a range of finite numbers.")
    return bounds


def _count(text: str | None) -> int | None:
    if text is None:
        return None
    if len(text) > 4:
        raise ConfigError(f"{shortened(text)} values are too many for one setting.")
    return int(text)
