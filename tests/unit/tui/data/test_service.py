"""Datasets are counted, measured, looked for and prepared again; each can be cancelled."""

import json
from pathlib import Path

import pytest
import torch

from builders.commands import Project, make_project
from builders.corpora import prepare
from builders.runs import make_run
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.browsing.search import Match
from transformer_playground.errors import DataError, UsageError
from transformer_playground.tui.core.sampling import cpu_threads
from transformer_playground.tui.data.service import DataService, Target, Task, counted_tokens

TARGET = Target("experiment", "tiny")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = make_project(tmp_path / "project")
    folder = project.experiment
    prepare(PrepareConfig(raw_dir=folder / "raw", dataset_dir=folder / "datasets"))
    return project


@pytest.fixture
def service(project: Project) -> DataService:
    return DataService(project.root / "experiments", project.root / "runs")


def test_counts_are_made_once_and_say_how_far_they_are(service: DataService) -> None:
    source = service.open(TARGET)
    task = Task("counting", counted_tokens(source))
    counts = service.count(source, task)
    assert counts is not None
    assert counts.train.tokens == len(source.dataset.train)
    assert counts.of("val").counts.sum() == len(source.dataset.val)
    assert task.text == "counting: 100%"
    assert service.known_counts(service.open(TARGET)) is counts


def test_a_cancelled_count_is_none_and_not_kept(service: DataService) -> None:
    source, task = service.open(TARGET), Task("counting")
    task.cancel()
    assert service.count(source, task) is None
    assert service.known_counts(source) is None
    assert service.find(source, "train", "bottles", 0, task, backwards=False) is None


def test_a_dataset_that_has_changed_is_not_read(service: DataService, project: Project) -> None:
    source = service.open(TARGET)
    found = service.find(source, "train", "bottles", 0, Task("searching"), backwards=False)
    assert found is not None
    # A shorter file under an open memory map would end the process.
    path = project.experiment / "datasets" / "train.bin"
    path.write_bytes(path.read_bytes()[:64])
    assert not source.is_current
    for read in (
        lambda: service.count(source, Task("counting")),
        lambda: service.find(source, "train", "b", 0, Task("searching"), backwards=False),
        lambda: service.token_cost(source, Task("measuring")),
    ):
        with pytest.raises(DataError, match="prepared again or removed"):
            read()


@pytest.mark.parametrize("measure", ["hardest", "token_cost"])
def test_measuring_leaves_the_cores_to_a_run_in_training(
    service: DataService, monkeypatch: pytest.MonkeyPatch, measure: str
) -> None:
    used: list[int] = []
    for name in ("hardest_windows", "measured_tokens"):
        monkeypatch.setattr(
            f"transformer_playground.tui.data.service.{name}",
            lambda *_: used.append(torch.get_num_threads()),
        )
    source = service.open(TARGET)
    with cpu_threads(2):
        getattr(service, measure)(source, Task("measuring"), 1)
        getattr(service, measure)(source, Task("measuring"))
    assert used == [1, 2]


def test_a_token_is_searched_by_its_id(service: DataService) -> None:
    source = service.open(TARGET)
    token = int(source.dataset.train[7])
    found = service.find(source, "train", token, 7, Task("searching"), backwards=False)
    assert found == Match(7, 7)


def test_a_missing_dataset_is_worth_a_try_once_it_is_prepared(tmp_path: Path) -> None:
    project = make_project(tmp_path / "bare")
    service = DataService(project.root / "experiments", project.root / "runs")
    awaited = service.awaited(TARGET)
    assert not awaited.is_worth_a_try
    folder = project.experiment
    prepare(PrepareConfig(raw_dir=folder / "raw", dataset_dir=folder / "datasets"))
    assert awaited.is_worth_a_try
    assert not service.awaited(TARGET).is_worth_a_try
    assert not service.awaited(Target("experiment", "gone")).is_worth_a_try
    assert not service.awaited(Target("run", "gone")).is_worth_a_try


def test_an_experiment_without_data_says_how_to_prepare_it(tmp_path: Path) -> None:
    project = make_project(tmp_path / "bare")
    service = DataService(project.root / "experiments", project.root / "runs")
    with pytest.raises(DataError, match="no prepared dataset") as caught:
        service.open(TARGET)
    assert "tp prepare tiny" in str(caught.value)


def test_a_dataset_is_prepared_again_although_nothing_has_changed(
    service: DataService, project: Project
) -> None:
    source, task = service.open(TARGET), Task("preparing tiny")
    report = service.prepare(service.preparation(TARGET), task)
    assert report is not None
    assert report.train_tokens == len(source.dataset.train)
    assert not source.is_current
    assert task.text.startswith("preparing tiny: ")
    project.raw.unlink()
    with pytest.raises(DataError, match="raw"):
        service.prepare(service.preparation(TARGET), Task("preparing tiny"))


def test_a_preparation_that_is_stopped_leaves_the_old_dataset(
    service: DataService, project: Project
) -> None:
    source, task = service.open(TARGET), Task("preparing")
    project.raw.write_text("Another text.\n" * 100, encoding="utf-8")
    task.cancel()
    assert service.prepare(service.preparation(TARGET), task) is None
    assert source.is_current


def test_the_dataset_of_a_run_is_prepared_with_the_settings_that_it_recorded(
    service: DataService, project: Project
) -> None:
    run = make_run(project.root / "runs", "first", [])
    elsewhere = "/gone/experiments/tiny/config.toml"
    record = {
        "experiment": "tiny",
        "config": {"prepare": {"val_fraction": 0.25}},
        "provenance": {"prepare.val_fraction": "--set", "train.runtime.seed": elsewhere},
    }
    run.config_path.write_text(json.dumps(record), encoding="utf-8")
    resolved = service.preparation(Target("run", "first"))
    assert resolved.loaded.config.prepare.val_fraction == 0.25
    # The project has moved since.
    assert resolved.experiment.folder == project.experiment
    assert resolved.launch.prepare == "always"
    run.config_path.write_text(json.dumps({"experiment": "..", "config": {}}), encoding="utf-8")
    with pytest.raises(UsageError, match="does not say its experiment"):
        service.preparation(Target("run", "first"))
