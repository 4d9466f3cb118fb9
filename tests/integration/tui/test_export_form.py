"""The export form on a run: what it starts, shows, refuses and stops."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from builders.commands import Project, make_trained_project
from builders.runs import make_run, status_row, train_row
from builders.tui import shown, until, with_console
from transformer_playground.tui.app import Console
from transformer_playground.tui.core import tp_process
from transformer_playground.tui.core.exports import ExportJob
from transformer_playground.tui.dialogs.base import ConfirmScreen
from transformer_playground.tui.export.view import ExportScreen

# A command that goes on until it is stopped.
ENDLESS = "import sys, time; print('writing', file=sys.stderr, flush=True); time.sleep(600)"

REFUSING = "import sys; print('error: It is odd.', file=sys.stderr); sys.exit('Make it even.')"


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))
    # The process of an export has one thread, as the tests around it.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the trained runs `one` and `two`; not to be changed."""
    return make_trained_project(tmp_path_factory.mktemp("export") / "project", "one", "two")


@pytest.fixture
def project(tmp_path: Path, trained: Project) -> Project:
    return Project(Path(shutil.copytree(trained.root, tmp_path / "project")))


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tp_process, "_RUN_TP", ENDLESS)


async def open_form(console: Console, pilot: Pilot[Any], run_id: str) -> ExportScreen:
    await until(pilot, lambda: run_id in console.context.snapshot.runs)
    console.context.publish_workspace(current=run_id)
    await until(pilot, lambda: console.context.workspace.current == run_id)
    await pilot.press("X")
    await until(pilot, lambda: isinstance(console.screen, ExportScreen))
    screen = console.screen
    assert isinstance(screen, ExportScreen)
    return screen


def active(console: Console) -> ExportJob:
    job = console.context.exports.active
    assert job is not None
    return job


def notices(console: Console) -> str:
    return "\n".join(each.text for each in console.context.notices)


async def pick(pilot: Pilot[Any], console: Console, target: str) -> None:
    """Choose a target with the arrow keys."""
    while f"← {target} →" not in shown(console):
        await pilot.press("right")
        await pilot.pause()


def test_an_export_shows_its_progress_and_ends_with_the_folder_and_the_proof(
    project: Project,
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot, "one")
        await pick(pilot, console, "safetensors")
        await pilot.press("enter")
        job = active(console)
        await until(pilot, lambda: "▶" in shown(console))
        await until(pilot, lambda: job.has_ended)
        await until(pilot, lambda: "✓ safetensors (float32) of step" in shown(console))
        assert job.state == "done"
        assert "of validation text" in shown(console)
        assert str(project.run_named("one").root / "exports") in notices(console)

    with_console(project, steps)
    (folder,) = (project.run_named("one").root / "exports").iterdir()
    assert (folder / "model.safetensors").is_file()


@pytest.mark.usefixtures("endless")
def test_an_export_goes_on_behind_the_closed_form_until_it_is_stopped(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot, "one")
        await pilot.press("enter")
        job = active(console)
        await until(pilot, lambda: "▶ writing" in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: "one is being exported to hf." in notices(console))
        assert active(console) is job, "a second export of the run is refused"
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(console.screen, ExportScreen))
        await pilot.press("R", "d")
        await until(pilot, lambda: "one is being exported. Wait for it" in notices(console))
        await open_form(console, pilot, "two")
        assert "writing" not in shown(console), "the export of another run"
        await pilot.press("escape")
        await open_form(console, pilot, "one")
        await until(pilot, lambda: "▶ writing" in shown(console))
        await pilot.press("ctrl+x")
        await until(pilot, lambda: job.has_ended)
        await until(pilot, lambda: "■ The export was stopped" in shown(console))
        assert "The export was stopped; nothing was written." in notices(console)

    with_console(project, steps)


@pytest.mark.usefixtures("endless")
def test_quitting_asks_and_then_stops_the_export(project: Project) -> None:
    jobs = []

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot, "one")
        await pilot.press("enter")
        jobs.append(active(console))
        await until(pilot, lambda: "▶ writing" in shown(console))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(console.screen, ExportScreen))
        await pilot.press("q")
        await until(pilot, lambda: isinstance(console.screen, ConfirmScreen))
        await until(pilot, lambda: "one is being exported." in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: console._exit)

    with_console(project, steps)
    assert [job.state for job in jobs] == ["stopped"]


def test_a_refusal_is_shown_with_its_hint(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tp_process, "_RUN_TP", REFUSING)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot, "one")
        await pilot.press("f5")
        await until(pilot, lambda: "✗ It is odd. Make it even." in shown(console))
        await until(pilot, lambda: "Export of one: It is odd. Make it even." in notices(console))

    with_console(project, steps, (60, 16))


def test_the_form_offers_what_the_target_has(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot, "one")
        assert "custom code" in shown(console)
        await pick(pilot, console, "gguf")
        await until(pilot, lambda: "custom code" not in shown(console))
        await pilot.press("down", "down", "right", "right", "right")
        await until(pilot, lambda: "← q8_0 →  quantised" in shown(console))
        await pilot.press("left")
        await until(pilot, lambda: "← float16 →" in shown(console))
        await pilot.press("down", *"odd")
        await until(pilot, lambda: "odd" in shown(console))

    with_console(project, steps)


def test_a_run_without_a_checkpoint_has_nothing_to_export(project: Project) -> None:
    rows = [status_row(0, "running", max_iters=9), train_row(1), status_row(1, "stopped")]
    make_run(project.root / "runs", "bare", rows, experiment="tiny")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "bare" in console.context.snapshot.runs)
        console.context.publish_workspace(current="bare")
        await until(pilot, lambda: console.context.workspace.current == "bare")
        await pilot.press("X")
        await until(pilot, lambda: "bare has no checkpoint to export." in notices(console))

    with_console(project, steps)
