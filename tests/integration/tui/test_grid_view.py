"""The grid by keyboard: charts of all runs, charts of all quantities of one, one cursor in all."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from builders.commands import Project, make_project
from builders.runs import append_rows, eval_row, make_run, status_row, train_row
from builders.tui import shown, until, with_console
from transformer_playground.tui.app import Console
from transformer_playground.tui.charts.grid import ChartGrid
from transformer_playground.tui.grid.view import GridView
from transformer_playground.tui.live.view import LiveView


def make(project: Project, name: str, final: float) -> None:
    rows = [status_row(0, "running", max_iters=100)]
    for step in range(0, 101, 5):
        loss = final + (100 - step) / 50
        rows.append(train_row(step, train_loss=loss, my_metric=float(step)))
        rows.append(eval_row(step, loss))
    make_run(project.root / "runs", name, rows, experiment="tiny")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    project = make_project(tmp_path / "project")
    for number in range(6):
        make(project, f"run-{number}", 1.0 + number / 10)
    return project


async def open_grid(console: Console, pilot: Pilot[Any]) -> GridView:
    await until(pilot, lambda: len(console.context.snapshot.runs) == 6)
    await pilot.press("5")
    await until(pilot, lambda: isinstance(console.screen, GridView) and console.screen.is_mounted)
    view = console.screen
    assert isinstance(view, GridView)
    await until(pilot, lambda: view.poller.frame)
    await until(pilot, lambda: "by run" in shown(console))
    return view


def test_every_run_has_a_chart_and_pages_follow_the_selected_one(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_grid(console, pilot)
        await until(pilot, lambda: "page 1 of 2" in shown(console))
        await until(pilot, lambda: "run-0" in shown(console) and "1.0000 ◎" in shown(console))
        # The best come first.
        assert "run-4 " not in shown(console)
        await pilot.press("pagedown")
        await until(pilot, lambda: "page 2 of 2" in shown(console) and "run-4" in shown(console))
        await pilot.press("minus")
        await until(pilot, lambda: "page" not in shown(console))
        # Also for the commands on one run.
        assert view.run_shown == "run-4" != console.context.workspace.current
        # One chart, and back; then the run in Live.
        await pilot.press("z")
        await until(pilot, lambda: "page 5 of 6" in shown(console))
        await pilot.press("escape", "p")
        await until(pilot, lambda: console.context.workspace.baseline == "run-4")
        await pilot.press("enter")
        await until(pilot, lambda: "page 5 of 6" in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, LiveView))
        assert console.context.workspace.opened == "run-4"
        assert not view.is_current

    with_console(project, steps)


def test_one_cursor_goes_through_all_charts_and_titles_have_the_values(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_grid(console, pilot)
        grid = view.charts
        await until(pilot, lambda: "1.0000" in shown(console))
        await pilot.press("full_stop")
        assert grid.crosshair == 100.0
        await pilot.press("left")
        await until(pilot, lambda: grid.crosshair == 95.0)
        await until(pilot, lambda: all(f"1.{n}000" in shown(console) for n in range(1, 7)))
        await pilot.press("escape")
        assert grid.crosshair is None
        await pilot.hover(grid, offset=(60, 5))
        assert grid.crosshair is not None
        await pilot.click(grid, offset=(120, 5))
        assert view.state.selected == "run-1"
        # The last character of a chart is its own, whatever the border and padding around all.
        chart, place = next(grid._rows())[0]
        left, top = grid.content_region.offset - grid.region.offset
        last = (left + place.x + place.width - 1, top + place.y + place.height - 1)
        await pilot.click(grid, offset=last)
        assert view.state.selected == chart.cell.key != "run-1"
        # The newest first; the selected chart stays selected.
        await pilot.press("o")
        await until(pilot, lambda: "newest first" in shown(console))
        assert [chart.cell.key for chart, _ in next(grid._rows())] == ["run-5", "run-4"]
        assert view.state.selected == chart.cell.key
        await pilot.press("o")
        await until(pilot, lambda: "by name" in shown(console))
        assert [chart.cell.key for chart, _ in next(grid._rows())] == ["run-0", "run-1"]

    with_console(project, steps, (140, 45))


def test_all_numbers_of_a_run_have_a_chart_those_of_a_users_own_sink_too(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_grid(console, pilot)
        await pilot.press("right", "g")
        await until(pilot, lambda: "by quantity · run-1" in shown(console))
        await until(pilot, lambda: "my metric" in shown(console))
        assert "gradient norm" in shown(console)
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "by quantity · run-2" in shown(console))
        # Chosen from the list, the quantity is drawn for every run.
        await pilot.press("m", *"my metric", "enter")
        await until(pilot, lambda: "by run · my metric" in shown(console))
        await until(pilot, lambda: shown(console).count("100.00") == 6)
        assert view.state.selected == "run-2"
        assert console.context.settings.layout["grid"] == {
            "quantity": "my_metric",
            "quantity_event": "train",
        }

    with_console(project, steps, (140, 45))


def test_each_quantity_has_the_curves_of_all_selected_runs_and_a_mode_of_its_own(
    project: Project,
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_grid(console, pilot)
        await pilot.press("asterisk", "g")
        await until(pilot, lambda: "by quantity · 6 runs · in front: run-0" in shown(console))
        await until(pilot, lambda: "my metric" in shown(console))
        # The legend: the runs with their values in the selected chart, the best first.
        legend = shown(console).splitlines()[2]
        assert legend.index("run-0") < legend.index("run-1")
        await pilot.press("full_stop", "left")
        await until(pilot, lambda: "loss @ 95" in shown(console) and "1.1000" in shown(console))
        await pilot.press("escape", "l")
        await until(pilot, lambda: "loss log" in shown(console))
        assert {key for key, chart in view.charts._charts.items() if chart.drawing.log_y} == {
            "loss"
        }
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: "in front: run-1" in shown(console))
        # Alone, the chart has the names at its lines.
        await pilot.press("enter")
        await until(pilot, lambda: "page 1 of" in shown(console) and "run-5" in shown(console))
        await pilot.press("escape", "A")
        await until(pilot, lambda: "by quantity · run-1" in shown(console))
        assert console.context.settings.layout["grid"]["log_charts"] == ["loss"]

    with_console(project, steps, (140, 45))


def test_all_values_are_listed_narrowed_by_typing_and_plotted(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_grid(console, pilot)
        await pilot.press("comma")
        await until(pilot, lambda: "Values · run-0" in shown(console))
        await until(pilot, lambda: "1.0000 @ 100" in shown(console))
        assert "3.0000 @ 0" in shown(console)
        append_rows(project.run_named("run-0"), [train_row(105, my_metric=42.0)])
        await until(pilot, lambda: "@ 105" in shown(console))
        assert "gradient norm" in shown(console)
        await pilot.press(*"my m")
        await until(pilot, lambda: "gradient norm" not in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: "by run · my metric" in shown(console))
        assert view.is_current
        # Of several runs each quantity is a heading; the same list opens from Live.
        await pilot.press("asterisk", "2")
        await until(pilot, lambda: isinstance(console.screen, LiveView))
        await until(pilot, lambda: "6 runs" in shown(console))
        await pilot.press("comma")
        await until(pilot, lambda: "Values · 6 runs" in shown(console))
        await pilot.press(*"val run-3")
        await until(pilot, lambda: "1.3000 @ 100" in shown(console))
        assert "1.4000 @ 100" not in shown(console)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, LiveView))

    with_console(project, steps, (80, 24))


def test_a_hidden_grid_costs_nothing_and_a_vanished_run_loses_its_chart(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_grid(console, pilot)
        await until(pilot, lambda: "run-2" in shown(console) and "6 runs" in shown(console))
        await pilot.press("1")
        await until(pilot, lambda: not view.is_current and not view.poller.is_polling)
        polls, drawn = view.poller.count, view.charts.frames_drawn
        append_rows(project.run_named("run-3"), [train_row(150), eval_row(150, 0.5)])
        shutil.rmtree(project.run_named("run-2").root)
        await until(pilot, lambda: "run-2" not in console.context.snapshot.runs)
        console.context.training_changed.publish([])
        assert (view.poller.count, view.charts.frames_drawn) == (polls, drawn)
        await pilot.press("5")
        await until(pilot, lambda: "5 runs" in shown(console) and "0.5000" in shown(console))
        assert "run-2" not in shown(console)
        assert len(console.screen.query_one(ChartGrid)._charts) == 5

    with_console(project, steps, (140, 45))
