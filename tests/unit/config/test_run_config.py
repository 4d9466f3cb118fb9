from pathlib import Path
from typing import Any

import pytest

from builders.configs import TINY_TOML
from transformer_playground.config.loading import LoadedConfig, load_config
from transformer_playground.config.run_config import (
    changed_settings,
    check_overrides,
    load_resumed_config,
    override_layers,
)
from transformer_playground.errors import ConfigError


def write(folder: Path, extra: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.toml"
    path.write_text(TINY_TOML + extra, encoding="utf-8")
    return path


def saved_by(path: Path, *overrides: str) -> dict[str, Any]:
    return load_config(path, overrides=overrides).config.model_dump(mode="json")


def resumed(saved: dict[str, Any], current: LoadedConfig, *overrides: str) -> LoadedConfig:
    return load_resumed_config(saved, current, override_layers(None, overrides, {}))


def test_a_resumed_run_keeps_its_settings(tmp_path: Path) -> None:
    path = write(tmp_path / "one")
    saved = saved_by(path, "train.optim.learning_rate=0.005", "train.runtime.seed=5")
    config = resumed(saved, load_config(path)).config
    assert config.train.optim.learning_rate == 0.005
    assert config.train.runtime.seed == 5
    assert config.model_dump(mode="json") == saved


def test_overrides_of_the_command_win_and_are_recorded(tmp_path: Path) -> None:
    path = write(tmp_path / "one")
    saved = saved_by(path, "train.runtime.seed=5")
    loaded = resumed(saved, load_config(path), "train.runtime.seed=6")
    assert loaded.config.train.runtime.seed == 6
    assert loaded.provenance["train.runtime.seed"] == "--set"


def test_a_file_given_with_the_command_wins_over_the_run(tmp_path: Path) -> None:
    path = write(tmp_path / "one")
    stated = tmp_path / "other.toml"
    stated.write_text("[train.runtime]\nseed = 7\n", encoding="utf-8")
    layers = override_layers(stated, (), {})
    loaded = load_resumed_config(saved_by(path), load_config(path), layers)
    assert loaded.config.train.runtime.seed == 7


def test_data_paths_follow_a_moved_experiment(tmp_path: Path) -> None:
    saved = saved_by(write(tmp_path / "one"))
    moved = load_config(write(tmp_path / "two"))
    assert resumed(saved, moved).config.prepare == moved.config.prepare


def test_each_difference_from_the_experiment_is_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "one")
    current = load_config(path)
    loaded = resumed(saved_by(path, "train.runtime.seed=5"), current)
    (sentence,) = changed_settings(loaded, current)
    assert sentence.startswith("train.runtime.seed: keeping the run's 5 (the experiment has ")
    assert list(changed_settings(resumed(saved_by(path), current), current)) == []


def test_a_damaged_config_file_gives_a_clear_error(tmp_path: Path) -> None:
    current = load_config(write(tmp_path / "one"))
    with pytest.raises(ConfigError, match=r"config\.json.*n_layer"):
        resumed({"model": {"n_layer": "many"}}, current)
    with pytest.raises(ConfigError, match=r"config\.json.*prepare"):
        resumed({"prepare": 3, "hf_model": {"model_name": 5}}, current)


def test_settings_of_the_dataset_keep_the_values_of_the_run(tmp_path: Path) -> None:
    path = write(tmp_path / "one")
    saved = saved_by(path)
    current = load_config(write(tmp_path / "two", "\n[prepare]\nval_fraction = 0.3\n"))
    loaded = resumed(saved, current)
    assert loaded.config.prepare.val_fraction == 0.1
    assert loaded.config.prepare.raw_dir == current.config.prepare.raw_dir
    assert list(changed_settings(loaded, current)) == [
        "prepare.val_fraction: keeping the run's 0.1 (the experiment has 0.3)"
    ]


@pytest.mark.parametrize(
    ("override", "is_fine"),
    [
        ("model.n_layer=99", False),
        ("model.vocab_size=24", True),
        ("model.vocab_size=25", False),
        ("model.mlp_ratio=4", True),
        ("model.n_kv_head=none", True),
        ("prepare.raw_dir=elsewhere", True),
        ("prepare.seed=5", False),
        ("train.runtime.seed=5", True),
        ("model.n_lager=5", True),
        ("model=5", True),
    ],
)
def test_only_settings_that_a_run_cannot_change_are_rejected(
    override: str, is_fine: bool, tmp_path: Path
) -> None:
    saved, stated = saved_by(write(tmp_path / "one")), override_layers(None, [override], {})
    if is_fine:
        check_overrides(saved, stated, vocab_size=24)
        return
    with pytest.raises(ConfigError, match="cannot be set: a run keeps the"):
        check_overrides(saved, stated, vocab_size=24)


def test_the_optimizer_is_fixed_in_a_resume_and_free_in_a_branch(tmp_path: Path) -> None:
    saved = saved_by(write(tmp_path / "one"))
    stated = override_layers(
        None, (), {"ML_PLAYGROUND_TRAIN_OVERRIDES": '{"optim": {"optimizer": "muon"}}'}
    )
    check_overrides(saved, stated, is_branch=True)
    with pytest.raises(ConfigError, match=r"^ML_PLAYGROUND_TRAIN_OVERRIDES: train\.optim"):
        check_overrides(saved, stated)
