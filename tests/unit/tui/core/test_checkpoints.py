"""Checkpoints to choose from: one entry for each file, and none twice in a sampling job."""

from pathlib import Path

import pytest

from builders.checkpoints import save
from builders.runs import make_run
from transformer_playground.checkpoints.format import NANOGPT_NAME
from transformer_playground.tui.core.checkpoints import (
    Choices,
    choices_of,
    sources_of,
    sources_of_runs,
)
from transformer_playground.tui.core.sampling import Source


@pytest.fixture
def choices(tmp_path: Path) -> Choices:
    """Best at step 2, last at step 4, and an older one at step 3."""
    run = make_run(tmp_path, "run")
    for step, loss in ((1, 3.0), (2, 1.5), (3, None), (4, None)):
        save(run.checkpoints, step, val_loss=loss, keep_last=2)
    (run.root / NANOGPT_NAME).write_bytes(b"old")
    return choices_of(tmp_path, "run")


def test_each_file_is_one_choice_with_all_its_names(choices: Choices) -> None:
    found = [(each.step, each.roles, each.metric) for each in choices.checkpoints]
    assert found == [
        (2, ("best",), 1.5),
        (4, ("last",), None),
        (3, (), None),
        (None, (), None),
    ]
    best = choices.named("best")
    assert best is not None
    assert "best_val.pt" in best.names
    assert choices.named("best_val.pt") is best
    assert choices.named("nothing") is None


def test_best_and_last_of_one_step_are_one_choice(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run")
    save(run.checkpoints, 7, val_loss=1.0)
    (choice,) = choices_of(tmp_path, "run").checkpoints
    assert (choice.roles, choice.step, choice.metric) == (("best", "last"), 7, 1.0)
    assert choice.name == "best"


def test_a_job_samples_each_file_once_and_only_what_there_is(choices: Choices) -> None:
    assert sources_of(choices, ["best", "best_val.pt", "last"]) == (
        Source("run", "best"),
        Source("run", "last"),
    )
    assert sources_of(choices, ["gone"]) == (Source("run", "best"),)
    runs = ["a", "b", "c", "d", "e", "f", "g"]
    assert sources_of_runs(runs, "last")[0] == Source("a", "last")
    assert sources_of_runs(runs, "ckpt_7.pt")[-1] == Source("f", "auto")


def test_a_checkpoint_of_which_only_the_sidecar_is_left_is_no_choice(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run")
    for step in (1, 2):
        save(run.checkpoints, step, keep_last=2)
    (run.checkpoints / "ckpt_last_00000001.pt").unlink()
    names = [name for each in choices_of(tmp_path, "run").checkpoints for name in each.names]
    assert "ckpt_last_00000002.pt" in names
    assert "ckpt_last_00000001.pt" not in names
