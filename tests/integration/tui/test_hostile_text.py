"""Some hundred hostile texts in one console: on every view, in dialogs, notices and fields."""

from pathlib import Path
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot

from builders.console import shown, until, with_console
from builders.hostile import harm_in, hostile_project, hostile_texts
from transformer_playground.tui.app import Console
from transformer_playground.tui.screens.columns import ColumnsScreen
from transformer_playground.tui.screens.launch import LaunchScreen
from transformer_playground.tui.widgets.event_log import EventLog
from transformer_playground.tui.widgets.runs_table import RunsTable

RUNS = 40


def assert_harmless(console: Console) -> None:
    for line in shown(console).split("\n"):
        harm = harm_in(line, one_line=True)
        assert harm is None, f"{harm} in {line!r}"


async def press(console: Console, pilot: Pilot[Any], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        assert_harmless(console)


def test_no_view_and_no_dialog_shows_what_a_terminal_obeys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))
    monkeypatch.chdir(tmp_path)
    project = hostile_project(tmp_path / "project", RUNS)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(console.snapshot.runs) > RUNS)
        table = console.screen.query_one(RunsTable)
        await until(pilot, lambda: table.cursor is not None)
        # Every line of the table, and the details of a page's last run.
        await press(console, pilot, *["pagedown"] * 4, "g")
        # Columns of hostile settings.
        await press(console, pilot, "c")
        await until(pilot, lambda: isinstance(console.screen, ColumnsScreen))
        await press(console, pilot, *"model", "space", "down", "space", "down", "space", "escape")
        console.choose(current="run-000")
        await press(console, pilot, "l", "l", "h", "o", "O")
        # Details, section by section, then marks.
        await press(console, pilot, "v", "v", "v", "v", "p", "space", "space", "space", "e")
        await press(console, pilot, "escape", "y", "d", "escape", "tab", "tab", "v", "escape")
        for text in hostile_texts(40, seed=3):
            console._say(text)
            await pilot.pause(0)
            assert_harmless(console)
        # The other views.
        console.workspace.marked[:] = ["run-001", "run-002", "run-003"]
        console.choose(current="run-001")
        await press(console, pilot, "2")
        await until(pilot, lambda: console.screen.query(EventLog))
        log = console.screen.query_one(EventLog)
        await until(pilot, lambda: log.lines)
        await press(console, pilot, "t", "tab", "tab", "]", "x", "m", "t", "z", "z")
        await press(console, pilot, "4", "a", "j", "j", "l", "]", "]", "]", "y")
        await press(console, pilot, "ctrl+p", *"open", "down", "down", "escape", "3", "r", "down")
        await press(console, pilot, "escape", "1", "n")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
        for text in hostile_texts(30, seed=4):
            if console.focused is not None:
                console.focused.post_message(Paste(text))
                await pilot.pause(0)
                assert_harmless(console)
        for size in ((60, 16), (30, 8), (200, 60), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert_harmless(console)

    with_console(project, steps, (140, 45))
