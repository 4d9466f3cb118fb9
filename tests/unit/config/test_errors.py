"""Suggestions for unknown keys and wrong values."""

from pathlib import Path

import pytest

from builders.configs import write_experiment
from transformer_playground.config.errors import closest_keys
from transformer_playground.config.loading import load_config
from transformer_playground.errors import ConfigError


@pytest.mark.parametrize(
    ("key", "first"),
    [
        (("learning_rate",), "train.optim.learning_rate"),
        (("model", "n_layr"), "model.n_layer"),
        (("train", "optm"), "train.optim"),
        # Several tables have a key of this name: the one in the same table comes first.
        (("train", "data", "blck_size"), "train.data.block_size"),
        (("model", "blck_size"), "model.block_size"),
        (("hf_model", "blck_size"), "hf_model.block_size"),
        # Neither its table nor its whole name is near.
        (("model", "learnin_rate"), "train.optim.learning_rate"),
    ],
)
def test_the_nearest_key_comes_first(key: tuple[str, ...], first: str) -> None:
    found = closest_keys(key)
    assert found[0] == first
    assert len(found) == len(set(found)) <= 3


def test_a_known_name_in_a_wrong_table_is_all_that_is_suggested() -> None:
    # `top_p` is near, too, but nobody who writes `top_k` means it.
    assert closest_keys(("train", "top_k")) == ["sample.sample.top_k"]


def test_up_to_three_keys_are_suggested() -> None:
    assert len(closest_keys(("train", "runtime", "log_iter"))) == 3


def test_nothing_is_suggested_for_what_resembles_nothing() -> None:
    assert closest_keys(("zzz",)) == []
    assert closest_keys(("train", "runtime", "z" * 30)) == []


def refusal(folder: Path, text: str, *overrides: str) -> str:
    path = write_experiment(folder, "x", text) / "config.toml"
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides=overrides, project=folder)
    return caught.value.message


def test_the_keys_of_the_table_are_listed_where_nothing_is_near(tmp_path: Path) -> None:
    message = refusal(tmp_path, "", f"train.runtime.{'z' * 30}=1")
    assert "zzz = 1; [train.runtime] has " in message
    assert "max_iters" in message


def test_quotes_are_suggested_only_for_text_on_the_command_line(tmp_path: Path) -> None:
    assert "in quotes: --set" in refusal(tmp_path, "", "experiment.description=42")
    assert "--set" not in refusal(tmp_path, "[experiment]\ndescription = 42\n")
    assert "in quotes" not in refusal(tmp_path, "", "model.n_layer=2.5")
    assert "in quotes" not in refusal(tmp_path, "", "experiment.description=[1]")


def test_a_number_in_place_of_a_choice_resembles_none(tmp_path: Path) -> None:
    message = refusal(tmp_path, "[model]\nnorm = 3\n")
    assert 'model.norm = 3 must be one of "layernorm", "rmsnorm"' in message
    assert "did you mean" not in message
