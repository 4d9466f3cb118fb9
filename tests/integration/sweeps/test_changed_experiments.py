"""Sweeps whose experiment, dataset or file is changed between their runs: nothing is mixed."""

import json
from typing import Any

import pytest

from builders.commands import Project, Tp
from transformer_playground.runs.folder import read_run_config

NEW = (
    *("sweep", "new", "tiny", "--name", "s", "--set", "model.norm=rmsnorm,layernorm"),
    *("--set", "max_iters=2"),
)


def edit(project: Project, text: str) -> None:
    """Append a table to the experiment's file."""
    path = project.experiment / "config.toml"
    path.write_text(path.read_text() + text)


def rename(project: Project, old: str, new: str) -> None:
    """Replace a text in the sweep's file."""
    path = project.root / "sweeps" / "s" / "sweep.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def seeds(project: Project, *numbers: int) -> None:
    """Give the sweep these seeds."""
    path = project.root / "sweeps" / "s" / "sweep.toml"
    lines = path.read_text().splitlines()
    stated = [f"seeds = {list(numbers)}" if line.startswith("seeds") else line for line in lines]
    path.write_text("\n".join(stated))


def clips(project: Project) -> set[float]:
    """Values of a setting over all runs."""
    return {read_run_config(run)["config"]["train"]["optim"]["grad_clip"] for run in project.runs}


def base(project: Project) -> dict[str, Any]:
    """What the sweep has kept."""
    path = project.root / "sweeps" / "s" / "experiment.json"
    kept: dict[str, Any] = json.loads(path.read_text())
    return kept


def test_an_edited_experiment_and_another_environment_do_not_change_a_sweep(
    tp: Tp, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    tp(*NEW)
    before = base(project)["settings"]["train"]["optim"]["grad_clip"]
    edit(project, "\n[train.optim]\ngrad_clip = 0.125\n")
    tp("sweep", "run", "s")
    assert clips(project) == {before}
    assert base(project)["dataset"]

    seeds(project, 1, 2)
    override = json.dumps({"optim": {"grad_clip": 0.25}})
    monkeypatch.setenv("ML_PLAYGROUND_TRAIN_OVERRIDES", override)
    (project.experiment / "config.toml").write_text("nonsense = 1")

    assert tp("sweep", "run", "s").code == 0
    assert clips(project) == {before}
    assert len(project.runs) > 2


def test_another_environment_does_not_change_a_run_that_is_resumed(
    tp: Tp, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Successive halving stops runs, and resumes those that go on.
    tp(
        *("sweep", "new", "tiny", "--name", "s", "--set", "learning_rate=1e-5,1e-2"),
        *("--set", "max_iters=4", "--set", "eval_interval=2", "--halving", "2", "--factor", "2"),
    )
    before = base(project)["settings"]["train"]["optim"]["grad_clip"]
    override = json.dumps({"optim": {"grad_clip": 0.25}})
    monkeypatch.setenv("ML_PLAYGROUND_TRAIN_OVERRIDES", override)

    ended = tp("sweep", "run", "s", "--json")

    assert ended.lines[-1]["counts"]["finished"] == 1
    assert clips(project) == {before}


def test_a_sweep_without_a_copy_goes_on_with_the_settings_of_its_first_run(
    tp: Tp, project: Project
) -> None:
    tp(*NEW)
    tp("sweep", "run", "s")
    before = clips(project)
    (project.root / "sweeps" / "s" / "experiment.json").unlink()
    edit(project, "\n[train.optim]\ngrad_clip = 0.125\n")
    seeds(project, 1, 2)
    assert tp("sweep", "show", "s").code == 0

    assert tp("sweep", "run", "s").code == 0

    assert clips(project) == before
    assert len(project.runs) > 2


def test_a_dataset_that_was_prepared_again_is_refused(tp: Tp, project: Project) -> None:
    tp(*NEW)
    tp("sweep", "run", "s")
    seeds(project, 1, 2)
    runs = len(project.runs)
    project.raw.write_text(project.raw.read_text() * 2)
    tp("prepare", "tiny")

    ended = tp("sweep", "run", "s")

    assert ended.code != 0
    assert "is not the one of the runs of this sweep" in ended.err
    assert len(project.runs) == runs


def test_a_text_that_has_changed_does_not_replace_the_dataset_of_a_sweep(
    tp: Tp, project: Project
) -> None:
    tp(*NEW)
    tp("sweep", "run", "s")
    seeds(project, 1, 2)
    project.raw.write_text(project.raw.read_text() * 2)

    assert tp("sweep", "run", "s").code == 0
    prints = {read_run_config(run)["dataset"]["fingerprint"] for run in project.runs}
    assert prints == {base(project)["dataset"]}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('experiment = "tiny"', 'experiment = "other"', "was made from tiny, not from other"),
        ("train.runtime.max_iters=2", "train.optim.grad_clip=1", "settings no longer has"),
    ],
)
def test_a_file_that_contradicts_what_was_kept_is_refused(
    tp: Tp, project: Project, old: str, new: str, message: str
) -> None:
    tp(*NEW)
    rename(project, old, new)

    shown = tp("sweep", "show", "s")

    assert shown.code == 2
    assert message in " ".join(shown.err.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "experiment.json is damaged"),
        ("[]", "experiment.json is damaged"),
        ('{"experiment": 1}', "experiment.json is damaged: experiment"),
    ],
)
def test_a_damaged_copy_is_one_sentence(tp: Tp, project: Project, text: str, message: str) -> None:
    tp(*NEW)
    (project.root / "sweeps" / "s" / "experiment.json").write_text(text)

    shown = tp("sweep", "show", "s")

    assert shown.code == 2
    assert message in " ".join(shown.err.split())
    assert "Traceback" not in shown.err
