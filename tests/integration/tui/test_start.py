"""What the console does without while it opens, and what it says before it has looked around."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from textual.app import App
from textual.css.parse import parse
from textual.pilot import Pilot
from textual.screen import Screen

from builders.commands import Project, make_project
from builders.runs import make_run, train_row
from builders.tui import shown, until, with_console
from transformer_playground.tui.app import Console
from transformer_playground.tui.dialogs.help import KeysScreen
from transformer_playground.tui.runs.filter_bar import FilterBar
from transformer_playground.tui.runs.view import RunsView
from transformer_playground.tui.shared.key_bar import KeyBar
from transformer_playground.tui.shared.view import TopBar


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    return make_project(tmp_path / "project")


def test_no_style_is_read_twice_until_the_colours_change(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: Counter[tuple[object, ...]] = Counter()

    def count(scope: str, css: str, read_from: Any, **options: Any) -> Any:
        read[scope, css, read_from, options["tie_breaker"]] += 1
        return parse(scope, css, read_from, **options)

    monkeypatch.setattr("textual.css.stylesheet.parse", count)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        for view in ("live", "sample", "compare", "runs", "live"):
            console.action_view(view)
            await until(pilot, lambda: console.current_mode == view)  # noqa: B023
            await pilot.pause()
        assert len(read) > 20
        assert set(read.values()) == {1}
        await pilot.press("f2")
        await until(pilot, lambda: max(read.values()) > 1)

    with_console(project, steps)


def test_each_view_is_drawn_with_its_keys_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: dict[str, list[tuple[bool, int]]] = {}
    display = App._display

    def record(self: App[Any], screen: Screen[Any], renderable: Any) -> None:
        if renderable is not None:
            keys = screen.query_one(KeyBar).keys
            drawn.setdefault(type(screen).__name__, []).append((bool(keys), self._batch_count))
        display(self, screen, renderable)

    monkeypatch.setattr(App, "_display", record)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await pilot.press("4")
        await until(pilot, lambda: "CompareView" in drawn)
        # Neither without the keys nor in vain, while a batch keeps Textual from displaying it.
        assert [drawn[view][0] for view in ("RunsView", "CompareView")] == [(True, 0)] * 2

    with_console(project, steps)


def test_a_click_on_a_tab_opens_its_view_also_when_only_keys_fit(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        for activity in ("", "▶ a run with a rather long name 50%"):
            console.context.set_activity(activity)
            await pilot.press("1")
            await until(pilot, lambda: isinstance(console.screen, RunsView))
            line = shown(console).splitlines()[0]
            assert activity in line
            assert ("Compare" in line) == (not activity)
            await pilot.click(TopBar, offset=(line.index(" 4") + 1, 0))
            await until(pilot, lambda: console.current_mode == "compare")

    with_console(project, steps)


def test_a_click_in_the_line_of_keys_presses_the_key(project: Project) -> None:
    make_run(project.root / "runs", "tiny-1", rows=[train_row(1)])

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "/ filter" in shown(console) and console.context.snapshot.runs)
        line = shown(console).splitlines()[-1]
        await pilot.click(KeyBar, offset=(line.index("filter"), 0))
        await until(pilot, lambda: console.screen.query_one(FilterBar).display)
        await pilot.press("escape")
        await until(pilot, lambda: shown(console).splitlines()[-1].rstrip().endswith("? keys"))
        line = shown(console).splitlines()[-1]
        await pilot.click(KeyBar, offset=(line.index("? keys"), 0))
        await until(pilot, lambda: isinstance(console.screen, KeysScreen))

    with_console(project, steps)


def test_the_first_frame_has_panes_and_keys_and_claims_nothing_about_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[str] = []
    draw = Console._display

    def display(self: Console, *parts: Any) -> None:
        draw(self, *parts)
        frames.append("\n".join(strip.text for strip in self.screen._compositor.render_strips()))

    monkeypatch.setattr(Console, "_display", display)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.has_snapshot)

    with_console(project, steps)
    first = frames[0]
    assert "4 Compare" in first
    assert "Runs ─" in first
    assert "Details ─" in first
    assert first.rstrip().endswith("? keys")
    assert "three keys away" not in first
    assert "no experiments yet" not in first
