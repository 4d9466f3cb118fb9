"""A disk that is full in the middle of a sweep: one sentence, and nothing is lost or done twice."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest

from builders.commands import Project, Tp
from builders.disks import WatchedDisk, refuse_from
from builders.runs import make_run, status_row
from transformer_playground.files import spread_indices
from transformer_playground.runs.folder import RunFolder, open_run
from transformer_playground.runs.manage import delete_runs
from transformer_playground.runs.status import derive_status, hold_lock
from transformer_playground.runs.summary_file import summarise
from transformer_playground.sweeps import runner
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.search import JOURNAL
from transformer_playground.sweeps.spec import load_sweep
from transformer_playground.sweeps.trials import plan

NEW = (
    *("sweep", "new", "tiny", "--name", "s", "--set", "norm=rmsnorm,layernorm"),
    *("--set", "max_iters=4", "--set", "eval_interval=2"),
)
GRID = ()
SEARCH = ("--method", "tpe", "--runs", "2")
MOMENTS = 5


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


def test_a_disk_with_room_for_rows_but_not_for_checkpoints_fails_no_run(
    tp: Tp, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    tp(*NEW)
    tp("prepare", "tiny")
    with monkeypatch.context() as patch:
        usage = shutil.disk_usage(project.root)
        patch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000))
        full = tp("sweep", "run", "s")
    assert full.code == 1
    assert "its last checkpoint (step 4) was not saved" in full.err
    assert "Free some disk space and start it again" in full.err
    assert [derive_status(run).state for run in project.runs] == ["interrupted"]

    again = tp("sweep", "run", "s")

    assert again.code == 0, again.err
    assert len(finished(project)) == 2


@pytest.mark.parametrize("state", ["moved", "locked"])
def test_runs_that_another_process_begins_again_are_left_to_it(
    tp: Tp, project: Project, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    tp(*NEW, "--seeds", "2")
    tp("prepare", "tiny")
    for trial in plan(load_sweep(SweepFolder(project.root / "sweeps" / "s"))):
        make_run(project.root / "runs", trial.run_id, [status_row(0, "running")])

    with contextlib.ExitStack() as other:

        def open_later(runs_dir: Path, run_id: str) -> RunFolder:
            run = open_run(runs_dir, run_id)
            if state == "locked":
                other.enter_context(hold_lock(run))
            else:
                delete_runs([run])
            return open_run(runs_dir, run_id)

        monkeypatch.setattr(runner, "open_run", open_later)
        ended = tp("sweep", "run", "s", "--json")

    assert ended.code == 0, ended.err
    assert [line["counts"]["open"] for line in ended.lines] == [4]
