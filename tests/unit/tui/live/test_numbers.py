"""Numbers of a run in the panel, the sparklines and the legend of the chart, and the time left."""

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.style import Style

from builders.runs import eval_row, make_run, status_row, train_row
from transformer_playground.runs.fields import Parent
from transformer_playground.runs.series import RunSeries
from transformer_playground.tui.charts.axes import Span
from transformer_playground.tui.charts.plot import BEST_MARK, draw_plot
from transformer_playground.tui.charts.series import ChartLine, PreparedLine
from transformer_playground.tui.charts.strips import legend_entry
from transformer_playground.tui.live.chart_series import RunStyle, chart_lines
from transformer_playground.tui.live.follower import RunFollowers, ViewRequest
from transformer_playground.tui.live.quantities import QUANTITIES, find_quantity, memory_text
from transformer_playground.tui.live.stats import (
    RunActivity,
    RunStats,
    percent_of,
    stats_line,
    stats_of,
    stats_table,
    time_text,
)

NOON = datetime(2026, 1, 30, 12).timestamp()
LABELS = {
    "loss": ("train loss", "val loss"),
    "grad_norm": ("gradient norm",),
    "step_time_ms": ("step time",),
    "data_share": ("data loading",),
    "bits_per_byte": ("bits per byte",),
    "memory": ("memory",),
}


def style(label: str, **how: Any) -> RunStyle:
    return RunStyle(label, "●", "#0000ff", "#000088", "#ffffff", **how)


def legends(folder: Path, quantity: str) -> list[str]:
    """Values in the legend of the chart of a quantity."""
    request = ViewRequest(("run",), "run", find_quantity(quantity))
    frame = RunFollowers(folder).poll(request)
    lines = chart_lines(frame, {"run": style("run")}, is_smoothed=False)
    by_label = sorted(lines, key=lambda line: line.label)
    return [
        legend_entry(PreparedLine(line, log=False, smoothing=0), None, Style()).value
        for line in by_label
    ]


@pytest.mark.parametrize("quantity", LABELS)
def test_the_chart_shows_a_number_as_the_panel_does(tmp_path: Path, quantity: str) -> None:
    odd = {"train_loss": 0.051234, "grad_norm": 0.32109, "data_share": 0.01372}
    odd["memory"] = 822_000_000
    row = train_row(7, step_time_ms=1234.5, tokens_per_sec=5081.2, **odd)
    evaluation = eval_row(7, 1.87654, val_bits_per_byte=0.09876)
    run = make_run(tmp_path, "run", [status_row(0, "running", max_iters=9), row, evaluation])
    series = RunSeries(run.metrics_path)
    series.poll()
    panel = {label: text for label, text, _ in stats_table(stats_of(series), RunActivity(), NOON)}
    assert legends(tmp_path, quantity) == [panel[label] for label in LABELS[quantity]]


def test_the_progress_of_a_limited_run_is_that_of_its_time(tmp_path: Path) -> None:
    start = status_row(0, "running", time=1000.0, max_iters=100, max_minutes=1.0)
    series = RunSeries(make_run(tmp_path, "a", [start, train_row(1, time=1030.0)]).metrics_path)
    series.poll()
    assert percent_of(stats_of(series)) == 50


def test_every_quantity_is_compared_with_the_panel_or_has_no_place_there() -> None:
    others = {each.key for each in QUANTITIES} - LABELS.keys()
    machine = {"cpu_percent", "others_cpu_percent", "host_memory", "disk_free"}
    assert others == {"lr", "tokens_per_sec", *machine}


def drawn(folder: Path, *runs: str, on_top: str = "", quantity: str = "loss") -> list[ChartLine]:
    request = ViewRequest(runs, runs[0], find_quantity(quantity))
    styles = {run: style(run.upper(), on_top=run == on_top) for run in runs}
    return chart_lines(RunFollowers(folder).poll(request), styles, is_smoothed=False)


def test_one_run_has_a_thick_validation_and_a_thin_training_curve(tmp_path: Path) -> None:
    make_run(tmp_path, "a", [train_row(1), train_row(2), eval_row(2, 3.0)])
    val, train = drawn(tmp_path, "a")
    assert (val.label, val.style, val.colour, val.best) == ("val", "thick", "#ffffff", "lowest")
    assert (train.label, train.style, train.colour) == ("train", "line", "#0000ff")
    assert val.has_markers
    assert not train.has_markers


def test_beyond_three_runs_only_validation_is_drawn_and_training_until_there_is_one(
    tmp_path: Path,
) -> None:
    for name in "abc":
        make_run(tmp_path, name, [train_row(1), eval_row(1, 3.0)])
    make_run(tmp_path, "d", [train_row(1)])
    three, four = drawn(tmp_path, *"abc"), drawn(tmp_path, *"abcd")
    assert [line.style for line in three] == ["thick"] * 3 + ["dim"] * 3
    assert [(line.label, line.style) for line in three if line.in_legend] == [
        (name, "thick") for name in "ABC"
    ]
    assert [line.key for line in four] == [
        *(f"eval.val_loss/{name}" for name in "abc"),
        "train.train_loss/d",
    ]


def test_the_run_in_focus_is_drawn_over_the_others(tmp_path: Path) -> None:
    for name in "ab":
        make_run(tmp_path, name, [train_row(1), eval_row(1, 3.0)])
    assert [line.key for line in drawn(tmp_path, "a", "b", on_top="a") if line.on_top] == [
        "eval.val_loss/a"
    ]


def test_of_many_runs_only_those_on_top_and_the_best_stand_out(tmp_path: Path) -> None:
    names = [f"r{number}" for number in range(10)]
    for number, name in enumerate(names):
        make_run(tmp_path, name, [eval_row(1, 4.0), eval_row(2, 3.0 + (number - 7) ** 2)])
    few = drawn(tmp_path, *names[:8], on_top="r2")
    assert not any(line.set_back for line in few)
    many = drawn(tmp_path, *names, on_top="r2")
    assert [line.label for line in many if not line.set_back] == ["R2", "R7"]
    others = [line for line in many if line.set_back]
    assert len({line.colour for line in others}) == 1
    assert not any(line.has_markers or line.style == "thick" for line in others)
    # Each is in the legend, with its best value.
    assert all(line.in_legend and line.best for line in many)
    losses = PreparedLine(others[0], log=False, smoothing=0.0)
    plot = draw_plot([losses], Span(0.0, 3.0), Span(0.0, 60.0), 20, 10)
    assert BEST_MARK not in {chr(code) for code in plot.characters.flat}


def test_without_a_best_value_no_line_stands_out_by_chance(tmp_path: Path) -> None:
    names = [f"r{number}" for number in range(10)]
    for name in names:
        make_run(tmp_path, name, [train_row(1, grad_norm=1.0)])
    lines = drawn(tmp_path, *names, on_top="r2", quantity="grad_norm")
    assert [line.label for line in lines if not line.set_back] == ["R2"]


def test_what_a_branch_continues_is_drawn_faint_up_to_where_it_starts(tmp_path: Path) -> None:
    rows = [row for step in range(0, 50, 10) for row in (train_row(step), eval_row(step, 3.0))]
    make_run(tmp_path, "tree", rows)
    make_run(tmp_path, "twig", rows[4:])
    from_tree = (("twig", (Parent("tree", 20),)),)
    request = ViewRequest(("twig",), "twig", find_quantity("loss"), lineages=from_tree)
    followers = RunFollowers(tmp_path)
    own = style("twig")
    lines = chart_lines(followers.poll(request), {"twig": own}, is_smoothed=False)
    before = [line for line in lines if line.key.endswith("/before/twig")]
    assert [line.x.tolist() for line in before] == [[0, 10, 20]] * 2
    assert {line.colour for line in before} == {own.faint}
    assert not any(line.in_legend or line.best or line.has_markers for line in before)
    again = followers.poll(request)
    assert again.before[0].curves[0] is followers.poll(request).before[0].curves[0]
    # A parent that is chosen itself is drawn as any other run.
    both = ViewRequest(("twig", "tree"), "twig", find_quantity("loss"))
    styles = {"twig": own, "tree": style("tree")}
    assert len(chart_lines(followers.poll(both), styles, is_smoothed=False)) == 4


def test_on_the_axis_of_time_what_branches_continue_ends_where_they_begin(tmp_path: Path) -> None:
    begins = status_row(0, "running", time=1000.0)
    for name in ("root", "tree", "twig"):
        rows = [row for step in (10, 20, 30) for row in (train_row(step), eval_row(step, 3.0))]
        make_run(tmp_path, name, [begins, *rows])
    parents = (Parent("tree", 20), Parent("root", 10))
    request = ViewRequest(
        ("twig",), "twig", find_quantity("loss"), "time", lineages=(("twig", parents),)
    )
    frame = RunFollowers(tmp_path).poll(request)
    found = [(each.run_id, each.curves[0].x.tolist()) for each in frame.before]
    assert found == [("tree", [-10, 0]), ("root", [-20])]


def test_who_trains_a_run_and_the_age_of_its_newest_row_are_shown() -> None:
    activity = RunActivity("running", trainer="process 7 on far")
    stats = RunStats(updated=NOON - 3, values={"step_time_ms": 20.0})
    assert stats_line(stats, activity, NOON)[-1] == ("", "pid 7 on far, 3s ago", "plain")
    table = {label: (text, tone) for label, text, tone in stats_table(stats, activity, NOON + 600)}
    assert table["trained by"] == ("process 7 on far", "plain")
    # Nothing came for far longer than a step takes.
    assert table["last row"] == ("10m ago", "warning")
    slow = RunStats(updated=NOON - 600, values={"step_time_ms": 60_000.0})
    assert stats_line(slow, activity, NOON)[-1][2] == "plain"
    assert "last row" not in {label for label, *_ in stats_table(stats, RunActivity(), NOON)}


def test_memory_is_as_short_as_other_values() -> None:
    assert [memory_text(size) for size in (0, 822e6, 1023 * 2**20, 12.34 * 2**30)] == [
        "0 B",
        "784 MiB",
        "1023 MiB",
        "12.3 GiB",
    ]


def test_a_share_is_drawn_in_percent(tmp_path: Path) -> None:
    make_run(tmp_path, "run", [train_row(1, data_share=0.25)])
    request = ViewRequest(("run",), "run", find_quantity("data_share"))
    frame = RunFollowers(tmp_path).poll(request)
    assert np.array_equal(frame.runs[0].curves[0].y, [25.0])
    assert request.quantity.title.endswith("(%)")


def test_beside_the_time_left_stands_the_time_of_day_at_the_end() -> None:
    def shown(state: str, left: float | None = 3_900.0) -> tuple[str, str]:
        return time_text(RunStats(max_iters=9), RunActivity(state, remaining=left), NOON)

    assert shown("running") == ("left", "1h 05m · 13:05")
    assert shown("running", 3 * 86_400.0) == ("left", "3d 00h · Mon 12:00")
    # While a run is paused nobody knows when it ends, and at first not how long it takes.
    assert shown("paused") == ("left", "1h 05m")
    assert shown("running", None) == ("left", "–")
    assert shown("stopped")[0] == "trained"
    assert shown("running", math.inf)[0] == "left"
