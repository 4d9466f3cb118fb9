"""The Sweep view: its figures fill while runs finish, and its keys start, stop and order sweeps."""

import asyncio
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from builders.commands import Project, make_project
from builders.runs import eval_row, make_run, status_row
from builders.sweeps import GRID, grid_states
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
from transformer_playground.tui.launch import sweep_form, sweep_form_state
from transformer_playground.tui.launch.sweep_form import SweepFormScreen
from transformer_playground.tui.launch.view import LaunchScreen
from transformer_playground.tui.shared.key_bar import KeyBar
from transformer_playground.tui.sweep import processes
from transformer_playground.tui.sweep.control import SweepControl
from transformer_playground.tui.sweep.service import SweepRow, results_of
from transformer_playground.tui.sweep.sweep_list import SweepList
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
        # More values of a setting; what cannot be added is said in the dialog.
        await pilot.press("plus", *"norm=rmsnorm", "enter")
        await until(pilot, lambda: "already" in shown(console))
        await pilot.press("escape")
        await pilot.press("plus", *"learning_rate=2e-2", "enter")
        await until(pilot, lambda: "✓ 2  ▶ 0  ◌ 4" in shown(console))
        assert load_sweep(folder).axes[1].values == (1e-3, 1e-2, 2e-2)
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
        # Before a sweep that was just chosen has been read, the cursor stays on it, and no key
        # acts on the one that is still shown.
        view._is_reading = True
        await pilot.press("up")
        await until(pilot, lambda: view.choice.sweep == first)
        view._draw()
        assert view.sweeps.at == first
        for key in ("r", "S", "I"):
            await pilot.press(key)
        assert console.screen is view
        assert {each.message for each in console._notifications} == {
            "The chosen sweep is still being read."
        }
        view._is_reading = False
        view.read_again()
        await until(pilot, lambda: f" {first} · 4 runs" in shown(console))
        assert view.sweeps.at == first
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


class ListApp(App[None]):
    """Only the list of sweeps."""

    chosen: ClassVar[list[str]] = []

    def compose(self) -> ComposeResult:
        yield SweepList()

    def on_sweep_list_chosen(self, event: SweepList.Chosen) -> None:
        self.chosen.append(event.sweep_id)


def test_the_cursor_of_the_list_stays_where_the_user_has_moved_it() -> None:
    rows = [SweepRow("a"), SweepRow("b"), SweepRow("c")]

    async def steps() -> None:
        app = ListApp()
        async with app.run_test() as pilot:
            sweeps = app.query_one(SweepList)
            sweeps.show(rows, "a")
            await pilot.press("down")
            assert sweeps.at == "b"
            # Readings that were begun before, with the same rows and with other ones.
            sweeps.show(rows, "a")
            sweeps.show([*rows, SweepRow("d")], "a")
            assert sweeps.at == "b"
            sweeps.show(rows, "b")
            sweeps.show(rows, "c")
            assert sweeps.at == "c"
            await pilot.pause()
            assert set(app.chosen) == {"b"}

    asyncio.run(steps())


def test_a_start_is_checked_once_and_its_faults_are_said_in_words(tmp_path: Path) -> None:
    work: list[Callable[[], None]] = []
    said: list[str] = []

    def unknown_in(*_: object) -> None:
        raise RuntimeError("no such module")

    app = SimpleNamespace(
        run_worker=lambda body, **_: work.append(body),
        call_from_thread=lambda call, *given: call(*given),
        notify=lambda text, **_: said.append(text),
    )
    app.app = app
    context: Any = SimpleNamespace(
        experiments_dir=tmp_path,
        runs_dir=tmp_path,
        known_preparers=SimpleNamespace(unknown_in=unknown_in),
        app=app,
    )
    control = SweepControl(context, lambda: None)
    folder, results = SweepFolder(tmp_path / "pe"), results_of(GRID, grid_states(lambda *_: None))

    control.start(folder, results)
    control.start(folder, results)
    assert len(work) == 1
    work.pop()()
    control.train_next(folder, replace(results.combinations[0], states=()))
    work.pop()()

    assert said[0] == "pe is being trained by a process of this console."
    assert said[1] == "Starting pe failed: RuntimeError: no such module."
    control.start(folder, results)
    assert len(work) == 1


def test_a_launch_with_lists_becomes_a_sweep(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_open = threading.Event()
    is_open.set()

    def check(*given: Any) -> sweep_form_state.CheckedSweep:
        is_open.wait(10)
        return sweep_form_state.check_sweep(*given)

    monkeypatch.setattr(sweep_form, "check_sweep", check)

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
        assert len(console.screen.query(KeyBar)) == 1
        # Enter is for what the fields hold: an edit before they are checked takes it back.
        is_open.clear()
        await pilot.press("0", "enter", "backspace")
        is_open.set()
        await until(pilot, lambda: "mine: 4 runs = 2 norm × 2 seeds" in shown(console))
        form = console.screen
        assert isinstance(form, SweepFormScreen)
        await until(pilot, lambda: form._checked and form._checked[0] == form._fields)
        assert not form._wants_to_write
        assert not (project.root / "sweeps" / "mine").exists()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, SweepView))
        await until(pilot, lambda: "✓ 0  ▶ 0  ◌ 4" in shown(console))
        folder = SweepFolder(project.root / "sweeps" / "mine")
        assert load_sweep(folder).seeds == (1337, 1338)

    with_console(project, steps, (100, 30))
