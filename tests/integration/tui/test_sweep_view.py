"""The Sweep view: its figures fill while runs finish, and its keys start, stop and order sweeps."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from builders.commands import Project, make_project
from builders.runs import eval_row, make_run, status_row
from builders.tui import shown, until, with_console
from transformer_playground.sweeps.create import NewSweep
from transformer_playground.sweeps.folder import SweepFolder
from transformer_playground.sweeps.order import requested
from transformer_playground.sweeps.spec import load_sweep, save_sweep
from transformer_playground.sweeps.trials import plan
from transformer_playground.training.launch import Launch
from transformer_playground.tui.app import Console
from transformer_playground.tui.core.context import LaunchRequested
from transformer_playground.tui.dialogs.base import ConfirmScreen
from transformer_playground.tui.launch.sweep_form import SweepFormScreen
from transformer_playground.tui.launch.view import LaunchScreen
from transformer_playground.tui.sweep import processes
from transformer_playground.tui.sweep.view import SweepView


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path / "project")


def new(project: Project, name: str) -> SweepFolder:
    """A sweep of two by two combinations."""
    values = ("norm=rmsnorm,layernorm", "learning_rate=1e-3,1e-2")
    sweep = NewSweep("tiny", values, name=name).create(project.root / "experiments", print)
    return save_sweep(project.root / "sweeps", sweep)


def finish(project: Project, folder: SweepFolder, number: int, loss: float) -> str:
    """Let a run of a sweep end with a loss."""
    run_id = plan(load_sweep(folder))[number].run_id
    rows = [status_row(0, "running"), eval_row(5, loss), status_row(20, "finished")]
    make_run(project.root / "runs", run_id, rows, experiment="tiny")
    return run_id


async def open_view(console: Console, pilot: Pilot[Any]) -> SweepView:
    """Go to the view and wait for its first reading."""
    await pilot.press("9")
    await until(pilot, lambda: isinstance(console.screen, SweepView))
    view = console.screen
    assert isinstance(view, SweepView)
    await until(pilot, lambda: view.readings)
    return view


def test_a_sweep_fills_live_and_its_runs_are_opened_filtered_and_ordered(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def command(arguments: list[str]) -> list[str]:
        asked.append(arguments)
        return ["true"]

    monkeypatch.setattr(processes, "tp_command", command)
    folder = new(project, "pe")
    best = finish(project, folder, 1, 2.5)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_view(console, pilot)
        await until(pilot, lambda: "✓ 1  ▶ 0  ◌ 3" in shown(console))
        finish(project, folder, 0, 3.5)
        console.context.refresh_snapshot()
        await until(pilot, lambda: "✓ 2  ▶ 0  ◌ 2" in shown(console))
        text = shown(console)
        assert "█ 2.5000 ★" in text
        assert "1e-2 2.500  1e-3 3.500" in text
        assert "┤" in text
        # A filter keeps what matches.
        await pilot.press("slash", *"val_loss<3", "enter")
        await until(pilot, lambda: "configurations · 1 of 4" in shown(console))
        await pilot.press("escape")
        await until(pilot, lambda: "configurations · 4" in shown(console))
        # A waiting combination is trained next, whoever trains it.
        await pilot.press("G", "I")
        await until(pilot, lambda: " next" in view.table._lines[4])
        assert requested(folder) == [plan(load_sweep(folder))[3].run_id]
        await pilot.press("r")
        await until(pilot, lambda: asked)
        assert asked[0][:3] == ["sweep", "run", "pe"]
        await pilot.press("S")
        await until(pilot, lambda: isinstance(console.screen, ConfirmScreen))
        await pilot.press("enter")
        await until(pilot, lambda: "· stopped" in shown(console))
        assert folder.stop_path.exists()
        await pilot.press("home", "enter")
        await until(pilot, lambda: console.context.workspace.opened == best)
        # Hidden, it reads nothing.
        await until(pilot, lambda: not view._is_reading)
        before = view.readings
        console.context.snapshot_changed.publish(console.context.snapshot)
        await pilot.pause()
        assert view.readings == before
        assert not view._is_reading

    with_console(project, steps, (140, 45))


def test_sweeps_are_chosen_from_the_list_and_may_vanish(project: Project) -> None:
    old, gone = new(project, "first"), new(project, "second")
    finish(project, old, 1, 2.5)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_view(console, pilot)
        await pilot.press("shift+tab")
        await until(pilot, lambda: view.focused is view.query_one("#sweep-list"))
        await pilot.press("home", "end", "home")
        first = view.picture.reading.rows[0].sweep_id
        other = "second" if first == "first" else "first"
        await until(pilot, lambda: f" {first} · 4 runs" in shown(console))
        await pilot.press("down")
        await until(pilot, lambda: f" {other} · 4 runs" in shown(console))
        for size in ((60, 16), (200, 60), (30, 8), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        # The focus is lost where nothing is shown.
        view.set_focus(view.table)
        await pilot.press("z")
        await until(pilot, lambda: view.query_one("#sweep").has_class("-large"))
        assert view.table.size.height > 10
        await pilot.press("escape")
        for folder in (gone, old):
            shutil.rmtree(folder.root)
        console.context.refresh_snapshot()
        await until(pilot, lambda: "No sweeps yet." in shown(console))
        # Keys that need one do nothing.
        await pilot.press("r", "S", "I", "m", "x", "y", "enter")
        assert console.screen is view

    with_console(project, steps)


def test_a_launch_with_lists_becomes_a_sweep(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.has_snapshot)
        console.on_launch_requested(
            LaunchRequested(Launch("tiny", ("model.norm=rmsnorm, layernorm",)))
        )
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
        await pilot.press("f7")
        await until(pilot, lambda: isinstance(console.screen, SweepFormScreen))
        await pilot.press(*"mine", "tab", "2")
        await until(pilot, lambda: "mine: 4 runs = 2 norm × 2 seeds" in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, SweepView))
        await until(pilot, lambda: "✓ 0  ▶ 0  ◌ 4" in shown(console))
        folder = SweepFolder(project.root / "sweeps" / "mine")
        assert load_sweep(folder).seeds == (1337, 1338)

    with_console(project, steps, (100, 30))
