"""`tp compare --paired`: two models on every window of the validation split."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.commands import Ended, Project, Tp
from builders.schemas import check
from transformer_playground.comparison.windows import measure_windows
from transformer_playground.config.sample import SampleRuntimeConfig
from transformer_playground.experiments.dataset_lookup import find_dataset, saved_config
from transformer_playground.report.evaluation import full_validation
from transformer_playground.runs.folder import read_run_config
from transformer_playground.runs.generation import load_model
from transformer_playground.runs.window_losses import best_checkpoint, read_window_losses

PAIRED = ("compare", "--run-ids", "first,second", "--n-samples", 0, "--paired")


@pytest.fixture
def two(trained: Project) -> Project:
    """The runs `first` and `second`: the same weights, settings that differ."""
    shutil.copytree(trained.run_named("first").root, trained.run_named("second").root)
    path = trained.run_named("second").config_path
    text = path.read_text()
    path.write_text(text.replace('"learning_rate": ', '"learning_rate": 1'))
    return trained


def verdict(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended.err
    (found,) = ended.lines
    check("compare", found)
    return dict(found["verdict"])


def test_equal_models_are_not_distinguishable_and_their_losses_are_kept(
    two: Project, tp: Tp
) -> None:
    assert verdict(tp(*PAIRED[:-1], "--json"))["conclusion"] == "untested"
    ended = tp(*PAIRED, "--json")
    found = verdict(ended)
    assert "evaluating second on the whole validation split" in ended.err
    assert found["test"]["method"] == "paired_windows"
    assert (found["conclusion"], found["p_value"]) == ("not_distinguishable", 1.0)
    # Whoever compares again finds them.
    again = tp(*PAIRED[:-1], "--json")
    assert verdict(again) == found
    assert "evaluating" not in tp(*PAIRED, "--json").err


def test_a_run_without_its_dataset_is_named_and_stays_untested(two: Project, tp: Tp) -> None:
    shutil.rmtree(two.root / "experiments" / "tiny" / "datasets")
    ended = tp(*PAIRED, "--json")
    assert verdict(ended)["conclusion"] == "untested"
    assert "second cannot be compared by windows: The validation split" in ended.err


def test_the_windows_add_up_to_the_loss_of_a_report(trained: Project) -> None:
    run = trained.run_named("first")
    record = read_run_config(run)
    dataset = find_dataset(record, stated=None, experiments_dir=None).dataset
    assert dataset is not None
    checkpoint = best_checkpoint(run)
    assert checkpoint is not None
    model, _ = load_model(checkpoint[0], SampleRuntimeConfig())
    whole = full_validation(
        model, dataset, saved_config(record), max_batches=None, cancelled=lambda: False
    )
    assert whole is not None
    losses = measure_windows(run)
    assert losses is not None
    assert losses.targets.sum() == len(dataset.val) - 1
    assert losses.sums.sum() / losses.targets.sum() == pytest.approx(whole.loss, rel=1e-5)
    kept = read_window_losses(run)
    assert kept is not None
    assert np.array_equal(kept.sums, losses.sums)


def test_an_evaluation_that_is_cancelled_keeps_nothing(trained: Project) -> None:
    run = trained.run_named("first")
    assert measure_windows(run, cancelled=lambda: True) is None
    assert not Path(run.evaluations).exists()
