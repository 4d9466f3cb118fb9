"""The question before the console runs an experiment's own `prepare.py` for the first time."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from builders.commands import Project, make_project
from builders.tui import shown, until, with_console
from transformer_playground.experiments.discovery import bundled_dir
from transformer_playground.training.launch import Launch
from transformer_playground.tui.app import Console
from transformer_playground.tui.core.known_preparers import FILE_NAME, KnownPreparers
from transformer_playground.tui.dialogs.base import ConfirmScreen
from transformer_playground.tui.launch.actions import submit_launch

SHORT = ("train.runtime.max_iters=3",)
PREPARER = """\
from pathlib import Path
from transformer_playground.experiments import register

@register("tiny")
def main(context):
    with (Path(__file__).parent / "ran.txt").open("a") as file:
        file.write("{mark}")
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))
    project = make_project(tmp_path / "project")
    write_preparer(project, "1")
    return project


def write_preparer(project: Project, mark: str) -> None:
    (project.experiment / "prepare.py").write_text(PREPARER.format(mark=mark), encoding="utf-8")


def ran(project: Project) -> str:
    path = project.experiment / "ran.txt"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def is_asked(console: Console) -> bool:
    return isinstance(console.screen, ConfirmScreen)


async def launch(console: Console, pilot: Pilot[Any], *answer: str, run_id: str) -> None:
    """Submit a launch as the form does, and answer the question if it comes."""
    submit_launch(console.context, Launch("tiny", SHORT, run_id=run_id))
    assert is_asked(console) == bool(answer)
    if answer:
        await until(pilot, lambda: "prepare.py" in shown(console))
    await pilot.press(*answer)


async def ended(console: Console, pilot: Pilot[Any], count: int) -> None:
    jobs = console.context.training.jobs
    await until(pilot, lambda: len(jobs) == count and all(job.has_ended for job in jobs))


def test_new_code_is_asked_about_once_and_again_when_it_has_changed(project: Project) -> None:
    async def first(console: Console, pilot: Pilot[Any]) -> None:
        await launch(console, pilot, "enter", run_id="a")
        assert console.context.training.jobs == ()
        assert ran(project) == ""
        await launch(console, pilot, "tab", "enter", run_id="b")
        await until(pilot, lambda: ran(project) == "1")
        await ended(console, pilot, 1)
        await launch(console, pilot, run_id="c")
        await ended(console, pilot, 2)

    async def second(console: Console, pilot: Pilot[Any]) -> None:
        await launch(console, pilot, run_id="d")
        await ended(console, pilot, 1)
        write_preparer(project, "2")
        await launch(console, pilot, "escape", run_id="e")
        await launch(console, pilot, "tab", "enter", run_id="f")
        await ended(console, pilot, 2)

    with_console(project, first)
    assert ran(project) == "11"
    with_console(project, second)
    assert ran(project) == "1112"
    assert {run.run_id for run in project.runs} == {"b", "c", "d", "f"}


def test_a_file_that_changes_while_its_run_waits_in_the_queue_is_not_run(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        write_preparer(project, "2")
        console.context.training.submit(Launch("tiny", SHORT, run_id="a"))
        await ended(console, pilot, 1)
        (job,) = console.context.training.jobs
        assert job.state == "failed"
        assert "prepare.py was not allowed to run, or has changed since" in job.message

    with_console(project, steps)
    assert ran(project) == ""


def test_resuming_asks_only_if_the_dataset_must_be_prepared_again(project: Project) -> None:
    async def train(console: Console, pilot: Pilot[Any]) -> None:
        await launch(console, pilot, "tab", "enter", run_id="a")
        await ended(console, pilot, 1)
        write_preparer(project, "2")
        await launch_resume(console, pilot)
        assert not is_asked(console)
        await ended(console, pilot, 2)
        shutil.rmtree(project.experiment / "datasets")
        await launch_resume(console, pilot)
        assert is_asked(console)
        await until(pilot, lambda: "Run it" in shown(console))
        await pilot.press("enter")
        assert len(console.context.training.jobs) == 2

    async def launch_resume(console: Console, pilot: Pilot[Any]) -> None:
        overrides = ("train.runtime.max_iters=6",)
        submit_launch(console.context, Launch("tiny", overrides, resume="a"))
        await pilot.pause()

    with_console(project, train)
    assert ran(project) == "1"


def test_bundled_code_is_known_also_in_a_copy(tmp_path: Path) -> None:
    known = KnownPreparers(tmp_path / FILE_NAME)
    copy = tmp_path / "prepare.py"
    shutil.copy(bundled_dir() / "phrases" / "prepare.py", copy)
    assert known.is_known(copy)
    copy.write_text(copy.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert not known.is_known(copy)


@pytest.mark.parametrize(
    "content", [b"", b"[1", b'{"sha256": 3}', b'{"sha256": [3, null]}', b"[" * 9999, b"\xff\xfe"]
)
def test_a_damaged_list_knows_nothing_and_can_be_added_to(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    preparer = tmp_path / "prepare.py"
    preparer.write_text("x = 1\n", encoding="utf-8")
    known = KnownPreparers(path)
    assert not known.is_known(preparer)
    known.allow(preparer)
    assert known.is_known(preparer)
    assert KnownPreparers(path).is_known(preparer)


def test_an_answer_that_cannot_be_saved_counts_until_the_console_ends(tmp_path: Path) -> None:
    preparer = tmp_path / "prepare.py"
    preparer.write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "file").write_text("", encoding="utf-8")
    known = KnownPreparers(tmp_path / "file" / FILE_NAME)
    with pytest.raises(OSError, match="file"):
        known.allow(preparer)
    assert known.is_known(preparer)
