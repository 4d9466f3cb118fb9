"""A pretrained model is prepared for, finetuned and sampled inside the console."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from builders.finetuning import make_finetuning_project
from builders.tui import shown, until, with_console
from transformer_playground.training.launch import Launch
from transformer_playground.tui.app import Console
from transformer_playground.tui.launch.actions import submit_launch
from transformer_playground.tui.sample.form import SampleForm
from transformer_playground.tui.sample.panes import SamplePanes
from transformer_playground.tui.sample.view import SampleView


def drawn(console: Console) -> list[str]:
    """The samples on the screen that have come to their end."""
    panes = [view for view in console.screen.query_one(SamplePanes).shown if view.transcript]
    if "▶" in str(console.screen.query_one("#sample-status", Static).content):
        return []
    return ["".join(view.transcript.texts()) for view in panes if view.transcript]


def test_from_an_experiment_to_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))
    project = make_finetuning_project(tmp_path / "project")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "tiny" in shown(console))
        await pilot.press("n")
        await until(pilot, lambda: "LoRA of rank 4 on usual layers" in shown(console))
        await pilot.press("escape")
        submit_launch(console.context, Launch("tiny", run_id="tuned"))
        (job,) = console.context.training.jobs
        await until(pilot, lambda: job.has_ended)
        assert job.state == "finished", job.message
        await until(pilot, lambda: "tuned" in console.context.snapshot.runs)
        await pilot.press("3")
        await until(pilot, lambda: isinstance(console.screen, SampleView))
        await until(pilot, lambda: console.screen.query_one(SampleForm).display)
        await pilot.press("enter")
        await until(pilot, lambda: drawn(console))
        assert drawn(console)[0].startswith("The cat")

    with_console(project, steps, (120, 40))
    assert (project.run_named("tuned").adapters / "final" / "adapter_config.json").is_file()
