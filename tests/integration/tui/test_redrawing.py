"""The live view draws what training says at its own pace, however often training says something."""

from pathlib import Path
from typing import Any

import pytest
from textual.content import Content
from textual.pilot import Pilot
from textual.strip import Strip

from builders.commands import make_project
from builders.runs import append_rows, make_run, train_row
from builders.tui import shown, until, with_console
from transformer_playground.training.launch import Launch
from transformer_playground.tui.app import Console
from transformer_playground.tui.charts.grid import ChartGrid
from transformer_playground.tui.core.job_queue import Job, Update
from transformer_playground.tui.live.panes import NumberLines
from transformer_playground.tui.live.view import LiveView


def test_many_logged_steps_are_drawn_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    project = make_project(tmp_path / "project")
    run = make_run(project.root / "runs", "tiny-1", rows=[train_row(1)])

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.workspace.current == "tiny-1")
        await pilot.press("2")
        await until(pilot, lambda: "1 " in shown(console) and console.screen.query(ChartGrid))
        view = console.screen
        assert isinstance(view, LiveView)
        await until(pilot, lambda: view.poller.frame is not None)
        view._tick_timer.pause()
        assert console.context._next_refresh is not None
        console.context._next_refresh.pause()
        await pilot.pause()
        charts = view.query_one(ChartGrid)
        drawn = charts.frames_drawn
        job = Job(1, Launch("tiny"), state="running", run_id="tiny-1", max_iters=100)
        for step in range(2, 32):
            append_rows(run, [train_row(step, train_loss=2.5, tokens_per_sec=98_765.0)])
            console.context.training_changed.publish([Update(job)])
            await pilot.pause()
        # A listing of the runs may still end in between, and draws too.
        assert charts.frames_drawn <= drawn + 3
        view._tick_timer.resume()
        await until(pilot, lambda: "98.8k" in shown(console), 10)

    with_console(project, steps, (140, 45))


def test_only_numbers_that_changed_are_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    project = make_project(tmp_path / "project")
    make_run(project.root / "runs", "tiny-1", rows=[train_row(1)])

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.workspace.current == "tiny-1")
        await pilot.press("2")
        await until(pilot, lambda: "step time" in shown(console))
        view = console.screen
        assert isinstance(view, LiveView)
        view._tick_timer.pause()
        await until(pilot, lambda: not view.poller.is_polling)
        table = view.query_one("#live-table", NumberLines)
        table.set_lines([Content("one 1"), Content("two 2"), Content("three 3")])
        await pilot.pause()
        drawn: list[int] = []
        render = NumberLines.render_line

        def spy(self: NumberLines, y: int) -> Strip:
            drawn.append(y)
            return render(self, y)

        monkeypatch.setattr(NumberLines, "render_line", spy)
        table.set_lines([Content("one 1"), Content.styled("two 2", "bold"), Content("three 4")])
        await pilot.pause()
        assert drawn == [1, 2]
        assert all(text in shown(console) for text in ("one 1", "two 2", "three 4"))

    with_console(project, steps, (140, 45))
