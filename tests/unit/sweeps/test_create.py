"""Opening a sweep again: the same one goes on, and what has changed meanwhile is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.errors import UsageError
from transformer_playground.experiments.discovery import Experiment
from transformer_playground.experiments.kept import KeptSettings
from transformer_playground.sweeps import create
from transformer_playground.sweeps.base import Base, settings_digest
from transformer_playground.sweeps.create import open_sweep
from transformer_playground.sweeps.spec import Sweep, save_sweep


def sweep(folder: Path, **train: dict[str, object]) -> Sweep:
    """A sweep of an experiment with these tables of [train]."""
    settings = ExperimentConfig.model_validate({"train": train}).model_dump(mode="json")
    known = Experiment("tiny", folder, folder / "config.toml")
    base = Base("tiny", "", (), KeptSettings(known, settings, {}))
    return Sweep("s", "tiny", (), (1, 2), base=base)


def test_a_sweep_whose_experiment_has_changed_is_refused(tmp_path: Path) -> None:
    open_sweep(tmp_path, sweep(tmp_path), save=True)
    changed = sweep(tmp_path, optim={"grad_clip": 0.125})

    for save in (False, True):
        with pytest.raises(UsageError, match=r"grad_clip = 1\.0; .* has 0\.125 now"):
            open_sweep(tmp_path, changed, save=save)


def test_what_changes_nothing_that_is_learned_does_not_matter(tmp_path: Path) -> None:
    first = sweep(tmp_path)
    saved = open_sweep(tmp_path, first, save=True)
    other = sweep(tmp_path / "elsewhere", runtime={"log_interval": 7, "tensorboard": False})

    assert open_sweep(tmp_path, other, save=True).created == saved.created
    assert first.base is not None
    assert other.base is not None
    assert settings_digest(other.base.kept.settings) == settings_digest(first.base.kept.settings)


def test_of_two_that_save_it_at_once_the_later_one_takes_the_sweep_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(sweep(tmp_path), created="20260131-235959")

    def save(sweeps_dir: Path, asked: Sweep) -> object:
        save_sweep(sweeps_dir, replace(asked, created="20260131-235958"))
        return save_sweep(sweeps_dir, asked)

    monkeypatch.setattr(create, "save_sweep", save)

    assert open_sweep(tmp_path, own, save=True).created == "20260131-235958"
