"""Settings written into a file that keeps its comments and layout."""

import tomllib
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.config.loading import set_overrides
from transformer_playground.config.toml import set_value, shortened, toml_value
from transformer_playground.errors import ConfigError

TEXT = """\
# What this is about.

[model]            # the shape
n_layer = 4        # few
n_head  =  4
  n_embd = 128

[train.optim]
learning_rate = 1e-3   # nanoGPT's

# The end.
"""
SHIPPED = sorted(Path(__file__).parents[3].joinpath("experiments").glob("*/config.toml"))


def test_a_changed_value_leaves_everything_else_as_it_is() -> None:
    changed = set_value(TEXT, ("model", "n_layer"), 6)
    assert changed == TEXT.replace("n_layer = 4 ", "n_layer = 6 ")
    changed = set_value(TEXT, ("train", "optim", "learning_rate"), 0.5)
    assert changed == TEXT.replace("1e-3", "0.5")


def test_a_new_setting_is_added_to_its_table() -> None:
    changed = set_value(TEXT, ("model", "norm"), "rmsnorm")
    assert tomllib.loads(changed)["model"]["norm"] == "rmsnorm"
    assert [line for line in changed.splitlines() if line not in TEXT.splitlines()] == [
        'norm = "rmsnorm"'
    ]


@pytest.mark.parametrize("key", [("sample", "sample", "top_k"), ("train", "data", "batch_size")])
def test_a_new_table_is_separated_by_an_empty_line(key: tuple[str, ...]) -> None:
    changed = set_value(TEXT, key, 5)
    lines = changed.splitlines()
    at = lines.index(f"[{'.'.join(key[:-1])}]")
    assert lines[at - 1] == ""
    assert lines[at + 1] == f"{key[-1]} = 5"
    assert all(line in lines for line in TEXT.splitlines())


def test_none_removes_a_setting() -> None:
    changed = set_value(TEXT, ("model", "n_layer"), None)
    assert "n_layer" not in tomllib.loads(changed)["model"]
    assert set_value(TEXT, ("sample", "sample", "top_k"), None) == TEXT


def test_overrides_are_written_as_their_values() -> None:
    changed = set_overrides(
        TEXT, ["model.norm=rmsnorm", "model.n_layer=2", "model.bias=true", "prepare.fetch=[]"]
    )
    document = tomllib.loads(changed)
    assert document["model"] == {
        "n_layer": 2,
        "n_head": 4,
        "n_embd": 128,
        "norm": "rmsnorm",
        "bias": True,
    }
    assert document["prepare"] == {"fetch": []}
    assert "# few" in changed


@pytest.mark.parametrize("text", ["[model\n", "model = 3\n"])
def test_a_file_that_cannot_hold_the_setting_is_rejected(text: str) -> None:
    with pytest.raises(ConfigError):
        set_value(text, ("model", "n_layer"), 3)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
@given(value=st.one_of(st.integers(-9, 9), st.text(max_size=9), st.booleans()))
def test_shipped_files_keep_every_other_line(path: Path, value: object) -> None:
    text = path.read_text(encoding="utf-8")
    changed = set_value(text, ("train", "checkpointing", "keep", "best"), value)
    assert tomllib.loads(changed)["train"]["checkpointing"]["keep"]["best"] == value
    kept = changed.splitlines()
    assert all(line in kept for line in text.splitlines())


def test_text_up_to_the_limit_is_shown_whole() -> None:
    assert shortened("x" * 60) == "x" * 60
    assert shortened("x" * 61) == "x" * 59 + "…"
    assert shortened("abcdef", 5) == "abcd…"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "true"),
        (False, "false"),
        (1e-05, "1e-5"),
        (1e22, "1e+22"),
        ({}, "{}"),
        ({"a b": [1, "x"]}, '{ "a b" = [1, "x"] }'),
        (date(2020, 1, 2), "2020-01-02"),
        (Path("raw"), '"raw"'),
    ],
)
def test_a_value_is_shown_as_it_would_be_written(value: object, text: str) -> None:
    assert toml_value(value) == text


def test_a_value_that_stands_where_a_table_is_needed_is_named() -> None:
    with pytest.raises(ConfigError, match=r"train\.optim is a plain value"):
        set_value("[train]\noptim = 3\n", ("train", "optim", "beta1"), 0.5)


def test_tables_in_between_are_not_written_out() -> None:
    changed = set_value("", ("train", "checkpointing", "keep", "last"), 3)
    assert changed == "[train.checkpointing.keep]\nlast = 3\n"


def test_a_new_table_before_another_is_separated_from_it() -> None:
    text = "[train.optim]\nbeta1 = 0.5\n[model]\nn_layer = 2\n"
    changed = set_value(text, ("train", "data", "batch_size"), 3)
    lines = changed.splitlines()
    at = lines.index("[train.data]")
    assert lines[at - 1] == ""
    assert lines[at + 1 : at + 4] == ["batch_size = 3", "", "[model]"]


def test_removing_what_is_not_there_changes_nothing() -> None:
    assert set_value(TEXT, ("model", "norm"), None) == TEXT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[m]\na = 1\n\nb = 2\n", "[m]\na = 1\n\nb = 2\n\n[t]\nx = 1\n"),
        ("[m]\na = 1\n\n", "[m]\na = 1\n\n[t]\nx = 1\n"),
        ("", "[t]\nx = 1\n"),
    ],
)
def test_exactly_one_empty_line_precedes_a_new_table(text: str, expected: str) -> None:
    assert set_value(text, ("t", "x"), 1) == expected


def test_tables_that_stand_close_together_stay_so() -> None:
    text = "[a]\nx = 1\n[b]\ny = 2\nz = 3\n"
    assert set_value(text, ("b", "y"), 4) == text.replace("2", "4")
    assert set_value(text, ("b", "z"), None) == text.replace("z = 3\n", "")
