"""summary.json is computed only from the configuration and the rows."""

import json
from pathlib import Path

import pytest

from builders.disks import WatchedDisk, refuse_from
from builders.runs import append_rows, eval_row, make_run, resume_row, status_row, train_row
from transformer_playground.errors import RunError
from transformer_playground.runs.summary import read_summary
from transformer_playground.runs.summary_file import summarise, write_summary

ROWS = [
    status_row(0, "running"),
    eval_row(0, 4.0),
    train_row(10),
    eval_row(20, 2.0),
    train_row(20),
    eval_row(30, 2.5),
    train_row(30),
    status_row(30, "finished", early_stopped=True),
]


def test_a_summary_has_the_main_figures_of_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=ROWS, created="2026-01-02T03:04:05+00:00")

    assert write_summary(run) == {
        "run_id": "tiny-1",
        "experiment": "tiny",
        "created": "2026-01-02T03:04:05+00:00",
        "status": "finished",
        "params": 1234,
        "best_val_loss": 2.0,
        "best_step": 20,
        "final_step": 30,
        "early_stopped": True,
        "tokens_seen": 300,
        "wall_time_s": 30.0,
    }


def test_a_lost_summary_is_computed_again(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=ROWS)
    written = write_summary(run)
    stored = run.summary_path.read_bytes()
    run.summary_path.unlink()

    document = json.loads(stored)
    assert document.pop("rows")["size"] == run.metrics_path.stat().st_size
    assert summarise(run) == written == document
    write_summary(run)
    assert run.summary_path.read_bytes() == stored


def test_a_run_without_rows_has_a_summary(tmp_path: Path) -> None:
    summary = summarise(make_run(tmp_path))

    assert summary["status"] == "new"
    assert summary["best_val_loss"] is None
    assert summary["final_step"] is None
    assert summary["wall_time_s"] == 0.0
    assert summary["early_stopped"] is False


def test_rows_superseded_by_a_resume_do_not_count(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=ROWS)
    append_rows(run, [resume_row(10), status_row(10, "running", time=5000.0)])

    summary = summarise(run)

    assert (summary["best_val_loss"], summary["best_step"]) == (4.0, 0)
    assert (summary["final_step"], summary["tokens_seen"]) == (10, 100)
    assert summary["early_stopped"] is False


def test_the_time_between_a_stop_and_a_resume_does_not_count(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=ROWS)
    append_rows(
        run,
        [
            resume_row(30, time=9000.0),
            status_row(30, "running", time=9000.0),
            train_row(40, time=9010.0),
            status_row(40, "finished", time=9012.0),
        ],
    )

    assert summarise(run)["wall_time_s"] == 42.0


def test_a_pause_does_not_count(tmp_path: Path) -> None:
    run = make_run(
        tmp_path,
        rows=[
            status_row(0, "running", time=0.0),
            status_row(5, "paused", time=10.0),
            status_row(5, "running", time=1000.0),
            status_row(9, "stopped", time=1005.0),
        ],
    )

    assert summarise(run)["wall_time_s"] == 15.0


def test_a_clock_that_was_set_back_never_gives_negative_time(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=[status_row(0, "running", time=100.0), train_row(9, time=50.0)])

    assert summarise(run)["wall_time_s"] == 0.0


def test_losses_that_are_not_finite_are_never_the_best(tmp_path: Path) -> None:
    losses = [float("nan"), float("inf"), None, 3.0, 3.0]
    run = make_run(tmp_path, rows=[eval_row(step, loss) for step, loss in enumerate(losses)])
    with run.metrics_path.open("a") as file:
        file.write('{"event": "eval", "step": 8, "val_loss": "low"}\n')
        file.write('{"event": "eval", "step": 9, "val_loss": true}\n')
        file.write('{"event": "eval", "step": 10}\n')

    summary = summarise(run)

    assert (summary["best_val_loss"], summary["best_step"]) == (3.0, 3)


def test_an_invalid_time_is_left_out(tmp_path: Path) -> None:
    rows = [train_row(1, time="noon"), train_row(2, time=None), train_row(3, time=5.0)]

    assert summarise(make_run(tmp_path, rows=rows))["wall_time_s"] == 0.0


def test_a_failed_write_gives_a_clear_error(tmp_path: Path) -> None:
    run = make_run(tmp_path, rows=ROWS)

    with WatchedDisk(run.root, refuse_from(1)), pytest.raises(RunError, match="could not be"):
        write_summary(run)
    assert not run.summary_path.exists()


def test_the_best_loss_is_one_on_the_windows_of_the_newest_evaluation(tmp_path: Path) -> None:
    older = [eval_row(0, 4.0), eval_row(10, 1.0)]
    now = {"eval_windows": 240, "window_tokens": 64}
    run = make_run(tmp_path, rows=[*older, eval_row(20, 3.0, **now), eval_row(30, 3.5, **now)])
    summary, _ = read_summary(run.metrics_path)
    assert (summary.best_val_loss, summary.best_step) == (3.0, 20)
    assert (summary.eval_windows, summary.window_tokens) == (240, 64)
    assert summary.has_other_windows
    append_rows(run, [eval_row(40, 2.0, eval_windows=100, window_tokens=64)])
    summary, _ = read_summary(run.metrics_path)
    assert (summary.best_step, summary.eval_windows) == (40, 100)
