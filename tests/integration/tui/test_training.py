"""Training inside the console: several runs, steering, leaving; tiny real runs."""

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot

from builders.commands import MORE_AND_EXTRAS, Project, make_project, train_for_an_hour
from builders.metrics import read_rows
from builders.runs import make_run, train_row
from builders.tui import shown, until, with_console
from transformer_playground.checkpoints.discovery import newest_valid
from transformer_playground.cli.main import main
from transformer_playground.runs.alerts import Alert
from transformer_playground.runs.listing import list_runs
from transformer_playground.training.launch import Launch
from transformer_playground.tui.app import Console
from transformer_playground.tui.core.job_queue import Job
from transformer_playground.tui.dialogs.base import ConfirmScreen
from transformer_playground.tui.launch.actions import edit_launch, submit_launch
from transformer_playground.tui.launch.view import LaunchScreen

ENDLESS = ("train.runtime.max_iters=1000000", "train.runtime.eval_interval=1000000")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))
    return make_project(tmp_path / "project")


async def start(console: Console, pilot: Pilot[Any], *overrides: str, run_id: str) -> Job:
    submit_launch(console.context, Launch("tiny", overrides, run_id=run_id))
    job = console.context.training.jobs[-1]
    await until(pilot, lambda: job.state == "running" and job.step > 2)
    return job


def states(project: Project) -> dict[str, str]:
    return {row.run_id: row.state for row in list_runs(project.root / "runs")}


def assert_resumable(project: Project, run_id: str, step: int) -> None:
    found = newest_valid(project.run_named(run_id).checkpoints)
    assert found.info is not None
    assert found.info.step >= step
    assert not found.skipped


def test_of_two_launches_the_second_waits_for_the_first(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        first = await start(console, pilot, *ENDLESS, run_id="first")
        # The narrow top bar has to show them all.
        console.context.raise_alerts([Alert("disk", None, None, None, "disk is full")])
        submit_launch(
            console.context, Launch("tiny", ("train.runtime.max_iters=3",), run_id="second")
        )
        await until(pilot, lambda: "+1 queued" in shown(console))
        assert "Queued second." in shown(console)
        assert console.context.workspace.current == "second"
        console.context.training.stop(first)
        await until(pilot, lambda: all(job.has_ended for job in console.context.training.jobs))
        await until(pilot, lambda: {"first", "second"} <= console.context.snapshot.runs.keys())

    with_console(project, steps)
    assert states(project) == {"first": "stopped", "second": "finished"}


def test_views_are_told_of_every_turn(project: Project) -> None:
    seen: list[str] = []

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        console.context.training_changed.subscribe(
            console,
            lambda updates: seen.extend(update.kind for update in updates),
        )
        job = await start(console, pilot, *ENDLESS, run_id="first")
        console.context.training.pause(job)
        await until(pilot, lambda: "‖ first" in shown(console))
        console.context.training.resume(job)
        await until(pilot, lambda: "▶ first" in shown(console))
        console.context.training.stop(job)
        await until(pilot, lambda: "trained" in seen)

    with_console(project, steps)
    assert [each for each in seen if each != "progress"][:2] == ["started", "trained"]
    events = {row["event"] for row in read_rows(project.run_named("first").metrics_path)}
    assert {"train", "status", "checkpoint"} <= events


def test_leaving_while_training_asks_saves_and_ends(project: Project) -> None:
    steps_done: list[int] = []

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        job = await start(console, pilot, *ENDLESS, run_id="first")
        submit_launch(console.context, Launch("tiny", run_id="second"))
        await pilot.press("q")
        assert isinstance(console.screen, ConfirmScreen)
        assert "Quitting saves a checkpoint" in shown(console)
        await pilot.press("escape")
        assert job.state == "running"
        (worker,) = [each for each in console.workers if each.group == "training"]
        assert worker.is_running
        await pilot.press("q", "enter")
        await until(pilot, lambda: console.return_code == 0 and not console.is_running)
        assert worker.is_finished
        steps_done.append(job.step)

    before = set(threading.enumerate())
    with_console(project, steps)
    assert set(threading.enumerate()) <= before
    assert states(project) == {"first": "stopped"}
    assert_resumable(project, "first", steps_done[0])
    with contextlib.chdir(project.root):
        more = f"train.runtime.max_iters={steps_done[0] + 2}"
        assert main(["train", "tiny", "--resume", "first", "--set", more]) == 0
    assert states(project) == {"first": "finished"}
    assert project.runs == [project.run_named("first")]


def test_leaving_while_plot_and_report_are_written_asks_and_waits_for_them(
    project: Project,
) -> None:
    run = train_for_an_hour(project)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        submit_launch(console.context, Launch("tiny", MORE_AND_EXTRAS, resume="first"))
        job = console.context.training.jobs[0]
        await until(pilot, lambda: job.is_reporting)
        await pilot.press("q")
        assert isinstance(console.screen, ConfirmScreen)
        assert "plot and report of first" in shown(console)
        await pilot.press("enter")
        await until(pilot, lambda: console.return_code == 0 and not console.is_running)
        assert not job.is_reporting

    with_console(project, steps)
    assert states(project) == {"first": "finished"}
    assert sorted(path.suffix for path in run.reports.iterdir()) == [".json", ".svg"]


@pytest.mark.parametrize(
    ("views", "rounds"),
    [(("live",), 0), (("live",), 4), (("sample",), 2), (("compare",), 1), (("live", "runs"), 0)],
)
def test_leaving_while_a_view_is_being_built_is_no_fault(
    project: Project, views: tuple[str, ...], rounds: int
) -> None:
    make_run(project.root / "runs", "first", [train_row(1)])

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.snapshot.runs)
        for view in views:
            console.action_view(view)
            for _ in range(rounds):
                await asyncio.sleep(0)
        console.exit(7)
        await until(pilot, lambda: not console.is_running)
        assert console.return_value == 7

    with_console(project, steps)


@pytest.mark.parametrize("way", ["exit", "crash", "end"])
def test_however_the_console_ends_the_run_is_saved(project: Project, way: str) -> None:
    steps_done: list[int] = []

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        job = await start(console, pilot, *ENDLESS, run_id="first")
        steps_done.append(job.step)
        if way == "exit":
            console.exit(0)
        elif way == "crash":
            console.call_later(crash)
            await until(pilot, lambda: not console.is_running)

    def crash() -> None:
        raise ZeroDivisionError("a fault of the console")

    if way == "crash":
        with pytest.raises(ZeroDivisionError):
            with_console(project, steps)
    else:
        with_console(project, steps)
    assert states(project) == {"first": "stopped"}
    assert_resumable(project, "first", steps_done[0])


def test_a_run_that_fails_says_why_and_the_console_goes_on(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        submit_launch(
            console.context,
            Launch(
                "tiny",
                (
                    "train.optim.learning_rate=1e30",
                    "train.optim.grad_clip=0.0",
                    "train.schedule.schedule=constant",
                    "train.schedule.warmup_iters=0",
                ),
                run_id="bad",
            ),
        )
        bad = console.context.training.jobs[0]
        await until(pilot, lambda: bad.has_ended)
        assert bad.state == "failed"
        await until(pilot, lambda: "failed: loss is" in shown(console))
        assert "Lower train.optim.learning_rate" in bad.message
        submit_launch(
            console.context, Launch("tiny", ("train.runtime.max_iters=3",), run_id="good")
        )
        await until(pilot, lambda: console.context.training.jobs[1].has_ended)
        assert console.context.training.jobs[1].state == "finished"

    with_console(project, steps, size=(120, 40))
    assert states(project) == {"bad": "failed", "good": "finished"}


def test_a_stopped_run_is_resumed_and_branched_from_the_form(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        job = await start(console, pilot, *ENDLESS, run_id="first")
        console.context.training.stop(job)
        await until(pilot, lambda: job.has_ended)
        edit_launch(
            console.context,
            Launch("tiny", (f"train.runtime.max_iters={job.step + 2}",), resume="first"),
        )
        await pilot.pause()
        await until(pilot, lambda: "Resume first" in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: len(console.context.training.jobs) == 2)
        again = console.context.training.jobs[1]
        await until(pilot, lambda: again.has_ended)
        assert again.state == "finished", again.message
        await until(pilot, lambda: "first" in console.context.snapshot.runs)
        console.context.publish_workspace(current="first")
        await pilot.press("B")
        await until(pilot, lambda: "Branch from a checkpoint of first" in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
        # One file, which is both the best and the last checkpoint.
        await until(pilot, lambda: "Branch from first at step" in shown(console))
        assert console.focused is not None
        console.focused.post_message(Paste(f"train.runtime.max_iters={job.step + 4}"))
        await pilot.pause()
        await pilot.press("enter", "tab")
        console.focused.post_message(Paste("twig"))
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: len(console.context.training.jobs) == 3)
        branch = console.context.training.jobs[2]
        await until(pilot, lambda: branch.has_ended)
        assert branch.state == "finished", branch.message

    with_console(project, steps)
    assert states(project) == {"first": "finished", "twig": "finished"}


def test_a_branch_cannot_change_the_model(project: Project) -> None:

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        job = await start(console, pilot, *ENDLESS, run_id="first")
        console.context.training.stop(job)
        await until(pilot, lambda: job.has_ended)
        edit_launch(console.context, Launch("tiny", ("model.n_layer=3",), branch=("first", "last")))
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda: "a run keeps the model" in shown(console))
        assert len(console.context.training.jobs) == 1

    with_console(project, steps, size=(120, 40))
