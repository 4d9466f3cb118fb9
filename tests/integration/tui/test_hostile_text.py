"""Some hundred hostile texts in one console: on every view, in dialogs, notices and fields."""

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.events import Paste
from textual.pilot import Pilot
from textual.screen import Screen
from textual.strip import Strip

from builders.hostile import harm_in, hostile_project, hostile_sweep, hostile_texts
from builders.tui import until, with_console
from transformer_playground.runs.alerts import Alert
from transformer_playground.terminal import visible_line
from transformer_playground.tui.app import Console
from transformer_playground.tui.data.view import DataView
from transformer_playground.tui.inside.view import InsideView
from transformer_playground.tui.launch.view import LaunchScreen
from transformer_playground.tui.live.panes import EventLog
from transformer_playground.tui.machine.view import MachineView
from transformer_playground.tui.model.view import ModelView
from transformer_playground.tui.runs.column_picker import ColumnsScreen
from transformer_playground.tui.runs.table import RunsTable
from transformer_playground.tui.sweep.view import SweepView

RUNS = 25


class Drawn:
    """Every text of every frame that the console draws."""

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self.frames = 0

    def take(self, _: Screen[Any], frame: object) -> None:
        """Stands for the toolkit's writing, which a console without a terminal leaves out."""
        strips: Iterable[Strip | None] = ()
        if isinstance(frame, LayoutUpdate):
            strips = chain.from_iterable(frame.strips)
        elif isinstance(frame, ChopsUpdate):
            strips = chain.from_iterable(chops.values() for chops in frame.chops)
        else:
            assert frame is None
        self.frames += frame is not None
        self.texts.update(segment.text for strip in strips if strip for segment in strip)

    def assert_harmless(self) -> None:
        """A terminal obeys nothing of them, and none leaves its line."""
        for text in self.texts:
            harm = harm_in(text, one_line=True)
            assert harm is None, f"{harm} in {text!r}"


def test_no_view_and_no_dialog_shows_what_a_terminal_obeys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))
    monkeypatch.chdir(tmp_path)
    drawn = Drawn()
    monkeypatch.setattr(Console, "_display", lambda _, screen, frame: drawn.take(screen, frame))
    project = hostile_project(tmp_path / "project", RUNS)
    hostile_sweep(project)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(console.context.snapshot.runs) > RUNS)
        console.context.workspace.sweep = "hostile"
        table = console.screen.query_one(RunsTable)
        await until(pilot, lambda: table.cursor is not None)
        # Every line of the table, and the details of a page's last run.
        await pilot.press(*["pagedown"] * 4, "g")
        # Columns of hostile settings.
        await pilot.press("c")
        await until(pilot, lambda: isinstance(console.screen, ColumnsScreen))
        await pilot.press(*"model", "space", "down", "space", "down", "space", "escape")
        console.context.publish_workspace(current="run-000")
        await pilot.press("right", "right", "left", "o", "O")
        # Details, section by section, then selected runs.
        await pilot.press("v", "v", "v", "v", "p", "space", "space", "space", "e")
        await pilot.press("escape", "y", "d", "escape", "tab", "tab", "v", "escape")
        for text in hostile_texts(40, seed=3):
            console.context.set_activity(text)
            await pilot.pause(0)
        await pilot.press("L")
        await until(pilot, lambda: isinstance(console.screen, InsideView))
        inside = console.screen
        await until(pilot, lambda: isinstance(inside, InsideView) and not inside.is_reading)
        await pilot.press("right", "d", "v", "u", "escape")
        await until(pilot, lambda: not isinstance(console.screen, InsideView))
        # The other views.
        console.context.workspace.selected[:] = ["run-001", "run-002", "run-003"]
        console.context.publish_workspace(current="run-001")
        await pilot.press("2")
        await until(pilot, lambda: console.screen.query(EventLog))
        log = console.screen.query_one(EventLog)
        await until(pilot, lambda: log.lines)
        await pilot.press("v", "tab", "tab", "]", "a", "m", "v", "z", "z")
        await pilot.press("5", "right", "z", "z", "g", "minus", "full_stop", "m", "escape", "g")
        await pilot.press("comma", *"run", "down", "escape")
        for text in hostile_texts(20, seed=5):
            console.context.raise_alerts([Alert("failed", text, 1, 1.0, visible_line(text))])
        await pilot.press("exclamation_mark", "down", "d", "escape", "8")
        await until(pilot, lambda: isinstance(console.screen, MachineView))
        machine = console.screen
        await until(pilot, lambda: isinstance(machine, MachineView) and machine.readings)
        await pilot.press("9")
        await until(pilot, lambda: isinstance(console.screen, SweepView))
        sweep = console.screen
        await until(pilot, lambda: isinstance(sweep, SweepView) and sweep.picture.lines)
        await pilot.press("m", "escape", "G", "z", "z", "tab", "tab", "y")
        await pilot.press("6")
        await until(pilot, lambda: isinstance(console.screen, ModelView))
        model = console.screen
        await until(pilot, lambda: isinstance(model, ModelView) and model.shown)
        await pilot.press("]", "v", "f", "down", "escape", "b", "down", "enter", "plus", "y")
        await pilot.press("7")
        await until(pilot, lambda: isinstance(console.screen, DataView))
        await pilot.press("f", *"run", "escape", "tab", "slash")
        await pilot.press("4", "v", "j", "j", "right", "]", "]", "]", "y")
        await pilot.press("ctrl+p", *"open", "down", "down", "escape", "3", "f", "down")
        await pilot.press("escape", "1", "n")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
        for text in hostile_texts(30, seed=4):
            if console.focused is not None:
                console.focused.post_message(Paste(text))
                await pilot.pause(0)
        for size in ((60, 16), (30, 8), (200, 60), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()

    with_console(project, steps, (140, 32))
    drawn.assert_harmless()
    # It has seen what it should: many frames, with hostile texts in them as symbols.
    assert drawn.frames > 60
    assert sum("␛" in text for text in drawn.texts) > 50
