"""Settings written into a file that keeps its comments and layout."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.config.loading import set_overrides
from transformer_playground.config.toml import set_value
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
    changed = set_value(text, ("train", "checkpointing", "keep", "last"), value)
    assert tomllib.loads(changed)["train"]["checkpointing"]["keep"]["last"] == value
    kept = changed.splitlines()
    assert all(line in kept for line in text.splitlines())
