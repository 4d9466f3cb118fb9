"""The Machine view reads the machine while it is shown, and only then."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from builders.commands import make_project
from builders.runs import make_run, train_row
from builders.tui import shown, until, with_console
from transformer_playground.runs.alerts import Alert
from transformer_playground.tui.app import Console
from transformer_playground.tui.machine.view import MachineView


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
def test_cores_the_step_and_alerts_are_shown_and_a_hidden_view_reads_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    project = make_project(tmp_path / "project")
    rows = [train_row(1, step_time_ms=50.0, forward_ms=20.0, backward_ms=25.0, optimizer_ms=1.0)]
    make_run(project.root / "runs", "first", rows)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.snapshot.runs)
        console.context.raise_alerts([Alert("spike", "first", 1, 1.0, "loss jumped")])
        await pilot.press("8")
        view = console.screen
        assert isinstance(view, MachineView)
        await until(pilot, lambda: view.readings and "memory" in shown(console))
        assert "GiB" in shown(console)
        assert "this console" in shown(console)
        if size[0] < 100:
            view.query_one("#machine").scroll_end(animate=False)
        await until(pilot, lambda: "step of first · 50.0 ms" in shown(console))
        assert "25.0 ms · 50%" in shown(console)
        await until(pilot, lambda: "first @ 1: loss jumped" in shown(console))
        await pilot.press("1")
        await until(pilot, lambda: not view.is_current and not view._is_reading)
        before = view.readings
        view._read()
        assert view.readings == before
        assert not view._is_reading

    with_console(project, steps, size)
