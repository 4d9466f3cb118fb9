"""Overrides as they are typed: several on a line, keys by their ends."""

import pytest

from transformer_playground.config.override_text import (
    full_override,
    setting_named,
    split_overrides,
    split_values,
    unfinished_part,
    without_doubled_sign,
)


@pytest.mark.parametrize(
    ("typed", "full"),
    [
        ("max_iters=300", "train.runtime.max_iters=300"),
        ("runtime.max_iters=300", "train.runtime.max_iters=300"),
        ("model.norm=rmsnorm", "model.norm=rmsnorm"),
        ("  n_layer=2 ", "model.n_layer=2"),
        # Datasets and samples have these, too.
        ("seed=7,8", "train.runtime.seed=7,8"),
        ("device=cpu", "train.runtime.device=cpu"),
        # Two tables have a block size, and no table has the others.
        ("block_size=3", "block_size=3"),
        ("iters=3", "iters=3"),
        ("max_iters", "max_iters"),
        ("=3", "=3"),
    ],
)
def test_a_key_may_be_typed_by_its_end_if_only_one_setting_ends_so(typed: str, full: str) -> None:
    assert full_override(typed) == full


def test_tables_and_tables_of_named_tables_are_no_settings() -> None:
    assert setting_named("runtime") is None
    assert setting_named("prepare.downloads.any") is None
    assert setting_named("") is None


@pytest.mark.parametrize(
    ("line", "overrides"),
    [
        ("n_layer=2 n_head=4", ["n_layer=2", "n_head=4"]),
        ("n_layer = 2   model.norm = rmsnorm", ["n_layer = 2", "model.norm = rmsnorm"]),
        ("n_layer=2 n_h", ["n_layer=2 n_h"]),
        ("start=hello world n_layer=2", ["start=hello world", "n_layer=2"]),
        ('start="a n_layer=2" n_head=1', ['start="a n_layer=2"', "n_head=1"]),
        (r'start="a \" n_layer=2"', [r'start="a \" n_layer=2"']),
        ("start='it is n_layer=2'", ["start='it is n_layer=2'"]),
        ("start=it's n_layer=2", ["start=it's", "n_layer=2"]),
        ("prepare.fetch=[{a=1, seed=2}] n_layer=2", ["prepare.fetch=[{a=1, seed=2}]", "n_layer=2"]),
        ("start=x = y", ["start=x = y"]),
        ("dropout=0.1 max_iters=20 seed=7,8", ["dropout=0.1", "max_iters=20", "seed=7,8"]),
        ("seed=7, 8  n_layer=2,4", ["seed=7, 8", "n_layer=2,4"]),
        (
            "learning_rate=1e-4..1e-2:log:3 bias=true",
            ["learning_rate=1e-4..1e-2:log:3", "bias=true"],
        ),
        # Several tables have these, or none.
        ("n_layer=2 block_size=8", ["n_layer=2", "block_size=8"]),
        ("n_layer=2 x.y=3 lr=4", ["n_layer=2", "x.y=3", "lr=4"]),
        # Words of a text.
        ("start=where x=3 seed=1", ["start=where x=3", "seed=1"]),
        ('start="where x=3", "b = c" x=1', ['start="where x=3", "b = c"', "x=1"]),
        (r'start="a\\" seed=2', [r'start="a\\"', "seed=2"]),
        (r"start='a\' seed=2", [r"start='a\'", "seed=2"]),
        ("n_layer= n_head=4", ["n_layer=", "n_head=4"]),
        ("n_la n_layer=2", ["n_la n_layer=2"]),
        ("", [""]),
    ],
)
def test_a_line_is_split_where_a_key_and_equals_sign_follow_outside_of_a_text(
    line: str, overrides: list[str]
) -> None:
    assert split_overrides(line) == overrides


def test_a_second_equals_sign_after_a_key_is_dropped_but_not_within_a_value() -> None:
    assert without_doubled_sign("max_iters==300") == "max_iters=300"
    assert without_doubled_sign("n_layer=2 max_iters==") == "n_layer=2 max_iters="
    assert without_doubled_sign('start="a==b"') == 'start="a==b"'


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("n_layer=2 n_h", "n_h"),
        ("norm=rmsnorm n_h", "n_h"),
        ("n_layer=2 ", ""),
        ("n_layer=2 n_head=", "n_head="),
        ("start=hello wor", "start=hello wor"),
        ("n_la", "n_la"),
    ],
)
def test_completions_replace_the_end_of_a_line(line: str, part: str) -> None:
    assert unfinished_part(line) == part


def test_values_are_split_at_commas_outside_of_quotes_and_brackets() -> None:
    assert split_values("1, 2") == ["1", "2"]
    mixed = split_values('"a, b", [1, 2], {x = 1, y = 2}')
    assert mixed == ['"a, b"', "[1, 2]", "{x = 1, y = 2}"]
    assert split_values("it's a, b") == ["it's a", "b"]
    assert split_values("1,") == ["1", ""]
