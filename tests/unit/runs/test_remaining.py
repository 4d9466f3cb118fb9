"""Progress and remaining training time of a listed run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders.runs import append_rows, make_run, run_info, status_row, train_row
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.remaining import (
    progress_percent,
    progress_share,
    remaining_of_run,
)
from transformer_playground.runs.series import RunSeries
from transformer_playground.runs.summary import read_summary, summary_of, update_summary


def listed(**figures: Any) -> RunInfo:
    known = {"max_iters": 1000, "train_step": 100, "tokens_seen": 10_000}
    return run_info("run", "running", **known | {"tokens_per_sec_median": 500.0} | figures)


def test_a_listed_run_is_estimated_by_its_speed_and_its_training_time() -> None:
    # 100 tokens a step at 500 a second.
    assert remaining_of_run(listed()) == pytest.approx(900 * 0.2)
    # Evaluations made it 0.3 s a step.
    assert remaining_of_run(listed(wall_time=30.0)) == pytest.approx(900 * 0.3)
    # A branch has trained for a part of its steps only.
    assert remaining_of_run(listed(wall_time=1.0)) == pytest.approx(900 * 0.2)
    assert remaining_of_run(listed(max_iters=50)) == 0.0


@pytest.mark.parametrize(
    "unknown",
    [
        listed(max_iters=None),
        listed(train_step=None),
        listed(train_step=0),
        listed(tokens_per_sec_median=None),
        listed(tokens_seen=None),
    ],
)
def test_a_listed_run_without_figures_has_no_estimate(unknown: RunInfo) -> None:
    assert remaining_of_run(unknown) is None


def branch_rows(counted: float) -> list[dict[str, Any]]:
    """Rows of a branch from step 100, whose time begins with that of its parent."""
    start = {"max_iters": 100_000, "max_minutes": 10.0, "active_seconds": counted}
    rows = [train_row(step, time=1000.0 + step - 100) for step in range(101, 161)]
    return [status_row(100, "running", time=1000.0, **start), *rows]


def test_the_time_of_a_branch_is_counted_on_from_that_of_its_parent(tmp_path: Path) -> None:
    run = make_run(tmp_path, "b", branch_rows(240.0))
    series = RunSeries(run.metrics_path)
    series.poll()
    summary = summary_of(series)
    assert summary.wall_time_s == pytest.approx(60.0)
    assert summary.active_seconds == pytest.approx(300.0)
    assert progress_percent(summary.step, 100_000, summary.active_seconds, 10.0) == 50
    # A pause does not count, nor does what was trained again after a kill.
    append_rows(run, [status_row(160, "paused", time=1060.0), status_row(160, "running", time=5e3)])
    append_rows(run, [train_row(161, time=5e3 + 30)])
    later, _ = update_summary(run.metrics_path, summary, series.position)
    assert later.active_seconds == pytest.approx(330.0)
    again = {"max_iters": 100_000, "max_minutes": 10.0, "active_seconds": 310.0}
    append_rows(run, [status_row(141, "running", time=9e3, **again)])
    assert read_summary(run.metrics_path)[0].active_seconds == pytest.approx(310.0)
    assert read_summary(run.metrics_path)[0].wall_time_s == pytest.approx(90.0)


def test_a_listed_run_ends_by_its_time_if_that_comes_first() -> None:
    limited = replace(listed(max_iters=10**6), settings={"train.runtime.max_minutes": 10.0})
    assert remaining_of_run(limited) == pytest.approx(600.0)
    counted = replace(limited, summary=replace(limited.summary, earlier_seconds=450.0))
    assert remaining_of_run(counted) == pytest.approx(150.0)


@pytest.mark.parametrize(
    ("step", "max_iters", "seconds", "minutes", "percent"),
    [
        (100, 1000, 300.0, 10.0, 50),
        (800, 1000, 300.0, 10.0, 80),
        (100, 1000, 604.0, 10.0, 100),
        (100, 1000, 599.9, 10.0, 99),
        (100, 1000, 3.0, 0.1, 50),
        (100, 1000, 300.0, None, 10),
        (100, 1000, 300.0, 0.0, 10),
        (0, 1000, 0.0, 10.0, 0),
        (5, None, 60.0, 10.0, 10),
        (5, None, 60.0, None, None),
        (None, 1000, 60.0, 10.0, None),
    ],
)
def test_progress_is_that_of_the_steps_or_of_the_time_whichever_is_further(
    step: int | None,
    max_iters: int | None,
    seconds: float,
    minutes: float | None,
    percent: int | None,
) -> None:
    assert progress_percent(step, max_iters, seconds, minutes) == percent
    share = progress_share(step, max_iters, seconds, minutes)
    assert (None if share is None else int(100 * share)) == percent
