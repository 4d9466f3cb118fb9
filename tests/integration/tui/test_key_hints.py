"""Hints name the keys of the binding table with the user's keymap applied."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from builders.commands import Project, make_project
from builders.runs import make_run, status_row, train_row
from builders.tui import shown, until, with_console
from transformer_playground.tui.app import Console
from transformer_playground.tui.launch.view import LaunchScreen

KEYS = """
[keys]
everywhere.new = "f7"
live.quantity = "f8"
live.write = "f9"
runs.undo = "ctrl+z"
runs.open = "ctrl+o"
runs.columns = "f10"
everywhere.sample = "f11"
everywhere.help = "f12"
dialog.close = "ctrl+g"
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path))
    (tmp_path / "console.toml").write_text(KEYS, encoding="utf-8")
    return make_project(tmp_path / "project")


def add_run(project: Project) -> None:
    rows = [status_row(0, "running", max_iters=9), train_row(1), status_row(1, "stopped")]
    make_run(project.root / "runs", "run", rows, experiment="tiny")


def notices(console: Console) -> str:
    return "\n".join(each.message for each in console._notifications)


def test_the_empty_live_view_names_the_key_that_trains(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: "Press f7 to train one." in shown(console))

    with_console(project, steps)


def test_the_chart_export_names_the_key_of_the_loss(project: Project) -> None:
    add_run(project)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: bool(console.context.snapshot.runs))
        await pilot.press("2")
        await until(pilot, lambda: "loss · run" in shown(console))
        await pilot.press("f8")
        await until(pilot, lambda: "learning rate · run" in shown(console))
        await pilot.press("f9")
        await until(pilot, lambda: "f8 switches to it" in notices(console))

    with_console(project, steps)


def test_deleting_names_the_key_that_restores(project: Project) -> None:
    add_run(project)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: bool(console.context.workspace.current))
        await pilot.press("d")
        await until(pilot, lambda: "Press ctrl+z to restore" in shown(console), 20)
        await pilot.press("enter")
        await until(pilot, lambda: "press ctrl+z to restore" in notices(console), 20)
        await pilot.press("ctrl+z")
        await until(pilot, lambda: "Restored run" in notices(console), 20)

    with_console(project, steps)


def test_the_column_picker_names_the_key_that_closes_it(project: Project) -> None:
    add_run(project)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: bool(console.context.workspace.current))
        await pilot.press("f10")
        await until(pilot, lambda: "ctrl+g closes" in shown(console), 20)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: "ctrl+g closes" not in shown(console), 20)

    with_console(project, steps)


def test_first_steps_and_experiments_name_their_keys(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "Your first model" in shown(console), 20)
        screen = shown(console)
        assert "ctrl+o" in screen
        assert "f11" in screen
        assert "f12 shows every key" in screen
        await until(pilot, lambda: "ctrl+o trains it" in shown(console), 20)
        await pilot.press("ctrl+o")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen), 20)

    with_console(project, steps, (140, 45))
