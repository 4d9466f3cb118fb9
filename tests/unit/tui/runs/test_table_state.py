"""The state of the runs table: filter, order, columns and cells, without a screen."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from builders.runs import append_rows, eval_row, make_run, run_info, status_row, train_row
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.listing import list_runs
from transformer_playground.training.launch import Launch
from transformer_playground.tui.core.job_queue import Job, with_job, with_jobs
from transformer_playground.tui.core.snapshot import RowReader
from transformer_playground.tui.runs.table_state import RunsTableState, find_column

NOW = 10_000.0


def rows(**losses: float | None) -> Mapping[str, RunInfo]:
    return {
        run_id: run_info(
            run_id, "finished", step=50, max_iters=100, val_loss=loss, created=NOW - 60 - number
        )
        for number, (run_id, loss) in enumerate(losses.items())
    }


def state_of(**losses: float | None) -> RunsTableState:
    state = RunsTableState()
    state.take(rows(**losses), NOW)
    return state


def cell(state: RunsTableState, run_id: str, key: str) -> str:
    column = next(column for column in state.columns() if column.key == key)
    return state.text(run_id, column, NOW)


def test_equal_rows_change_nothing_and_one_other_row_changes_that_one_alone() -> None:
    state = state_of(a=1.0, b=2.0)
    before = state.runs
    assert not state.take(rows(a=1.0, b=2.0), NOW)
    assert state.take(rows(a=1.0, b=3.0), NOW)
    assert state.runs["a"] is before["a"]
    assert cell(state, "b", "val_loss") == "3.0000"


def test_the_newest_run_comes_first_and_runs_without_a_value_last() -> None:
    state = state_of(new=None, middle=2.0, old=1.0)
    assert state.order == ("new", "middle", "old")
    state.sort_by("val_loss", NOW)
    assert state.order == ("old", "middle", "new")
    state.sort_by("val_loss", NOW)
    assert state.order == ("middle", "old", "new")


def test_a_filter_that_does_not_parse_keeps_the_rows_and_shows_the_error() -> None:
    state = state_of(a=1.0, b=2.0)
    state.filter("val_loss<1.5", NOW)
    assert state.order == ("a",)
    state.filter("val_loss<", NOW)
    assert state.order == ("a",)
    assert "Missing value" in state.problem
    state.filter("zebra", NOW)
    assert not state.order
    assert state.problem == ""


def test_half_a_field_name_does_not_empty_the_table() -> None:
    state = state_of(a=1.0, b=2.0)
    state.filter("tokens_pe", NOW)
    assert state.order == ("a", "b")


def test_the_baseline_comes_first_and_others_show_their_difference_to_it() -> None:
    state = state_of(a=1.0, b=2.5, c=None)
    state.baseline = "b"
    state.arrange(NOW)
    assert state.order[0] == "b"
    assert [cell(state, run_id, "delta") for run_id in "abc"] == ["-1.5000", "", ""]


@pytest.mark.parametrize(
    ("step", "most", "shown"),
    [
        (0, 100, "╌╌╌╌╌╌   0%"),
        (50, 100, "━━━╌╌╌  50%"),
        (1999, 2000, "━━━━━╌  99%"),
        (2000, 2000, "━━━━━━ 100%"),
        (3000, 2000, "━━━━━━ 100%"),
        (7, None, "7"),
        (None, 10, ""),
    ],
)
def test_progress_is_a_bar_that_is_full_only_at_the_end(
    step: int | None, most: int | None, shown: str
) -> None:
    state = RunsTableState()
    state.take({"a": run_info("a", "running", step=step, max_iters=most)}, NOW)
    assert state.text("a", find_column("progress"), NOW) == shown


def test_a_column_grows_with_its_content_and_never_shrinks() -> None:
    state = RunsTableState(["note"])
    state.take({"a": run_info("a", "finished", note="seven letters")}, NOW)
    column = find_column("note")
    assert state.width(column, NOW) == len("seven letters")
    state.take({"a": run_info("a", "finished", note="x")}, NOW)
    assert state.width(column, NOW) == len("seven letters")
    state.take({"a": run_info("a", "finished", note="x" * 1_000)}, NOW)
    assert state.width(column, NOW) < 100


def test_a_run_in_training_has_the_state_of_its_job_and_the_numbers_of_its_files() -> None:
    job = Job(1, Launch("tiny"), state="paused", run_id="a", step=70, max_iters=200)
    shown = with_jobs(rows(a=3.0, b=1.0), [job])
    assert (shown["a"].state, shown["a"].summary.step, shown["a"].max_iters) == ("paused", 50, 100)
    assert shown["a"].summary.val_loss == 3.0
    assert shown["b"] == rows(a=3.0, b=1.0)["b"]


def test_rows_written_between_two_snapshots_are_shown(tmp_path: Path) -> None:
    run = make_run(tmp_path, "a", [status_row(0, "running"), train_row(60)])
    (listed,) = list_runs(tmp_path)
    append_rows(run, [train_row(70, train_loss=1.25), eval_row(70, 1.75)])
    reader = RowReader(tmp_path)
    assert reader.newest({"a": listed}) == {"a": listed}
    reader.read([listed])
    fresh = reader.newest({"a": listed})["a"]
    assert fresh.summary == list_runs(tmp_path)[0].summary
    assert (fresh.summary.step, fresh.summary.train_loss, fresh.summary.val_loss) == (
        70,
        1.25,
        1.75,
    )
    # A later snapshot contains at least as much.
    append_rows(run, [train_row(80)])
    (later,) = list_runs(tmp_path)
    assert reader.newest({"a": later})["a"] is later


def test_a_run_of_another_process_is_shown_as_paused_while_it_is() -> None:
    runs = {state: run_info("a", state, status="paused") for state in ("running", "interrupted")}
    assert [run.state for run in with_jobs(runs, ()).values()] == ["paused", "interrupted"]


def test_a_failed_job_is_shown_until_the_files_report_it() -> None:
    job = Job(1, Launch("tiny"), state="failed", run_id="a", message="out of memory")
    job.ended_at = NOW
    late = with_job(run_info("a", "running", updated=NOW - 1), job)
    assert (late.state, late.problem) == ("failed", "out of memory")
    settled = run_info("a", "failed", problem="the whole story")
    assert with_job(settled, job) == settled
    # Another process may resume it: from here on, its files count.
    assert with_job(run_info("a", "running", updated=NOW + 1), job).state == "running"
