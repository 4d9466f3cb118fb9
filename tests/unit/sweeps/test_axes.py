"""Axes: lists of values and ranges, as typed and as in a sweep's file."""

import random

import pytest

from transformer_playground.errors import ConfigError
from transformer_playground.sweeps.axes import (
    Choices,
    Range,
    axis_from_toml,
    axis_to_toml,
    override,
    parse_axis,
)


def test_values_are_read_as_settings_are() -> None:
    assert parse_axis("model.norm=rmsnorm, layernorm") == Choices(
        "model.norm", ("rmsnorm", "layernorm")
    )
    assert parse_axis("model.n_layer=2,4") == Choices("model.n_layer", (2, 4))
    assert parse_axis("model.tie_embeddings=true,false").text() == "true, false"


def test_the_unique_end_of_a_key_is_enough() -> None:
    assert parse_axis("positional_encoding=rope,none").key == "model.positional_encoding"


def test_commas_in_quotes_and_brackets_belong_to_a_value() -> None:
    assert parse_axis("sample.sample.start='a,b',c").text() == '"a,b", "c"'
    assert parse_axis('peft.target_modules=["q","v"],["q"]') == Choices(
        "peft.target_modules", (["q", "v"], ["q"])
    )


def test_a_range_with_a_count_has_the_values_of_a_grid() -> None:
    axis = parse_axis("learning_rate=1e-4..1e-2:log:5")

    assert isinstance(axis, Range)
    assert axis.values == (1e-4, 3.162e-4, 1e-3, 3.162e-3, 1e-2)
    assert parse_axis("model.n_layer=1..7:3").values == (1, 4, 7)
    # A setting of whole numbers that may be unset.
    assert parse_axis("model.n_kv_head=1..4:4").values == (1, 2, 3, 4)


def test_draws_stay_in_the_range_and_spread_by_its_scale() -> None:
    axis = parse_axis("learning_rate=1e-4..1e-2:log")
    generator = random.Random(1)

    drawn = [axis.draw(generator) for _ in range(400)]

    assert all(1e-4 <= value <= 1e-2 for value in drawn)
    assert 160 < sum(value < 1e-3 for value in drawn) < 240


def test_a_range_with_a_count_is_drawn_from_its_values() -> None:
    axis = parse_axis("learning_rate=1e-4..1e-2:log:3")

    assert {axis.draw(random.Random(seed)) for seed in range(30)} == set(axis.values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n_layer", "no values"),
        ("n_layer=", "no values"),
        ("n_layer=2,,4", "empty value"),
        ("n_layer=2,2", "twice"),
        ("nonsense=1,2", "no such setting"),
        ("learning_rate=1e-2..1e-4:log", "is empty"),
        ("learning_rate=0..1:log", "above 0"),
        ("learning_rate=1..2:1", "at least two"),
        ("learning_rate=1..2:123456789", "too many"),
        ("learning_rate=1e999..2", "finite"),
        ("n_layer=1.5..3", "whole numbers"),
        ("train.runtime.seed=1,2", "cannot vary"),
        ("prepare.val_split=0.1,0.2", "cannot vary"),
    ],
)
def test_what_is_no_axis_is_refused_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_axis(text)


def test_a_range_without_a_count_is_no_grid() -> None:
    with pytest.raises(ConfigError, match="needs"):
        _ = parse_axis("learning_rate=1e-4..1e-2:log").values


@pytest.mark.parametrize(
    "text",
    [
        "model.norm=rmsnorm,layernorm",
        "train.optim.learning_rate=1e-4..1e-2:log:5",
        "model.n_layer=1..7",
        "model.vocab_size=none,100",
    ],
)
def test_the_file_keeps_an_axis(text: str) -> None:
    axis = parse_axis(text)

    assert axis_from_toml(axis.key, axis_to_toml(axis)) == axis


def test_a_value_becomes_an_override() -> None:
    assert override("model.norm", "rmsnorm") == 'model.norm="rmsnorm"'
    assert override("model.vocab_size", None) == "model.vocab_size=none"
