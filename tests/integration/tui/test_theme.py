"""A change of the theme recolours everything: as if the console had been started in that theme."""

import contextlib
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from builders.commands import Project, make_project
from builders.tui import shown, until, with_console
from transformer_playground.cli.main import main
from transformer_playground.tui.app import Console
from transformer_playground.tui.sample.panes import SamplePanes
from transformer_playground.tui.sample.view import SampleView

WIDE = (140, 45)
# View -> what is on the screen once it shows everything.
VIEWS = {"1": "checkpoints", "2": "val", "3": "40 tokens", "4": "val loss"}
DIALOGS = {"1": "question_mark", "2": "n", "3": "f", "4": "x"}

Cell = tuple[str, str, str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = make_project(tmp_path_factory.mktemp("theme") / "project")
    with contextlib.chdir(project.root):
        for run_id in ("one", "two"):
            words = ["loop", "tiny", "--run-id", run_id, "--set", "train.runtime.threads=1"]
            assert main(words) == 0
    return project


def cells(console: Console) -> list[list[Cell]]:
    """Text, colour and background of each cell of the screen."""
    return [
        [
            (
                char,
                str(segment.style and segment.style.color),
                str(segment.style and segment.style.bgcolor),
            )
            for segment in strip
            for char in segment.text
        ]
        for strip in console.screen._compositor.render_strips()
    ]


async def show(console: Console, pilot: Pilot[Any], key: str) -> None:
    await until(pilot, lambda: len(console.context.snapshot.runs) == 2)
    console.context.workspace.selected = ["one", "two"]
    console.context.publish_workspace(current="two")
    await pilot.press(key)
    if key == "3":
        await until(pilot, lambda: isinstance(console.screen, SampleView) and console.focused)
        await pilot.press("h", "enter")
        await until(pilot, lambda: not console.screen._runner.is_running)  # type: ignore[attr-defined]
        await until(pilot, lambda: console.screen.query_one(SamplePanes).n_tokens)
    await until(pilot, lambda: VIEWS[key] in shown(console))


async def at_rest(console: Console, pilot: Pilot[Any]) -> list[list[Cell]]:
    """The cells once two looks at the screen are the same."""
    before: list[list[Cell]] = []
    while before != (before := cells(console)):
        await pilot.pause(0.3)
    return before


@pytest.mark.parametrize("key", VIEWS)
def test_a_view_has_the_colours_of_a_fresh_start_in_the_new_theme(
    trained: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path))
    found: dict[str, list[list[Cell]]] = {}

    async def change(console: Console, pilot: Pilot[Any]) -> None:
        await show(console, pilot, key)
        await pilot.press(DIALOGS[key])
        await until(pilot, lambda: len(console.screen_stack) > 1)
        console.theme = "playground-light"
        await pilot.pause()
        await pilot.press("escape")
        await until(pilot, lambda: len(console.screen_stack) == 1)
        found["changed"] = await at_rest(console, pilot)

    async def start(console: Console, pilot: Pilot[Any]) -> None:
        await show(console, pilot, key)
        found["fresh"] = await at_rest(console, pilot)

    with_console(trained, change, WIDE)
    (tmp_path / "console.toml").write_text('theme = "playground-light"\n', encoding="utf-8")
    with_console(trained, start, WIDE)
    compared = 0
    for changed, fresh in zip(found["changed"], found["fresh"], strict=True):
        # Ages and speeds differ from one start to the next.
        if [cell[0] for cell in changed] == [cell[0] for cell in fresh]:
            compared += 1
            assert changed == fresh, "".join(cell[0] for cell in changed)
    assert compared >= WIDE[1] - 6
