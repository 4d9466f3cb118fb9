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


def resumed(
    saved: dict[str, Any],
    current: LoadedConfig | None,
    *overrides: str,
    config_file: Path | None = None,
    datasets: tuple[Path, ...] = (),
    **record: Any,
) -> LoadedConfig:
    return load_resumed_config(
        {"config": saved, **record},
        current,
        override_layers(config_file, overrides, {}),
        path=Path("/runs/one/config.json"),
        is_dataset=datasets.__contains__,
    )


def changes(saved: dict[str, Any], *overrides: str, vocab_size: int | None = None) -> list[str]:
    record = {"config": saved, "dataset": {"vocab_size": vocab_size}}
    layers = override_layers(None, overrides, {})
    return list(changed_settings(record, resumed(saved, None, *overrides), layers))


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
    loaded = resumed(saved_by(path), load_config(path), config_file=stated)
    assert loaded.config.train.runtime.seed == 7


def test_data_paths_follow_a_moved_experiment(tmp_path: Path) -> None:
    saved = saved_by(write(tmp_path / "one"))
    moved = load_config(write(tmp_path / "two"))
    assert resumed(saved, moved).config.prepare == moved.config.prepare


def test_only_a_setting_that_the_command_changes_is_reported(tmp_path: Path) -> None:
    saved = saved_by(write(tmp_path / "one"), "train.runtime.seed=5")
    assert changes(saved, "train.runtime.seed=6", "train.optim.beta1=0.9") == [
        "train.runtime.seed: 6 instead of the run's 5"
    ]
    assert changes(saved) == changes(saved, "train.runtime.seed=5") == []
    assert changes(saved, "model.vocab_size=24", vocab_size=24) == []


def test_origins_of_settings_stay_as_recorded_over_any_number_of_resumes(tmp_path: Path) -> None:
    path = write(tmp_path / "one")
    first = load_config(path, overrides=["train.runtime.seed=5"])
    provenance = first.provenance
    for current in (first, None, load_config(path)):
        saved = first.config.model_dump(mode="json")
        loaded = resumed(saved, current, provenance=provenance)
        assert loaded.provenance == first.provenance
        provenance = loaded.provenance
    loaded = resumed(saved, None, "train.optim.beta1=0.8", provenance=provenance)
    assert loaded.provenance == {**first.provenance, "train.optim.beta1": "--set"}


def test_a_setting_that_is_put_back_to_its_default_has_no_origin(tmp_path: Path) -> None:
    path = write(tmp_path / "one")
    first = load_config(path, overrides=["train.runtime.seed=5"])
    saved = first.config.model_dump(mode="json")
    default = load_config(path).config.train.runtime.seed
    loaded = resumed(saved, None, f"train.runtime.seed={default}", provenance=first.provenance)
    assert "train.runtime.seed" not in loaded.provenance


@pytest.mark.parametrize("provenance", [None, {}, 3, {"model.n_layer": "a.toml"}])
def test_an_origin_that_was_never_recorded_is_the_record(provenance: Any, tmp_path: Path) -> None:
    saved = saved_by(write(tmp_path / "one"), "train.runtime.seed=5")
    loaded = resumed(saved, None, provenance=provenance)
    assert loaded.provenance["train.runtime.seed"] == "the run's config.json"


def test_a_run_needs_no_experiment_to_be_resumed(tmp_path: Path) -> None:
    saved = saved_by(write(tmp_path / "one"), "train.runtime.seed=5")
    loaded = resumed(saved, None, "train.runtime.max_iters=99")
    expected = saved_by(tmp_path / "one/config.toml", "train.runtime.seed=5")
    expected["train"]["runtime"]["max_iters"] = 99
    assert loaded.config.model_dump(mode="json") == expected


def test_the_dataset_is_taken_from_where_it_exists(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one"), write(tmp_path / "two")
    saved, now = saved_by(one), load_config(two)
    (tmp_path / "one/raw").mkdir()
    for folder, raw in (("one", "one"), ("two", "one"), ("", "two")):
        found = (tmp_path / folder / "datasets",) if folder else ()
        prepare = resumed(saved, now, datasets=found).config.prepare
        assert prepare.dataset_dir == tmp_path / (folder or "two") / "datasets"
        assert prepare.raw_dir == tmp_path / raw / "raw"


def test_the_record_names_the_text_that_the_dataset_was_made_of(tmp_path: Path) -> None:
    saved = saved_by(write(tmp_path / "one"), "prepare.bundled=tiny_shakespeare")
    (tmp_path / "one/raw").mkdir()
    extra = '\n[prepare]\nbundled = "bundestag_sample"\nraw_dir = "other"\n'
    now = load_config(write(tmp_path / "one", extra))
    loaded = resumed(saved, now, datasets=(tmp_path / "one/datasets",))
    assert loaded.config.model_dump(mode="json")["prepare"] == saved["prepare"]


def test_a_vocabulary_size_that_was_filled_in_counts_as_unset(tmp_path: Path) -> None:
    saved = saved_by(write(tmp_path / "one"), "model.vocab_size=24")
    dataset = {"vocab_size": 24}
    filled = resumed(saved, None, dataset=dataset, provenance={})
    assert filled.config.model.vocab_size is None
    stated = resumed(saved, None, dataset=dataset, provenance={"model.vocab_size": "--set"})
    assert stated.config.model.vocab_size == 24
    unset = saved_by(tmp_path / "one/config.toml")
    same = resumed(unset, None, "model.vocab_size=24", dataset=dataset)
    assert same.config.model.vocab_size is None


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


@pytest.mark.parametrize("warmup", [None, 100])
def test_omitted_schedule_settings_fit_other_steps_and_rates_and_stated_ones_stay(
    warmup: int | None, tmp_path: Path
) -> None:
    path = write(tmp_path / "one")
    unset = ("train.schedule.warmup_iters=none", "train.schedule.min_lr=none")
    current = load_config(path, overrides=(*unset, "train.runtime.max_iters=2000"))
    saved = current.config.model_dump(mode="json")
    # Older versions saved their defaults.
    saved["train"]["schedule"] |= {"warmup_iters": warmup, "min_lr": warmup and 1e-4}
    train = resumed(saved, current).config.train
    assert (train.warmup_iters, train.min_lr) == (
        100,
        1e-4 if warmup else current.config.train.min_lr,
    )
    if warmup is None:
        small = resumed(
            saved, current, "train.optim.learning_rate=1e-9", "train.runtime.max_iters=9"
        )
        assert (small.config.train.warmup_iters, small.config.train.min_lr) == (0, 1e-10)
