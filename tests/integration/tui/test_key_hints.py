"""Hints name the keys of the binding table with the user's keymap applied."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from builders.commands import Project, make_project
from builders.runs import make_run, status_row, train_row
from builders.tui import shown, until, with_console
from transformer_playground.cli.main import main
from transformer_playground.training.launch import Launch
from transformer_playground.tui.app import Console
from transformer_playground.tui.compare.view import CompareView
from transformer_playground.tui.dialogs.edit_text import EditTextScreen
from transformer_playground.tui.dialogs.help import KeysScreen
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.launch.actions import edit_launch
from transformer_playground.tui.launch.edit_config import EditConfigScreen
from transformer_playground.tui.launch.view import LaunchScreen
from transformer_playground.tui.sample.form import SampleForm

KEYS = """
[keys]
everywhere.new = "f13"
live.quantity = "f8"
live.write = "f9"
runs.undo = "ctrl+y"
runs.open = "ctrl+o"
runs.columns = "f10"
everywhere.sample = "f11"
everywhere.help = "f12"
dialog.close = "ctrl+g"
everywhere.runs = "f14"
runs.mark = "ctrl+k"
runs.pin = "ctrl+b"
launch.edit = "ctrl+l"
edit.save = "ctrl+n"
edit.reload = "f4"
sample.draw = "f5"
sample.out = "f6"
sample.newline = "ctrl+n"
compare.mark = "ctrl+k"
compare.prompt = "ctrl+b"
compare.out = "f6"
scrub.earlier = "ctrl+e"
scrub.later = "ctrl+r"
"""
WIDE = (140, 45)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path))
    (tmp_path / "console.toml").write_text(KEYS, encoding="utf-8")
    return make_project(tmp_path / "project")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the trained runs `one` and `two`."""
    project = make_project(tmp_path_factory.mktemp("hints") / "project")
    with contextlib.chdir(project.root):
        for run_id in ("one", "two"):
            assert main(["loop", "tiny", "--run-id", run_id]) == 0
    row = {"step": 0, "time": 1.0, "prompt": ">", "text": "sampled"}
    project.run_named("one").samples_path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    return project


def add_run(project: Project) -> None:
    rows = [status_row(0, "running", max_iters=9), train_row(1), status_row(1, "stopped")]
    make_run(project.root / "runs", "run", rows, experiment="tiny")


def notices(console: Console) -> str:
    return "\n".join(each.message for each in console._notifications)


def test_the_empty_live_view_names_the_key_that_trains(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: "Press f13 to train one." in shown(console))

    with_console(project, steps)


def test_the_chart_export_names_the_key_of_the_loss(project: Project) -> None:
    add_run(project)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: bool(console.context.snapshot.runs))
        await pilot.press("2")
        await until(pilot, lambda: "loss · run" in shown(console))
        await pilot.press("f8")
        await until(pilot, lambda: "Quantity" in shown(console))
        await pilot.press("down", "enter")
        await until(pilot, lambda: "learning rate · run" in shown(console))
        await pilot.press("f9")
        await until(pilot, lambda: "f8 switches to it" in notices(console))

    with_console(project, steps)


def test_deleting_names_the_key_that_restores(project: Project) -> None:
    add_run(project)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: bool(console.context.workspace.current))
        await pilot.press("d")
        await until(pilot, lambda: "Press ctrl+y to restore" in shown(console), 20)
        await pilot.press("enter")
        await until(pilot, lambda: "press ctrl+y to restore" in notices(console), 20)
        await pilot.press("ctrl+y")
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

    with_console(project, steps, WIDE)


def test_the_launch_form_and_the_config_editor_name_their_keys(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.has_snapshot)
        edit_launch(console.context, Launch("tiny"))
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen), 20)
        hint = "a list or range queues a run for each · f5 trains"
        await until(pilot, lambda: hint in shown(console), 20)
        last = "^l edit file"
        await until(pilot, lambda: last in shown(console).splitlines()[-1], 20)
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(console.screen, EditConfigScreen), 20)
        hint = "ctrl+n saves · f4 reloads · ctrl+g closes"
        await until(pilot, lambda: hint in shown(console), 20)
        await pilot.press("x", "ctrl+g")
        hint = "Not saved. ctrl+g again discards the changes, ctrl+n saves them."
        await until(pilot, lambda: hint in shown(console), 20)
        await pilot.press("f4", "ctrl+g")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen), 20)

    with_console(project, steps, WIDE)


def test_the_empty_sample_view_names_the_key_that_trains(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await pilot.press("f11")
        await until(pilot, lambda: "f13 trains a new run" in shown(console), 20)

    with_console(project, steps)


@pytest.mark.usefixtures("project")
def test_the_sample_view_names_its_keys(trained: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.snapshot.runs)
        await pilot.press("f11")
        await until(pilot, lambda: "writes a prompt, f5 samples." in shown(console), 20)
        await until(pilot, lambda: "f5 samples · f6 leaves the field" in shown(console), 20)
        assert "(ctrl+n breaks the line)" in shown(console)
        prompt = console.screen.query_one(SampleForm).prompt
        await pilot.press("i", "a", "ctrl+n")
        await until(pilot, lambda: prompt.value == "a␊", 20)
        await pilot.press("f6")
        await until(pilot, lambda: not prompt.has_focus, 20)

    with_console(trained, steps, WIDE)


@pytest.mark.usefixtures("project")
def test_the_compare_view_names_its_keys(trained: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: bool(console.context.workspace.current))
        await pilot.press("4")
        await until(pilot, lambda: isinstance(console.screen, CompareView), 20)
        await until(pilot, lambda: "ctrl+k adds a run here" in shown(console), 20)
        hint = "in Runs (f14) ctrl+k selects a run, ctrl+b sets the baseline"
        assert hint in shown(console)
        await pilot.press("ctrl+k")
        await until(pilot, lambda: isinstance(console.screen, PickScreen), 20)
        await until(pilot, lambda: "enter chooses · ctrl+g closes" in shown(console), 20)
        await pilot.press("enter")
        await until(pilot, lambda: training_steps(console).endswith("· ctrl+e ctrl+r"), 20)
        await pilot.press("ctrl+b")
        hint = "Type a prompt (ctrl+b); Enter samples from all runs."
        await until(pilot, lambda: hint in shown(console), 20)
        assert "enter samples · f6 leaves the field" in shown(console)

    with_console(trained, steps, (200, 60))


def training_steps(console: Console) -> str:
    return str(console.screen.query_one("#compare-scrubber", Static).content)


def test_dialogs_name_their_keys(project: Project) -> None:
    add_run(project)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: bool(console.context.workspace.current))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(console.screen, EditTextScreen), 20)
        hint = "enter saves · ctrl+j breaks the line · ctrl+g cancels"
        await until(pilot, lambda: hint in shown(console), 20)
        await pilot.press("x", "ctrl+n")
        await until(pilot, lambda: not isinstance(console.screen, EditTextScreen), 20)
        await pilot.press("R")
        await until(pilot, lambda: "enter saves · ctrl+g cancels" in shown(console), 20)
        await pilot.press("ctrl+g", "f12")
        await until(pilot, lambda: isinstance(console.screen, KeysScreen), 20)
        await until(pilot, lambda: "↑↓ scroll · ctrl+g closes" in shown(console), 20)
        await pilot.press(*("space" if char == " " else char for char in "go to the runs"))
        await until(pilot, lambda: any(is_runs_row(line) for line in shown(console).splitlines()))
        await pilot.press("ctrl+g")
        await until(pilot, lambda: not isinstance(console.screen, KeysScreen), 20)

    with_console(project, steps)


def is_runs_row(line: str) -> bool:
    return "f14 " in line and "Go to the Runs view." in line
