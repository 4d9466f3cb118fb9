"""Inside a text by keys alone."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from builders.commands import Project, make_project, make_trained_project
from builders.runs import make_run, train_row
from builders.schemas import check
from builders.tui import shown, until, with_console
from transformer_playground.tui.app import Console
from transformer_playground.tui.inside.service import InsideService
from transformer_playground.tui.inside.view import InsideView
from transformer_playground.tui.sample.panes import SamplePanes
from transformer_playground.tui.sample.view import SampleView


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to stand in, with settings of its own."""
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))
    here = tmp_path / "here"
    here.mkdir()
    with contextlib.chdir(here):
        yield here


def view_of(console: Console) -> InsideView:
    assert isinstance(console.screen, InsideView)
    return console.screen


async def answered(console: Console, pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: isinstance(console.screen, InsideView))
    await until(pilot, lambda: not view_of(console).is_reading)


def test_a_sampled_token_is_looked_into_changed_scrubbed_and_exported(
    tmp_path: Path, home: Path
) -> None:
    project = make_trained_project(tmp_path / "project", "one")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.snapshot.runs)
        await pilot.press("3")
        await until(pilot, lambda: isinstance(console.screen, SampleView))
        panes = console.screen.query_one(SamplePanes)
        await until(pilot, lambda: panes.chosen.has_focus)
        await pilot.press("enter")
        await until(pilot, lambda: panes.chosen.transcript and panes.chosen.transcript.is_complete)
        await pilot.press("Y")
        await until(pilot, lambda: "verbatim: " in shown(console))
        assert "line " in shown(console)
        # The cursor is on the first token of the passage.
        assert panes.chosen.cursor is not None
        await pilot.press("Y", "escape", "right", "right", "L")
        await answered(console, pilot)
        view, state = view_of(console), view_of(console).state
        # A prompt of one token, and the cursor on the second that was sampled.
        assert state.question.position == 2
        assert "token 2 of 0–40" in shown(console)
        assert "embedding" in shown(console)
        await pilot.press("tab", "d")
        await until(pilot, lambda: "block 1, head 1 (replaced by zero)" in shown(console))
        await until(
            pilot,
            lambda: "bits per token" in str(view.query_one("#inside-out", Static).content),
        )
        assert "✗head 1" in shown(console)
        step = state.first.step if state.first else None
        await pilot.press("less_than_sign", "right")
        await until(pilot, lambda: state.first and state.first.step != step)
        assert state.question.parts == ("1.1",)
        assert state.question.position == 3
        await pilot.press("u", "b")
        await until(pilot, lambda: "Put beside" in shown(console))
        await pilot.press("enter")
        await answered(console, pilot)
        await until(pilot, lambda: len(state.answer.columns if state.answer else ()) == 2)
        for size in ((60, 16), (30, 8), (140, 45), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        assert "a  attention" in shown(console)
        await pilot.press("b", "i")
        await until(pilot, lambda: "Text to look at" in shown(console))
        await pilot.press(*"10 bo".replace(" ", ""), "enter")
        await answered(console, pilot)
        await until(pilot, lambda: "typed text · 4 tokens" in shown(console))
        # A window that there is not leaves the text, and its number can be corrected.
        await pilot.press("number_sign", "backspace", *"99999", "enter")
        await until(pilot, lambda: "There is no window 99,999" in shown(console))
        await answered(console, pilot)
        assert "typed text · 4 tokens" in shown(console)
        await pilot.press("number_sign")
        await until(pilot, lambda: "99999" in shown(console))
        await pilot.press("escape", "x")
        await until(pilot, lambda: "JSON, logit lens" in shown(console))
        await pilot.press("down", "enter")
        await until(pilot, lambda: list(home.glob("inspect-lens-*.json")))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(console.screen, SampleView))

    with_console(project, steps)
    (path,) = home.glob("*.json")
    document = json.loads(path.read_text(encoding="utf-8"))
    check("inspect", document)
    assert document["text"]["token_texts"] == list("10bo")


def test_a_run_without_a_checkpoint_says_so_and_leaves_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released: list[str] = []
    project: Project = make_project(tmp_path / "project")
    make_run(project.root / "runs", "bare", [train_row(1)], experiment="tiny")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.workspace.current)
        await pilot.press("L")
        await answered(console, pilot)
        assert "✗" in shown(console)
        assert "types a text" in shown(console)
        monkeypatch.setattr(InsideService, "release", lambda _: released.append("all"))
        await pilot.press("right", "d", "tab", "v", "greater_than_sign", "x", "w", "b", "escape")
        await until(pilot, lambda: not isinstance(console.screen, InsideView))
        await until(pilot, lambda: released)

    with_console(project, steps)
