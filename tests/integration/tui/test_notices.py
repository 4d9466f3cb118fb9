"""Notices stand in one line above the key bar, and the last ones in a list."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from builders.commands import Project, make_project
from builders.runs import make_run, status_row, train_row, write_writer
from builders.tui import shown, until, with_console
from transformer_playground.runs.alerts import Alert
from transformer_playground.tui.app import Console
from transformer_playground.tui.core.context import MOST_NOTICES
from transformer_playground.tui.dialogs.alerts import AlertsScreen
from transformer_playground.tui.dialogs.notices import NoticesScreen
from transformer_playground.tui.live.view import LiveView

LONG = "The file could not be written: No space left on device, while saving /a/long/path/of/x.svg"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    return make_project(tmp_path / "project")


@pytest.mark.parametrize("size", [(60, 16), (140, 45)])
def test_the_newest_notice_takes_one_line_above_the_key_bar(
    project: Project, size: tuple[int, int]
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.has_snapshot)
        console.notify("the older one")
        console.notify("second", title="Settings", severity="warning")
        await until(pilot, lambda: "! Settings: second" in shown(console).splitlines()[-2])
        assert "the older one" not in shown(console)
        console.notify(LONG, severity="error")
        await until(pilot, lambda: "✗ The file could not" in shown(console).splitlines()[-2])
        lines = shown(console).splitlines()
        assert lines[-1].rstrip().endswith("? keys")
        assert ("…" in lines[-2]) == (size[0] < 100)
        assert "second" not in shown(console)

    with_console(project, steps, size)


def test_an_alert_of_a_run_in_training_is_said_listed_and_dismissed(project: Project) -> None:
    rows = [train_row(step, train_loss=2.0) for step in range(1, 41)]
    for name in ("first", "second"):
        run = make_run(
            project.root / "runs",
            name,
            [status_row(0, "running", max_iters=99), *rows, train_row(41, train_loss=9.0)],
        )
        write_writer(run)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "! 2 alerts" in shown(console).splitlines()[0])
        newest = "! second: training loss jumped to 9.0000 from 2.0000 (and 1 more)"
        assert newest in shown(console).splitlines()[-2]
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: isinstance(console.screen, AlertsScreen))
        await until(pilot, lambda: "first @ 41: training loss jumped" in shown(console))
        # One that is raised now goes above the highlighted one, which `d` still dismisses.
        console.context.raise_alerts([Alert("disk", None, None, None, "disk is full")])
        await until(pilot, lambda: "! disk is full" in shown(console))
        await pilot.press("d")
        await until(pilot, lambda: "second @ 41" not in shown(console))
        assert "! disk is full" in shown(console)
        await pilot.press("up", "d")
        await until(pilot, lambda: "! disk is full" not in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, LiveView))
        assert console.context.workspace.opened == "first"
        await until(pilot, lambda: "! 1 alert" in shown(console).splitlines()[0])
        await pilot.press("exclamation_mark")
        await until(pilot, lambda: isinstance(console.screen, AlertsScreen))
        await pilot.press("A")
        await until(pilot, lambda: "No alerts." in shown(console))
        await pilot.press("escape")
        await until(pilot, lambda: "alert" not in shown(console).splitlines()[0])

    with_console(project, steps, (100, 30))


def test_the_last_notices_are_listed_in_full_with_their_time(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.has_snapshot)
        for number in range(MOST_NOTICES):
            console.notify(f"notice {number}")
        console.notify(LONG, severity="error")
        await pilot.press("N")
        await until(pilot, lambda: isinstance(console.screen, NoticesScreen))
        await until(pilot, lambda: "notice 9" in shown(console))
        text = " ".join(shown(console).replace("│", " ").split())
        assert LONG in text
        assert "notice 1 " in text
        assert "notice 0" not in text
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(console.screen, NoticesScreen))

    with_console(project, steps, (80, 40))
