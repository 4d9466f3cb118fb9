"""Lists take the summary of an ended run from summary.json, while it belongs to the rows."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builders.runs import append_rows, eval_row, make_run, measured_rows, status_row, train_row
from transformer_playground.runs import summary_file
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.index import INDEX_NAME
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.manage import rename_run
from transformer_playground.runs.status import RunLock
from transformer_playground.runs.summary import read_summary
from transformer_playground.runs.summary_file import write_summary

ROWS = [
    *measured_rows(),
    status_row(20, "failed", time=121.0, error="out of memory \ud800"),
]
STORED = 1.25


def best_loss(runs_dir: Path) -> float | None:
    """The best loss of the only run, read without an index."""
    (runs_dir / INDEX_NAME).unlink(missing_ok=True)
    (row,) = list_runs(runs_dir)
    return row.summary.best_val_loss


def ended_run(runs_dir: Path) -> RunFolder:
    """A run whose summary.json states another best loss than its rows, which shows its use."""
    run = make_run(runs_dir, rows=[*ROWS[:-1], status_row(20, "finished", time=121.0)])
    write_summary(run)
    change_rows(run, lambda rows: rows["summary"].update(best_val_loss=STORED))
    return run


def change_rows(run: RunFolder, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(run.summary_path.read_bytes())
    change(document["rows"])
    run.summary_path.write_text(json.dumps(document))


@pytest.mark.parametrize(
    "rows", [ROWS, ROWS[:3], [*ROWS[:2], train_row(5, train_loss=float("nan"))], []]
)
def test_a_list_is_the_same_with_and_without_the_stored_summary(
    tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    run = make_run(tmp_path, rows=rows)
    expected = list_runs(tmp_path)
    write_summary(run)
    (tmp_path / INDEX_NAME).unlink()

    again = list_runs(tmp_path)

    assert again == expected
    assert again[0].position.offset == expected[0].position.offset
    assert again[0].summary.val_curve == expected[0].summary.val_curve


def test_the_rows_of_an_ended_run_are_not_read(tmp_path: Path) -> None:
    ended_run(tmp_path)
    assert best_loss(tmp_path) == STORED


def append(run: RunFolder) -> None:
    append_rows(run, [train_row(30, time=130.0)])


def rewrite(run: RunFolder) -> None:
    content = run.metrics_path.read_bytes()
    state = run.metrics_path.stat()
    run.metrics_path.write_bytes(content)
    os.utime(run.metrics_path, ns=(state.st_atime_ns, state.st_mtime_ns + 1))


def tear(run: RunFolder) -> None:
    content = run.summary_path.read_bytes()
    run.summary_path.write_bytes(content[:-20])


def link(run: RunFolder) -> None:
    run.summary_path.rename(run.root / "other.json")
    run.summary_path.symlink_to("other.json")


CHANGES: dict[str, Callable[[RunFolder], object]] = {
    "a row was added": append,
    "the rows were replaced by as many bytes": rewrite,
    "torn": tear,
    "a link": link,
    "missing": lambda run: run.summary_path.unlink(),
    "a list": lambda run: run.summary_path.write_text("[]"),
    "deep": lambda run: run.summary_path.write_text("[" * 100_000),
    "of an older version": lambda run: run.summary_path.write_text('{"best_val_loss": 1.25}'),
    "of another version": lambda run: change_rows(run, lambda rows: rows.update(version=1)),
    "read beyond its end": lambda run: change_rows(run, lambda rows: rows.update(read=10**6)),
    "read to nowhere": lambda run: change_rows(run, lambda rows: rows.update(read=None)),
    "mistyped": lambda run: change_rows(run, lambda rows: rows["summary"].update(step="x")),
    "with unknown figures": lambda run: change_rows(run, lambda rows: rows["summary"].update(x=1)),
    "without figures": lambda run: change_rows(run, lambda rows: rows.pop("summary")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_summary_of_other_rows_and_a_damaged_one_are_not_used(
    tmp_path: Path, change: str
) -> None:
    run = ended_run(tmp_path)
    CHANGES[change](run)
    assert best_loss(tmp_path) == 2.0


def test_the_rows_of_a_run_that_is_written_are_read(tmp_path: Path) -> None:
    run = ended_run(tmp_path)
    with RunLock(run):
        assert best_loss(tmp_path) == 2.0


def test_a_resumed_run_is_listed_as_its_rows_say(tmp_path: Path) -> None:
    run = ended_run(tmp_path)
    assert best_loss(tmp_path) == STORED
    with RunLock(run):
        append_rows(run, [status_row(20, "running", time=200.0), eval_row(30, 1.5, time=210.0)])
        (row,) = list_runs(tmp_path)
        assert (row.state, row.summary.best_val_loss) == ("running", 1.5)
        assert row.summary.tokens_per_sec_median is not None
        append_rows(run, [eval_row(40, 1.75, time=220.0)])
        (row,) = list_runs(tmp_path)
        assert (row.summary.eval_step, row.summary.best_val_loss) == (40, 1.5)


def test_rows_added_while_the_summary_is_computed_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path, rows=ROWS)

    def read_and_append(path: Path) -> Any:
        found = read_summary(path)
        append_rows(run, [eval_row(30, 1.5, time=210.0)])
        return found

    monkeypatch.setattr(summary_file, "read_summary", read_and_append)
    write_summary(run)
    assert best_loss(tmp_path) == 1.5


def test_a_renamed_run_and_a_copy_with_its_times_keep_the_summary(tmp_path: Path) -> None:
    run = ended_run(tmp_path / "runs")
    renamed, _ = rename_run(run, "other")
    assert best_loss(tmp_path / "runs") == STORED
    shutil.copytree(renamed.root, tmp_path / "copies" / "other")
    assert best_loss(tmp_path / "copies") == STORED
