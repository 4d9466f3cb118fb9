"""The Data view: tokens, batches and counts of the dataset of a run, and of none."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import OptionList

from builders.commands import Project, make_project, make_trained_project
from builders.corpora import prepare
from builders.tui import shown, until, with_console
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.tui.app import Console
from transformer_playground.tui.data.data_state import Line
from transformer_playground.tui.data.panes import ListPane
from transformer_playground.tui.data.view import DataView
from transformer_playground.tui.inside.view import InsideView


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the run `first`; not to be changed."""
    return make_trained_project(tmp_path_factory.mktemp("data") / "project", "first")


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))


async def open_data(console: Console, pilot: Pilot[Any]) -> DataView:
    await until(pilot, lambda: console.context.has_snapshot)
    await pilot.press("7")
    await until(pilot, lambda: isinstance(console.screen, DataView))
    view = console.screen
    assert isinstance(view, DataView)
    return view


def test_a_text_is_found_and_lists_lead_to_their_places(trained: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_data(console, pilot)
        await until(pilot, lambda: view.results.counts and "line 1" in shown(console))
        assert "4·0· ·b·o·t·t·l·e·s" in shown(console)
        await until(pilot, lambda: "batch of step 1" in shown(console))
        await pilot.press("slash", *"wall", "enter")
        await until(pilot, lambda: view.places.match is not None)
        first = view.places.match
        await pilot.press("f3")
        await until(pilot, lambda: view.places.match not in (None, first))
        await pilot.press("shift+f3")
        await until(pilot, lambda: view.places.match == first)
        await pilot.press("number_sign", *"line 3", "enter")
        await until(pilot, lambda: "line 3 ·" in shown(console))
        await pilot.press("greater_than_sign")
        await until(pilot, lambda: "batch of step 2" in shown(console))
        await pilot.press("V")
        await until(pilot, lambda: "val · tokens 0" in shown(console))
        # The losses of the vocabulary, by the best checkpoint.
        await pilot.press("E")
        await until(pilot, lambda: view.results.cost is not None)
        await until(pilot, lambda: "by % of loss" in shown(console))
        view.bring("hardest")
        await pilot.press("E")
        await until(pilot, lambda: view.results.hardest)
        await pilot.press("L")
        await until(pilot, lambda: isinstance(console.screen, InsideView))
        await until(pilot, lambda: "val · tokens 0–" in shown(console))
        await pilot.press("escape")
        await until(pilot, lambda: console.screen is view)
        # A pane that was hidden is drawn for the width that it has now.
        await pilot.resize_terminal(80, 24)
        view.bring("vocabulary")
        await until(pilot, lambda: "% of loss" in shown(console))
        await pilot.press("f", *"zzz", "enter")
        await until(pilot, lambda: "No entry matches." in shown(console))
        await pilot.press("escape")
        # A hidden view does nothing.
        await pilot.press("1")
        await until(pilot, lambda: not view.is_current)
        view.refresh_bindings()
        assert not view.jobs.is_running()

    with_console(trained, steps, (140, 45))


def test_a_list_is_drawn_when_it_is_seen() -> None:
    widths: list[int] = []

    def write(width: int) -> list[Line]:
        widths.append(width)
        return [(("entry", "plain"),)]

    class Shell(App[None]):
        """A list alone."""

        def compose(self) -> ComposeResult:
            yield ListPane("batch")

    async def drive() -> None:
        app = Shell()
        async with app.run_test(size=(80, 24)) as pilot:
            pane = app.query_one(ListPane)
            pane.display = False
            await pilot.pause()
            for _ in range(3):
                pane.show(write, str, "batch")
            assert widths == []
            pane.display = True
            await until(pilot, lambda: widths)
            await pilot.pause()
            assert pane.query_one(OptionList).option_count == 1
            # Once more at the same size, after it was hidden again.
            pane.display = False
            await pilot.pause()
            pane.show(write, str, "batch")
            pane.display = True
            await until(pilot, lambda: len(widths) > 1)
            await pilot.pause()
            assert widths == [78, 78]
            # Of many entries those that are seen come first.
            many: list[Line] = [((f"entry {number}", "plain"),) for number in range(500)]
            pane.show(lambda _: iter(many), str, "batch")
            entries = pane.query_one(OptionList)
            assert 0 < entries.option_count < 100
            await until(pilot, lambda: entries.option_count == 500)
            entries.highlighted = 400
            pane.show(lambda _: iter(many), str, "batch")
            assert entries.highlighted == 400

    asyncio.run(drive())


def test_without_prepared_data_the_view_says_how_and_then_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path / "project")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_data(console, pilot)
        await until(pilot, lambda: "no prepared dataset" in shown(console))
        assert "tp prepare tiny" in shown(console)
        await pilot.press("E", "J", "right", "V", "o", "greater_than_sign", "f3", "y")
        await until(pilot, lambda: "no prepared dataset" in shown(console))
        folder = project.experiment
        prepare(PrepareConfig(raw_dir=folder / "raw", dataset_dir=folder / "datasets"))
        await until(pilot, lambda: "4·0· ·b·o·t·t·l·e·s" in shown(console))
        project.raw.write_text("Another text.\n" * 40, encoding="utf-8")
        await pilot.press("f5")
        await until(pilot, lambda: "Prepare the data of tiny again" in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: "A·n·o·t·h·e·r" in shown(console))
        assert "Prepared tiny: " in [each.text for each in console.context.notices][-1]
        await pilot.press("x", "enter")
        await until(pilot, lambda: [*tmp_path.glob("data-window-*.csv")])

    monkeypatch.chdir(tmp_path)
    with_console(project, steps)
