"""Each view as the first one of a fresh console, with its panes and dialogs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from textual.geometry import Region
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input

from builders.commands import Project, make_trained_project
from builders.tui import until, with_console
from transformer_playground import tui
from transformer_playground.tui.app import Console
from transformer_playground.tui.dialogs.pick import FilteredListScreen
from transformer_playground.tui.shared.view import View

STYLESHEETS = sorted(Path(tui.__file__).parent.rglob("*.tcss"))
# View -> keys that lead to each of its panes and dialogs.
SCENES: Mapping[str, tuple[str, ...]] = {
    "1": ("", "tab", "tab tab", "slash", "e", "t", "R", "d", "c", "x", "n", "n ctrl+t", "n ctrl+o"),
    "2": ("", "z", "t", "question_mark", "ctrl+p", "B", "n"),
    "3": ("", "i", "r", "w", "b", "ctrl+p"),
    "4": ("", "tab", "i", "shift+tab", "space", "x", "question_mark"),
}
# A thread opens these dialogs.
SLOW = {("1", "n ctrl+o"), ("2", "B"), ("3", "w")}
RUNS = ("one", "two")
_LOOKS = 20

Layout = dict[str, tuple[Region, bool]]


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_trained_project(tmp_path_factory.mktemp("first") / "project", *RUNS)


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))


def layout(console: Console) -> Layout:
    """Place of every widget on the screen, and whether it is shown, by its path."""
    widgets = console.screen.walk_children(Widget)
    paths = [
        "/".join(each.css_identifier for each in widget.ancestors_with_self) for widget in widgets
    ]
    return {
        f"{path} {paths[:number].count(path)}": (widget.region, widget.display)
        for number, (path, widget) in enumerate(zip(paths, widgets, strict=True))
    }


async def layout_with_all_styles(console: Console, pilot: Pilot[Any]) -> Layout:
    """The layout of the screen if the stylesheets of all views and dialogs had been loaded."""
    loaded = console.stylesheet
    console.stylesheet = loaded.copy()  # pyright: ignore[reportAttributeAccessIssue]
    console.stylesheet.read_all(STYLESHEETS)
    console.refresh_css()
    await pilot.pause()
    found = layout(console)
    console.stylesheet = loaded
    console.refresh_css()
    await pilot.pause()
    return found


async def select(console: Console, pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: len(console.context.snapshot.runs) == len(RUNS))
    for run_id in RUNS:
        console.context.workspace.toggle_selected(run_id)


def has_empty_view(console: Console) -> bool:
    """Whether the view still reads the runs."""
    notes = console.screen.query("#sample-empty, #compare-empty, #live-empty")
    return any(note.display for note in notes)


@pytest.mark.parametrize("view", SCENES)
def test_a_view_needs_no_styles_of_views_that_were_not_opened(two_runs: Project, view: str) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await select(console, pilot)
        await pilot.press(view)
        await until(pilot, lambda: not has_empty_view(console))
        for keys in SCENES[view]:
            if isinstance(console.focused, Input):
                await pilot.press("escape")
            await pilot.press(*keys.split())
            if (view, keys) in SLOW:
                await until(pilot, lambda: isinstance(console.screen, FilteredListScreen))
            # What a view has just read may change its layout between the two looks.
            first, with_all = layout(console), Layout()
            for _ in range(_LOOKS):
                await pilot.pause(0.05)
                first = layout(console)
                with_all = await layout_with_all_styles(console, pilot)
                if with_all == first:
                    break
            assert with_all == first, keys
            while not isinstance(console.screen, View):
                await pilot.press("escape")
            await pilot.press("escape")

    with_console(two_runs, steps)
