"""The state of the runs table: filter, order, columns and cells, without a screen."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.runs import append_rows, eval_row, make_run, run_info, status_row, train_row
from transformer_playground.runs.fields import Parent, RunInfo
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.loss_curve import LossCurve
from transformer_playground.training.launch import Launch
from transformer_playground.tui.core.job_queue import Job, with_job, with_jobs
from transformer_playground.tui.core.snapshot import RowReader
from transformer_playground.tui.runs.table_columns import (
    Column,
    constant_text,
    curve_text,
    find_column,
    fitting,
)
from transformer_playground.tui.runs.table_state import RunsTableState

NOW = 10_000.0
PE, LR = "model.positional_encoding", "train.optim.learning_rate"


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
    assert [cell(state, run_id, "delta") for run_id in "abc"] == ["-1.5000", "baseline", ""]


@pytest.mark.parametrize(
    ("step", "most", "shown"),
    [
        (0, 100, "──────   0%"),
        (50, 100, "━━━───  50%"),
        (1999, 2000, "━━━━━╸  99%"),
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


def test_progress_of_a_run_with_a_time_limit_is_that_of_its_time_if_this_is_further() -> None:
    state = RunsTableState()
    limit = {"train.runtime.max_minutes": 2.0}
    row = run_info("a", "running", step=10, max_iters=100, wall_time=60.0, settings=limit)
    state.take({"a": row}, NOW)
    assert state.text("a", find_column("progress"), NOW) == "━━━───  50%"
    assert "50%" in state.text("a", find_column("status"), NOW)


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


def swept(**values: Any) -> RunInfo:
    """One of the runs of a sweep."""
    number = values.pop("number", 0)
    run_id = f"tiny-20270115-06{number:04}-{number:04x}"
    settings = {PE: "rope", LR: 0.01, "train.runtime.seed": 1} | values.pop("settings", {})
    return run_info(run_id, experiment="tiny", settings=settings, created=NOW - number, **values)


def sweep() -> RunsTableState:
    state = RunsTableState()
    rows = [
        swept(number=number, settings={PE: pe, LR: lr}, val_loss=1.0 + number)
        for number, (pe, lr) in enumerate(
            (pe, lr) for pe in ("rope", "alibi") for lr in (0.01, 0.003)
        )
    ]
    state.take({row.run_id: row for row in rows}, NOW)
    return state


def told(state: RunsTableState) -> tuple[str | None, Mapping[str, str]]:
    return state.constants


def test_each_setting_that_differs_is_a_column_and_the_rest_is_told_once() -> None:
    state = sweep()
    columns = {column.header: column for column in state.columns()}
    assert list(columns)[:3] == ["state", "positional_encoding", "learning_rate"]
    assert state.text(state.order[1], columns["learning_rate"], NOW) == "3e-3"
    assert told(state) == ("tiny", {"seed": "1"})
    state.filter("positional_encoding=rope", NOW)
    assert "positional_encoding" not in [column.header for column in state.columns()]
    assert told(state) == ("tiny", {"seed": "1", "positional_encoding": "rope"})
    assert [state.name(run_id) for run_id in state.order] == ["1e-2", "3e-3"]
    state.filter("learning_rate=0.003 positional_encoding=rope", NOW)
    assert told(state) == (None, {})


def test_runs_are_named_by_what_differs_and_sorted_by_these_names() -> None:
    state = sweep()
    state.sort_by("run", NOW)
    names = [state.name(run_id) for run_id in state.order]
    assert names == ["alibi 3e-3", "alibi 1e-2", "rope 3e-3", "rope 1e-2"]


def test_the_order_by_a_setting_comes_back_when_the_runs_differ_in_it_again() -> None:
    state = sweep()
    state.sort_by(PE, NOW)
    assert state.sort_title == "positional_encoding ↑"
    order = state.order
    state.filter("positional_encoding=rope", NOW)
    assert state.sorted_by == ("age", False)
    state.filter("", NOW)
    assert (state.sorted_by, state.order) == ((PE, False), order)
    state.choose_columns(["val_loss"], NOW)
    assert (state.sort, state.sorted_by) == ("run", ("run", False))


def walked() -> RunsTableState:
    """A sweep over rates and encodings, and a failed run with another depth."""
    values = [{LR: lr, PE: pe, "model.n_layer": 2} for lr in (1, 2, 3) for pe in ("rope", "none")]
    rows = [
        run_info(f"r{number}", experiment="tiny", settings=each)
        for number, each in enumerate(values)
    ]
    odd = {LR: 1, PE: "rope", "model.n_layer": 4}
    rows += [
        run_info(f"bad{number}", "failed", experiment="tiny", settings=odd) for number in range(3)
    ]
    state = RunsTableState()
    state.take({row.run_id: row for row in rows}, NOW)
    return state


def test_settings_that_tell_the_runs_apart_stay_when_others_have_to_go() -> None:
    state = walked()
    headers = [column.header for column in state.columns()]
    assert headers[1:4] == ["learning_rate", "positional_encoding", "n_layer"]
    state.baseline = "r0"
    state.arrange(NOW)
    widths = [(column, 8) for column in state.columns()]
    kept: set[str] = set()
    for space in range(100):
        kept = {column.key for column, _ in fitting(widths, space, 1, "status", by_weight=True)}
        if kept & {"tokens_per_second", "params", "age", "curve"}:
            assert {LR, PE, "model.n_layer"} <= kept
        assert PE not in kept or LR in kept
    assert "age" in kept


def test_the_next_order_is_by_a_column_that_is_on_the_screen() -> None:
    state = walked()
    state.sort_by("run", NOW)
    found = []
    for _ in range(4):
        state.sort_by_next(NOW, {"status", LR, "age"})
        found.append(state.sort)
    assert found == ["status", LR, "age", "run"]


def test_age_and_validation_loss_are_the_first_orders() -> None:
    state = walked()
    found = []
    for _ in range(3):
        state.sort_by_next(NOW)
        found.append(state.sort)
    assert found == ["val_loss", "run", "status"]


def test_columns_that_the_user_chose_stay_as_they_are() -> None:
    state = sweep()
    state.choose_columns(["val_loss", LR], NOW)
    assert [column.key for column in state.columns()] == ["val_loss", LR]
    state.choose_columns([LR, "settings"], NOW)
    assert [column.key for column in state.columns()] == [LR, PE]


@pytest.mark.parametrize(
    ("state", "facts", "cell_shown"),
    [
        ("finished", {"step": 100}, "✓"),
        ("running", {"step": 63, "train_step": 63, "tokens_seen": 630}, "▶ 63% 4s"),
        ("running", {"step": None}, "▶ running"),
        ("paused", {"step": 20}, "‖ 20%"),
        ("queued", {"step": 20}, "◌ queued"),
        ("interrupted", {"step": 40}, "! 40%"),
        ("failed", {"step": 40, "problem": "loss is nan at step 1,040."}, "✗ nan @ 1,040"),
        ("failed", {"step": 40, "problem": "no space left on this disk"}, "✗ no space left…"),
        ("failed", {"step": 40, "problem": "\x1b[31m"}, "✗ ␛[31m"),
        ("broken", {}, "? broken"),
    ],
)
def test_one_cell_says_state_progress_time_left_and_reason(
    state: str, facts: dict[str, Any], cell_shown: str
) -> None:
    table = RunsTableState()
    table.take({"a": run_info("a", state, max_iters=100, tokens_per_sec_median=92.5, **facts)}, NOW)
    assert table.text("a", find_column("status"), NOW) == cell_shown


def curve(*losses: float | None, step: int = 100) -> str:
    known = [loss for loss in losses if loss is not None]
    row = run_info(
        "a",
        eval_step=step,
        max_iters=100,
        val_loss=known[-1] if known else None,
        val_curve=LossCurve(len(losses), losses),
    )
    return curve_text(row)


def test_the_curve_is_as_wide_as_the_run_is_far_and_ignores_the_first_losses() -> None:
    assert curve(4.0, 2.0, 1.5, 1.0) == "⣿⣿⣿⣿⣶⣶⣀⣀⣀⣀"
    assert len(curve(2.0, 1.0, step=63)) == 7
    assert curve(100.0, 2.0, 1.9, 1.8, 1.7, 1.6)[2] == curve(5.0, 2.0, 1.9, 1.8, 1.7, 1.6)[2]
    assert curve() == curve(None, None) == ""
    assert "\u2800" in curve(3.0, None, None, 1.0)
    assert set(curve(1.0, 1.0)) == {"⣀"}


def test_branches_stand_below_their_run() -> None:
    state = sweep()
    other = state.order[1]
    branch = replace(swept(number=9), parent=Parent(other, 300))
    state.take({**state.runs, branch.run_id: branch}, NOW)
    state.is_tree = True
    state.arrange(NOW)
    place = state.order.index(branch.run_id)
    assert state.order[place - 1] == other
    assert state.lines(branch.run_id) == "└ "
    assert cell(state, branch.run_id, "parent") == "rope 3e-3 @ 300"
    assert "branches below their run" in state.sort_title


def columns_of(**widths: int) -> list[tuple[Column, int]]:
    return [(find_column(key), width) for key, width in widths.items()]


def test_a_narrow_table_keeps_the_columns_that_matter_most() -> None:
    columns = columns_of(params=7, status=10, age=4, val_loss=6)
    kept = fitting(columns, 18, 1, "", by_weight=True)
    assert [column.key for column, _ in kept] == ["status", "val_loss"]
    kept = fitting(columns, 18, 1, "params", by_weight=True)
    assert [column.key for column, _ in kept] == ["params", "status"]
    kept = fitting(columns, 18, 1, "", by_weight=False)
    assert [column.key for column, _ in kept] == ["params", "status"]


def test_what_is_the_same_is_cut_between_settings() -> None:
    assert constant_text("tiny", {"n_layer": "4"}, 80) == "same in all: tiny · n_layer 4"
    assert constant_text("tiny", {"n_layer": "4"}, 25) == "same in all: tiny"
    assert constant_text(None, {"x": "\n"}, 80) == "same in all: x ␊"
    assert constant_text(None, {}, 80) == ""


def test_many_runs_are_measured_by_some_of_them() -> None:
    state = RunsTableState()
    state.take({f"r{n}": run_info(f"r{n}") for n in range(2_345)}, NOW)
    assert len(state.sample()) <= 500


@pytest.mark.parametrize("shown_before", [False, True])
def test_a_run_whose_order_changes_moves_at_the_next_snapshot(shown_before: bool) -> None:
    state = state_of(a=1.0, b=2.0, c=3.0)
    state.sort_by("val_loss", NOW)
    later = rows(a=1.0, b=2.0, c=0.5)
    if shown_before:
        assert state.replace(later["c"])
        assert state.order == ("a", "b", "c")
    assert state.take(later, NOW)
    assert state.order == ("c", "a", "b")


def test_a_new_tag_brings_its_column_and_a_filter_follows_a_changed_loss() -> None:
    state = state_of(a=1.0, b=2.0)
    before = rows(a=1.0, b=2.0)
    state.take({**before, "a": replace(before["a"], tags=("kept",))}, NOW)
    assert "tag" in {column.key for column in state.columns()}
    state.filter("val_loss<1.5", NOW)
    state.take(rows(a=1.6, b=1.4), NOW)
    assert state.order == ("b",)
