"""The queue of runs: what waits, in which order, and what is taken off."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList

from builders.commands import make_project
from builders.tui import shown, until, with_console
from transformer_playground.training.launch import Launch
from transformer_playground.tui.app import Console
from transformer_playground.tui.core.job_queue import TrainingQueue
from transformer_playground.tui.dialogs.queue import QueueScreen
from transformer_playground.tui.shared.key_bar import KeyBar


def listed(console: Console) -> list[str]:
    """The lines of the queue."""
    return [str(option.prompt) for option in console.screen.query_one(OptionList).options]


def test_waiting_runs_are_reordered_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    # Nothing is trained: all jobs wait.
    monkeypatch.setattr(TrainingQueue, "work", lambda _: None)
    project = make_project(tmp_path / "project")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        training = console.context.training

        def names() -> list[str]:
            return [job.name for job in training.waiting]

        await pilot.press("Q")
        await until(pilot, lambda: "No run waits." in shown(console))
        await pilot.press("I", "d", "A", "escape")
        for name in ("one", "two", "[red]three\x1b[2J"):
            training.submit(Launch("tiny", run_id=name))
        await pilot.press("Q")
        await until(pilot, lambda: isinstance(console.screen, QueueScreen))
        await until(pilot, lambda: "[red]three␛[2J" in shown(console))
        assert len(console.screen.query(KeyBar)) == 1
        await pilot.press("end", "I")
        assert names() == ["[red]three\x1b[2J", "one", "two"]
        await pilot.press("down", "d")
        assert names() == ["[red]three\x1b[2J", "two"]
        assert listed(console) == ["◌ [red]three␛[2J", "◌ two"]
        # What begins meanwhile leaves the list.
        training.stop(training.waiting[0])
        await until(pilot, lambda: listed(console) == ["◌ two"], 20)
        await pilot.press("A")
        assert names() == []
        await until(pilot, lambda: "No run waits." in shown(console))

    with_console(project, steps)
