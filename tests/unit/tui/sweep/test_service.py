"""Reading of sweeps in their folders: what changes, what is gone and what is broken."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from builders.commands import Project, in_process, make_project
from builders.runs import eval_row, make_run, status_row
from transformer_playground.errors import UsageError
from transformer_playground.runs.folder import RunFolder
from transformer_playground.sweeps.create import NewSweep
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.order import requested
from transformer_playground.sweeps.spec import Sweep, load_sweep, save_sweep
from transformer_playground.sweeps.trials import plan
from transformer_playground.tui.sweep import service
from transformer_playground.tui.sweep.service import SweepReader, export_results, train_next


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with the experiment `tiny`."""
    return make_project(tmp_path / "project")


def new(project: Project, name: str, *values: str, seeds: int = 1) -> SweepFolder:
    """Write a sweep."""
    asked = NewSweep("tiny", values or ("norm=rmsnorm,layernorm",), seeds, name=name)
    sweep = asked.create(project.root / "experiments", print)
    return save_sweep(project.root / "sweeps", sweep)


def reader(project: Project) -> SweepReader:
    """A reader of the project's sweeps."""
    root = project.root
    return SweepReader(root / "sweeps", root / "experiments", root / "runs")


def finish(project: Project, folder: SweepFolder, number: int, loss: float) -> RunFolder:
    """The run of a trial, as if it had been trained."""
    trial = plan(load_sweep(folder))[number]
    rows = [status_row(0, "running"), eval_row(5, loss), status_row(20, "finished")]
    return make_run(project.root / "runs", trial.run_id, rows, experiment="tiny")


def test_the_chosen_sweep_has_results_and_all_have_rows(project: Project) -> None:
    old, _ = new(project, "old"), new(project, "newer", seeds=2)
    os.utime(old.spec_path, (1, 1))
    finish(project, old, 1, 2.5)

    reading = reader(project).read("old")

    assert [row.sweep_id for row in reading.rows] == ["newer", "old"]
    assert reading.chosen == "old"
    assert reading.results is not None
    assert reading.results.counts["finished"] == 1
    assert reading.rows[1].best_loss == 2.5
    assert reading.rows[0].counts == {
        "finished": 0,
        "running": 0,
        "open": 4,
        "pruned": 0,
        "failed": 0,
    }


def test_results_stay_the_same_object_until_a_run_changes(project: Project) -> None:
    folder, found = new(project, "s"), reader(project)
    before = found.read(None).results

    assert found.read(None).results is before
    finish(project, folder, 0, 2.5)
    after = found.read(None).results

    assert after is not None
    assert after.counts["finished"] == 1


def test_an_edited_file_is_read_again(project: Project) -> None:
    folder, found = new(project, "s"), reader(project)
    found.read(None)
    folder.spec_path.write_text(
        folder.spec_path.read_text().replace("[1337]", "[1337, 1338, 1339]")
    )

    results = found.read(None).results

    assert results is not None
    assert sum(results.counts.values()) == 6


def test_a_broken_file_is_a_row_with_the_reason(project: Project) -> None:
    folder, found = new(project, "s"), reader(project)
    found.read(None)
    folder.spec_path.write_text("method = 'x'")

    reading = found.read(None)

    assert reading.results is None
    assert "method" in reading.rows[0].problem
    new(project, "other")
    assert found.read("s").rows[1].problem or found.read("s").rows[0].problem


def test_an_unforeseen_fault_in_one_sweep_is_said_in_its_row_and_hides_no_other(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    new(project, "odd")
    new(project, "good")
    results_of = service.results_of

    def broken(sweep: Sweep, *more: Any) -> service.SweepResults:
        if sweep.sweep_id == "odd":
            raise ZeroDivisionError("no losses")
        return results_of(sweep, *more)

    monkeypatch.setattr(service, "results_of", broken)
    reading = reader(project).read("odd")

    rows = {row.sweep_id: row for row in reading.rows}
    assert reading.results is None
    assert rows["odd"].problem == "ZeroDivisionError: no losses"
    assert rows["good"].counts is not None


def test_a_folder_that_vanishes_leaves_the_list(project: Project) -> None:
    folder, found = new(project, "s"), reader(project)
    new(project, "other")
    assert found.read("s").chosen == "s"
    shutil.rmtree(folder.root)

    reading = found.read("s")

    assert reading.chosen == "other"
    assert [row.sweep_id for row in reading.rows] == ["other"]
    shutil.rmtree(project.root / "sweeps")
    assert found.read("s").rows == ()


def test_requests_and_a_stop_are_part_of_the_results(project: Project) -> None:
    folder, found = new(project, "s", seeds=2), reader(project)
    results = found.read(None).results
    assert results is not None

    assert train_next(folder, results.combinations[1].states) == 2
    folder.stop_path.touch()
    again = found.read(None).results

    assert again is not None
    assert again.is_stopped
    # Its seeds in their order.
    assert list(again.requested) == [each.trial.run_id for each in results.combinations[1].states]
    assert requested(folder) == list(again.requested)


def test_a_combination_without_a_waiting_run_cannot_be_next(project: Project) -> None:
    folder, found = new(project, "s"), reader(project)
    finish(project, folder, 0, 2.5)
    results = found.read(None).results
    assert results is not None

    with pytest.raises(UsageError, match="has finished"):
        train_next(folder, results.combinations[0].states)


def test_results_are_exported_as_csv_and_markdown(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, found = new(project, "s"), reader(project)
    finish(project, folder, 0, 2.5)
    results = found.read(None).results
    assert results is not None

    table = export_results(results, "csv", tmp_path).read_text().splitlines()
    text = export_results(results, "md", tmp_path).read_text()

    assert table[0].startswith("trial,model.norm,seed,state,run")
    assert len(table) == 3
    assert text.startswith("s: 2 runs = 2 norm; 1 finished, 1 open\n")
    assert text == in_process(project, capsys, "sweep", "show", "s", "--markdown").out
    assert "| rmsnorm" in text
