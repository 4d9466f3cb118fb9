"""A disk that is full in the middle of a sweep: one sentence, and nothing is lost or done twice."""

import json
import shutil
from pathlib import Path

import pytest

from builders.commands import Project, Tp, in_process, make_project
from builders.disks import WatchedDisk, refuse_from
from transformer_playground.files import spread_indices
from transformer_playground.runs.summary import summarise
from transformer_playground.sweeps.search import JOURNAL

NEW = (
    *("sweep", "new", "tiny", "--name", "s", "--set", "norm=rmsnorm,layernorm"),
    *("--set", "max_iters=4", "--set", "eval_interval=2"),
)
GRID = ()
SEARCH = ("--method", "tpe", "--runs", "2")
MOMENTS = 5


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with the experiment `tiny`, nothing prepared."""
    return make_project(tmp_path / "project")


@pytest.fixture
def tp(project: Project, capsys: pytest.CaptureFixture[str]) -> Tp:
    """Commands in the folder of `project`."""
    return lambda *words: in_process(project, capsys, *words)


def table(tp: Tp) -> list[str]:
    """Each run with its loss, without times."""
    document = tp("sweep", "show", "s", "--json").lines[0]
    return sorted(
        json.dumps([each["values"], trial["run_id"], trial["state"], trial["best_val_loss"]])
        for each in document["combinations"]
        for trial in each["trials"]
    )


def finished(project: Project) -> set[str]:
    return {run.run_id for run in project.runs if summarise(run)["status"] == "finished"}


def begin_again(project: Project) -> None:
    """Leave of the sweep only what `tp sweep new` wrote."""
    shutil.rmtree(project.root / "runs")
    (project.root / "sweeps" / "s" / JOURNAL).unlink(missing_ok=True)


@pytest.mark.parametrize("method", [GRID, SEARCH], ids=["grid", "search"])
def test_a_sweep_ends_with_one_sentence_and_goes_on_to_the_same_table(
    tp: Tp, project: Project, method: tuple[str, ...]
) -> None:
    assert tp(*NEW, *method).code == 0
    assert tp("prepare", "tiny").code == 0
    tp("sweep", "run", "s")
    expected = table(tp)
    begin_again(project)
    with WatchedDisk(project.root) as disk:
        tp("sweep", "run", "s")
    assert table(tp) == expected

    for number in spread_indices(disk.operations, MOMENTS)[1:-1]:
        begin_again(project)
        with WatchedDisk(project.root, refuse_from(number)):
            full = tp("sweep", "run", "s")
        assert full.code != 0, number
        errors = [line for line in full.err.splitlines() if line.startswith("error:")]
        assert len(errors) == 1, full.err
        assert "No space left on device" in errors[0]
        done = finished(project)
        for run in project.runs:
            # Not even that could be removed, but a process that has ended does not count.
            run.writer_path.unlink(missing_ok=True)

        again = tp("sweep", "run", "s", "--json")

        assert again.code == 0, again.err
        assert done.isdisjoint(line["run_id"] for line in again.lines if "run_id" in line)
        assert table(tp) == expected
