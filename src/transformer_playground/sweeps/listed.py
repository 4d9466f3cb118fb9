"""Combinations of a sweep as a list: settings that change together instead of as a grid."""

from collections.abc import Mapping, Sequence
from typing import Any

from transformer_playground.config.toml import shortened, toml_string, toml_value
from transformer_playground.errors import ConfigError
from transformer_playground.sweeps.axes import Axis, Choices, Values, axis_from_toml, axis_to_toml


def axes_of(combinations: Sequence[Values]) -> tuple[Choices, ...]:
    """Each setting with its different values, in the order of the list.

    Args:
        combinations: At least one; all of the same settings.
    """
    keys = [key for key, _ in combinations[0]]
    found = {key: dict[str, Any]() for key in keys}
    for values in combinations:
        for key, value in values:
            found[key].setdefault(toml_value(value), value)
    return tuple(Choices(key, tuple(values.values())) for key, values in found.items())


def combinations_from_toml(tables: Sequence[Mapping[str, Any]]) -> tuple[Values, ...]:
    """The combinations of the tables `[[combinations]]` in a sweep's file.

    Raises:
        ConfigError: A table lacks a setting that another one has, is there twice, or a setting
            is none or cannot vary.
    """
    if not tables:
        return ()
    keys = list(tables[0])
    for number, table in enumerate(tables, start=1):
        if set(table) != set(keys) or not keys:
            raise ConfigError(
                f"combinations: entry {number} has other settings than the first.",
                f"Give each of them {', '.join(keys)}.",
            )
    axes = {key: _axis(key, [table[key] for table in tables]) for key in keys}
    known = {key: _by_text(axis) for key, axis in axes.items()}
    found = tuple(
        tuple((axes[key].key, known[key][toml_value(table[key])]) for key in keys)
        for table in tables
    )
    if len(set(map(repr, found))) < len(found):
        raise ConfigError("combinations: one of them is listed twice.", "List each one once.")
    return found


def combination_lines(combinations: Sequence[Values]) -> list[str]:
    """What `combinations_from_toml` reads, as lines of TOML."""
    texts = {
        axis.key: dict(zip(map(toml_value, axis.values), axis_to_toml(axis), strict=True))
        for axis in axes_of(combinations)
    }
    lines: list[str] = []
    for values in combinations:
        lines += ["", "[[combinations]]"]
        lines += [
            f"{toml_string(key)} = {toml_value(texts[key][toml_value(value)])}"
            for key, value in values
        ]
    return lines


def _axis(key: str, values: Sequence[Any]) -> Axis:
    different = dict(zip(map(toml_value, values), values, strict=True))
    try:
        return axis_from_toml(key, list(different.values()))
    except ConfigError as error:
        raise ConfigError(
            f"combinations: {shortened(error.message.removeprefix('axes: '))}", error.hint
        ) from error


def _by_text(axis: Axis) -> dict[str, Any]:
    """What stands in the file -> the value of the setting."""
    return dict(zip(map(toml_value, axis_to_toml(axis)), axis.values, strict=True))
