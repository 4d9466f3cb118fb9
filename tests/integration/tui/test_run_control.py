"""Control of a run that another process trains, by keys of the console."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from builders.commands import Project, make_project
from builders.runs import append_rows, make_run, status_row, train_row
from builders.tui import shown, until, with_console
from transformer_playground.runs.requests import Request, take_requests
from transformer_playground.runs.status import RunLock
from transformer_playground.tui.app import Console
from transformer_playground.tui.runs.view import RunsView


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    return make_project(tmp_path / "project")


def test_a_run_of_another_process_is_controlled_by_requests_from_both_views(
    project: Project,
) -> None:
    rows = [status_row(0, "running", max_iters=100), train_row(40)]
    run = make_run(project.root / "runs", "elsewhere", rows, experiment="tiny")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        received: list[str] = []

        def has_received(*actions: str) -> bool:
            taken = take_requests(run, lock.session, set())
            received.extend(each.action for each in taken if isinstance(each, Request))
            return received == [*actions]

        await until(pilot, lambda: "elsewhere" in console.context.snapshot.runs)
        await until(
            pilot, lambda: isinstance(console.screen, RunsView) and "▶ running" in shown(console)
        )
        await pilot.press("P")
        await until(pilot, lambda: has_received("pause"))
        await until(pilot, lambda: "asked process" in shown(console))
        append_rows(run, [status_row(40, "paused")])
        await pilot.press("2")
        await until(pilot, lambda: "‖ paused" in shown(console))
        await pilot.press("P")
        await until(pilot, lambda: has_received("pause", "resume"))
        await pilot.press("E")
        await until(pilot, lambda: has_received("pause", "resume", "evaluate"))
        # The same keys in the table of runs.
        await pilot.press("1", "D")
        await until(pilot, lambda: has_received("pause", "resume", "evaluate", "sample"))
        await pilot.press("S")
        await until(pilot, lambda: "another process trains" in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: has_received("pause", "resume", "evaluate", "sample", "stop"))
        append_rows(run, [status_row(41, "stopped")])
        await pilot.press("K")
        await until(pilot, lambda: "is not training" in shown(console))

    with RunLock(run) as lock:
        with_console(project, steps)
