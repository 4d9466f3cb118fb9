"""Merging of layers key by key, with the provenance of each value."""

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transformer_playground.config.sources import Layer, Problem, merge, validate_values

_NAMES = st.sampled_from(["a", "b", "c", "model", "n_layer"])
_LEAVES = st.sampled_from([0, 1, True, "", "text", [], [1, 2]])
_TABLES = st.dictionaries(
    _NAMES,
    st.one_of(
        _LEAVES,
        st.dictionaries(
            _NAMES,
            st.one_of(_LEAVES, st.dictionaries(_NAMES, _LEAVES, max_size=2)),
            max_size=3,
        ),
    ),
    max_size=3,
)
_CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _layer(name: str, values: Mapping[str, Any]) -> Layer:
    return Layer(name, Path("/"), values)


def _leaves(
    table: Mapping[str, Any], prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*prefix, name))
        else:
            yield (*prefix, name), value


def _at(table: Any, key: tuple[str, ...]) -> Any:
    for part in key:
        table = table[part]
    return table


def test_tables_merge_and_other_values_are_replaced() -> None:
    low = _layer("low", {"t": {"a": 1, "list": [1, 2]}, "x": 1})
    high = _layer("high", {"t": {"b": 2, "list": [3]}})
    assert merge([low, high]).values == {"t": {"a": 1, "b": 2, "list": [3]}, "x": 1}


@_CALM
@given(_TABLES)
def test_one_layer_merges_to_itself(values: dict[str, Any]) -> None:
    assert merge([_layer("only", values)]).values == values


@_CALM
@given(_TABLES, _TABLES)
def test_every_value_of_the_last_layer_wins_and_names_it(
    low: dict[str, Any], high: dict[str, Any]
) -> None:
    merged = merge([_layer("low", low), _layer("high", high)])
    for key, value in _leaves(high):
        origin = merged.origin(key)
        assert _at(merged.values, key) == value
        assert origin is not None
        assert origin.name == "high"


@_CALM
@given(_TABLES, _TABLES)
def test_every_merged_value_comes_from_the_layer_it_names(
    low: dict[str, Any], high: dict[str, Any]
) -> None:
    merged = merge([_layer("low", low), _layer("high", high)])
    for key, value in _leaves(merged.values):
        assert _at(merged.origins[key].values, key) == value


@_CALM
@given(_TABLES, _TABLES)
def test_a_removed_key_has_no_provenance(low: dict[str, Any], high: dict[str, Any]) -> None:
    merged = merge([_layer("low", low), _layer("high", high)])
    for key in merged.origins:
        _at(merged.values, key)


@_CALM
@given(_TABLES, _TABLES, _TABLES)
def test_merging_in_two_steps_or_one_is_the_same(
    first: dict[str, Any], second: dict[str, Any], third: dict[str, Any]
) -> None:
    at_once = merge([_layer("1", first), _layer("2", second), _layer("3", third)])
    half = merge([_layer("1", first), _layer("2", second)]).values
    assert merge([_layer("12", half), _layer("3", third)]).values == at_once.values


@_CALM
@given(_TABLES, _TABLES)
def test_merging_changes_no_layer(low: dict[str, Any], high: dict[str, Any]) -> None:
    before = copy.deepcopy((low, high))
    merge([_layer("low", low), _layer("high", high)])
    assert (low, high) == before


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (float("nan"), "not a finite number"),
        (float("-inf"), "not a finite number"),
        (2**63, "64 bits"),
        (["a", "\ud800"], "not valid Unicode"),
        ([{"deep": float("inf")}], "not a finite number"),
    ],
)
def test_invalid_values_are_removed_with_a_reason(value: object, complaint: str) -> None:
    clean, problems = validate_values(_layer("file", {"model": {"n_layer": value, "n_head": 2}}))
    assert clean.values == {"model": {"n_head": 2}}
    assert len(problems) == 1
    assert complaint in str(problems[0])
    assert str(problems[0]).startswith("file: model.n_layer = ")


def test_a_plain_value_cannot_hide_a_table_of_the_layers_below() -> None:
    clean, problems = validate_values(_layer("file", {"train": {"optim": 3}}))
    assert clean.values == {"train": {}}
    assert "train.optim = 3 must be a table" in str(problems[0])


@pytest.mark.parametrize(
    ("value", "fits"),
    [(2**63 - 1, True), (-(2**63), True), (2**63, False), (-(2**63) - 1, False)],
)
def test_integers_up_to_64_bits_are_kept(value: int, fits: bool) -> None:
    clean, problems = validate_values(_layer("file", {"model": {"n_layer": value}}))
    assert (clean.values["model"] == {"n_layer": value}) is fits
    assert bool(problems) is not fits


def test_every_character_but_a_half_of_a_pair_is_kept() -> None:
    for char in "\x00\ud7ff\ue000\U0010ffff":
        assert validate_values(_layer("file", {"a": char}))[1] == []
    for char in "\ud800\udfff":
        assert validate_values(_layer("file", {"a": char}))[1]


def test_a_value_in_a_table_of_a_list_is_looked_at_too() -> None:
    assert validate_values(_layer("file", {"a": [1, {"b": 1}]}))[1] == []
    assert validate_values(_layer("file", {"a": [{"b": {"c": float("nan")}}]}))[1]


def test_records_of_layers_cannot_be_changed() -> None:
    layer = _layer("file", {})
    with pytest.raises(dataclasses.FrozenInstanceError):
        layer.name = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        Problem("file", "is wrong").where = ""  # type: ignore[misc]


def test_a_key_inside_a_value_comes_from_the_layer_of_that_value() -> None:
    layer = _layer("file", {"a": {"b": [1]}, "c": 2})
    merged = merge([layer])
    for key in (("a", "b", "0"), ("a", "b", "0", "x"), ("a", "b"), ("a", "x"), ("c",)):
        assert merged.origin(key) is layer
    assert merged.origin(("d", "a")) is None
