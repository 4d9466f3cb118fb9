"""The live view by keyboard: runs trained by this console and by other processes."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

import builders
from builders.commands import CONTROL, Project, make_project
from builders.corpora import prepared
from builders.events import logged_step
from builders.runs import append_rows, eval_row, make_run, status_row, train_row
from builders.tui import shown, until, with_console
from transformer_playground.data.dataset import open_dataset
from transformer_playground.runs.jsonl import JsonlWriter
from transformer_playground.training.events import Warned
from transformer_playground.training.launch import Launch
from transformer_playground.tui.app import Console
from transformer_playground.tui.charts.chart import Chart
from transformer_playground.tui.core.job_queue import Job
from transformer_playground.tui.live.follower import MAX_LOG_LINES
from transformer_playground.tui.live.panes import EventLog, SamplesPane
from transformer_playground.tui.live.view import LiveView

SIZES = [(80, 24), (140, 45)]
ROWS = [
    status_row(0, "running", max_iters=100, device="cpu", dtype="float32"),
    *(train_row(step) for step in range(1, 41)),
    eval_row(0, 4.25, val_bits_per_byte=6.0),
    eval_row(40, 3.5, val_bits_per_byte=5.0),
]


def shows(console: Console, *texts: str) -> bool:
    return all(text in shown(console) for text in texts)


def is_titled(console: Console, title: str) -> bool:
    return title in shown(console).splitlines()[1]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    return make_project(tmp_path / "project")


def add_run(project: Project, name: str, rows: Sequence[dict[str, Any]] = ROWS) -> None:
    make_run(project.root / "runs", name, rows, experiment="tiny")


async def open_live(console: Console, pilot: Pilot[Any], *selected: str) -> LiveView:
    await until(pilot, lambda: set(selected) <= set(console.context.snapshot.runs) != set())
    for name in selected:
        console.context.workspace.toggle_selected(name)
    console.context.publish_workspace()
    await pilot.press("2")
    await until(pilot, lambda: isinstance(console.screen, LiveView) and console.screen.poller.count)
    view = console.screen
    assert isinstance(view, LiveView)
    await until(pilot, lambda: "Live" in shown(console))
    return view


@pytest.mark.parametrize("size", SIZES)
def test_two_runs_lie_over_each_other_and_toggles_change_what_is_shown(
    project: Project, size: tuple[int, int]
) -> None:
    for name in ("first", "second"):
        add_run(project, name)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_live(console, pilot, "first", "second")
        await until(pilot, lambda: "loss · 2 runs" in shown(console))
        # One of them is in focus and marked.
        await until(pilot, lambda: re.search("●[ ▸]first", shown(console)))
        await until(pilot, lambda: re.search("▲[ ▸]second", shown(console)))
        assert ("●▸first" in shown(console)) != ("▲▸second" in shown(console))
        await pilot.press("l", "s")
        await until(pilot, lambda: "log · smooth 0.60" in shown(console))
        await pilot.press("a")
        await until(pilot, lambda: " tokens seen" in shown(console))
        for typed, title in (("norm", "gradient norm"), ("bits", "bits per byte")):
            await pilot.press("m")
            await until(pilot, partial(shows, console, "Quantity"))
            await pilot.press(*typed, "enter")
            await until(pilot, partial(is_titled, console, title))
        assert console.context.settings.layout["live"] == {
            "log": True,
            "smoothing": 0.6,
            "x": "tokens",
            "quantity": "bits_per_byte",
            "quantity_event": "",
        }

    with_console(project, steps, size)


@pytest.mark.parametrize("size", SIZES)
def test_the_numbers_of_the_run_in_focus_are_shown_and_brackets_change_it(
    project: Project, size: tuple[int, int]
) -> None:
    add_run(project, "first")
    add_run(project, "second", [*ROWS, train_row(80, train_loss=1.2345), eval_row(80, 2.75)])

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_live(console, pilot, "first", "second")
        seen = set()
        for _ in range(2):
            focus = view.focus_run
            best, share = ("2.7500 @ 80", " 80%") if focus == "second" else ("3.5000 @ 40", " 40%")
            await until(pilot, partial(shows, console, best, share))
            seen.add(focus)
            await pilot.press("right_square_bracket")
        assert seen == {"first", "second"}

    with_console(project, steps, size)


ELSEWHERE = """
import sys
from functools import partial
from pathlib import Path
from builders.runs import append_rows, eval_row, train_row
from transformer_playground.runs.folder import RunFolder
run = RunFolder(Path(sys.argv[1]))
for step in range(41, 61):
    append_rows(run, [train_row(step)])
append_rows(run, [eval_row(60, 1.875)])
"""


def test_a_run_trained_by_another_process_updates_live(project: Project) -> None:
    add_run(project, "elsewhere")
    root = project.run_named("elsewhere").root
    tests = Path(builders.__file__).parents[1]

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_live(console, pilot, "elsewhere")
        await until(pilot, lambda: "40/100" in shown(console))
        other = subprocess.Popen(
            [sys.executable, "-c", ELSEWHERE, root], env={**os.environ, "PYTHONPATH": str(tests)}
        )
        await until(pilot, lambda: "60/100" in shown(console) and "1.8750 @ 60" in shown(console))
        assert other.wait(60) == 0

    with_console(project, steps)


def test_a_loss_that_is_not_a_number_is_shown(project: Project) -> None:
    add_run(project, "broken", [*ROWS, train_row(41, train_loss=None)])

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_live(console, pilot, "broken")
        await until(pilot, lambda: "train    nan" in shown(console))
        await until(pilot, lambda: "not a number" in shown(console))

    with_console(project, steps)


def test_the_error_of_a_failed_run_is_shown(project: Project) -> None:
    add_run(project, "failed", [*ROWS, status_row(40, "failed", error="no space left [/red]")])

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_live(console, pilot, "failed")
        await until(pilot, lambda: "✗ no space left [/red]" in shown(console))
        assert "✗ failed" in shown(console)

    with_console(project, steps)


def test_a_truncated_file_and_a_removed_folder_are_reported(project: Project) -> None:
    add_run(project, "cut")
    run = project.run_named("cut")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_live(console, pilot, "cut")
        await until(pilot, lambda: "40/100" in shown(console))
        await pilot.press("v")
        run.metrics_path.write_bytes(run.metrics_path.read_bytes()[:700])
        await until(pilot, lambda: "metrics.jsonl was truncated" in shown(console))
        shutil.rmtree(run.root)
        await until(pilot, lambda: "cut" not in console.context.snapshot.runs)
        await until(pilot, lambda: "No run to follow yet." in shown(console))
        assert view.is_current

    with_console(project, steps)


def test_samples_are_printable_and_can_be_scrubbed(project: Project) -> None:
    add_run(project, "writes")
    run = project.run_named("writes")

    def write(step: int, text: str) -> None:
        with JsonlWriter(run.samples_path) as samples:
            samples.append({"step": step, "time": 1.0, "prompt": "", "text": text})

    write(10, "early\x1b[2J[/red]\u202e words")
    write(20, "middle")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_live(console, pilot, "writes")
        await until(pilot, lambda: "middle" in shown(console))
        await pilot.press("less_than_sign")
        await until(pilot, lambda: "early␛[2J[/red]" in shown(console))
        assert not CONTROL.search(shown(console))
        write(30, "late")
        await until(pilot, lambda: len(console.screen.query_one(SamplesPane)._steps) == 3)
        assert "early" in shown(console)
        await pilot.press("greater_than_sign", "greater_than_sign")
        await until(pilot, lambda: "late" in shown(console))
        write(40, "newest of all")
        await until(pilot, lambda: "newest of all" in shown(console))

    with_console(project, steps)


def test_the_focused_pane_can_be_maximised(project: Project) -> None:
    add_run(project, "run")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_live(console, pilot, "run")
        await until(pilot, lambda: "40/100" in shown(console))
        chart, small = view.query_one("#live-chart", Chart), view.query_one("#live-chart").size
        await pilot.press("z")
        await until(pilot, lambda: chart.size.height > small.height)
        assert "40/100" not in shown(console)
        await pilot.press("escape")
        await until(pilot, lambda: chart.size == small)

    with_console(project, steps)


def test_a_hidden_view_does_not_poll(project: Project) -> None:
    add_run(project, "run")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_live(console, pilot, "run")
        await until(pilot, lambda: "40/100" in shown(console))
        await pilot.press("1")
        await until(pilot, lambda: not view.is_current and not view.poller.is_polling)
        polls, drawn = view.poller.count, view.query_one("#live-chart", Chart).frames_drawn
        append_rows(project.run_named("run"), [train_row(50)])
        before = console.context.snapshot
        await until(pilot, lambda: console.context.snapshot is not before)
        console.context.training_changed.publish([])
        await pilot.pause()
        assert view.poller.count == polls
        assert view.query_one("#live-chart", Chart).frames_drawn == drawn
        await pilot.press("2")
        await until(pilot, lambda: "50/100" in shown(console))

    with_console(project, steps)


def test_a_flood_of_events_leaves_a_bounded_log_and_answers_keys(project: Project) -> None:
    add_run(project, "flood")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_live(console, pilot, "flood")
        await until(pilot, lambda: "40/100" in shown(console))
        job = Job(1, Launch("tiny"), state="running", run_id="flood")
        for start in range(0, 100_000, 10_000):
            for step in range(start, start + 10_000):
                console.context.training.record_event(job, logged_step(step))
            for n in range(500):
                console.context.training.record_event(
                    job, Warned(step=start, message=f"warned {n}")
                )
            console._drain()
            await pilot.pause()
        append_rows(
            project.run_named("flood"),
            [{"event": "warning", "step": 1, "message": str(n)} for n in range(2 * MAX_LOG_LINES)],
        )
        log = view.query_one(EventLog)
        await until(
            pilot, lambda: any(line.text == str(2 * MAX_LOG_LINES - 1) for line in log.lines)
        )
        assert len(log.lines) <= MAX_LOG_LINES + 100
        await pilot.press("l")
        assert view.query_one("#live-chart", Chart).log_y

    with_console(project, steps)


def test_a_run_of_this_console_is_paused_controlled_and_stopped_by_keys(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        overrides = ("train.runtime.max_iters=100000", "train.runtime.eval_interval=50000")
        job = console.context.training.submit(Launch("tiny", overrides, run_id="ours"))
        await until(pilot, lambda: job.step > 3)
        view = await open_live(console, pilot, "ours")
        await until(pilot, lambda: shows(console, "▶ running", "this console, "))
        # The controls come first in the key bar.
        await until(pilot, lambda: shown(console).splitlines()[-1].startswith("P pause S stop"))
        await pilot.press("P")
        await until(pilot, lambda: "‖ paused" in shown(console))
        at = job.step
        await pilot.press("v", "E", "K", "D")
        log = view.query_one(EventLog)
        done = {"evaluation", "checkpoint"}
        await until(pilot, lambda: done <= {line.kind for line in log.lines if line.step == at})
        await until(pilot, lambda: len(view.query_one(SamplesPane)._steps) > 0)
        await pilot.press("P")
        await until(pilot, lambda: job.step > at)
        await pilot.press("S")
        await until(pilot, lambda: "Save and stop" in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: job.state == "stopped")
        await until(pilot, lambda: "■ stopped" in shown(console))
        await until(pilot, lambda: "P pause" not in shown(console).splitlines()[-1])
        await pilot.press("P")
        await until(pilot, lambda: "is not training" in shown(console))

    with_console(project, steps)


def test_the_run_in_training_has_the_focus_beside_selected_runs_and_in_a_queue(
    project: Project,
) -> None:
    add_run(project, "old")
    add_run(project, "other")
    endless = ("train.runtime.max_iters=100000", "train.runtime.eval_interval=50000")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        training = console.context.training
        view = await open_live(console, pilot, "old", "other")
        await pilot.press("1", "slash", *"other", "enter", "2")
        first, second = (
            training.submit(Launch("tiny", endless, run_id=name)) for name in ("first", "second")
        )
        await until(pilot, lambda: is_titled(console, "3 runs") and view.focus_run == "first")
        await until(pilot, lambda: shows(console, "events · first") or shows(console, "▶ running"))
        await pilot.press("P")
        await until(pilot, lambda: first.state == "paused")
        await pilot.press("S")
        await until(pilot, lambda: shows(console, "Stop first?"))
        await pilot.press("enter")
        await until(pilot, lambda: view.focus_run == "second" and second.step > 3)
        await until(pilot, lambda: is_titled(console, "3 runs"))

        # Another run is opened: the keys still act on the one in training, and say so.
        await pilot.press("1", "enter")
        await until(pilot, lambda: view.focus_run == "other")
        assert {"old", "other", "second"} <= set(view.chart_request().runs)
        await pilot.press("P")
        await until(pilot, lambda: shows(console, "second: Pausing"))
        await until(pilot, lambda: second.state == "paused")
        await pilot.press("K")
        await until(pilot, lambda: shows(console, "second: Saving"))
        await pilot.press("P", "S")
        await until(pilot, lambda: shows(console, "Stop second?"))
        await pilot.press("enter")
        await until(pilot, lambda: second.has_ended)

    with_console(project, steps)


def test_a_queued_run_is_removed_from_the_queue(project: Project) -> None:
    endless = ("train.runtime.max_iters=100000", "train.runtime.eval_interval=50000")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        training = console.context.training
        training.submit(Launch("tiny", endless, run_id="first"))
        waiting = training.submit(Launch("tiny", endless, run_id="second"))
        view = await open_live(console, pilot)
        console.context.workspace.opened = "second"
        await until(pilot, lambda: view.focus_run == "second")
        await pilot.press("P")
        await until(pilot, lambda: shows(console, "second has not started yet."))
        assert not shows(console, "folder")
        await pilot.press("S")
        await until(pilot, lambda: shows(console, "Remove second from the queue?"))
        await pilot.press("enter")
        await until(pilot, lambda: waiting.state == "stopped")

    with_console(project, steps)


def test_the_chart_is_exported_and_the_path_is_shown(project: Project) -> None:
    add_run(project, "run")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_live(console, pilot, "run")
        await pilot.press("x")
        folder = project.run_named("run").reports
        await until(pilot, lambda: list(folder.glob("loss-*.svg")))
        await until(pilot, lambda: "Wrote " in shown(console))

    with_console(project, steps)


def shown_after_refresh(view: LiveView, console: Console) -> str:
    view.refresh_view()
    return shown(console)


def test_only_warnings_of_a_job_are_marked_with_an_exclamation_mark(project: Project) -> None:
    add_run(project, "ours")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_live(console, pilot, "ours")
        job = Job(1, Launch("tiny"), state="preparing", run_id="ours")
        job.message = "Encoding with a vocabulary of 86"
        console.context.training._jobs.append(job)
        await until(pilot, lambda: job.message in shown_after_refresh(view, console))
        assert "! Encoding" not in shown(console)
        job.state = "running"
        console.context.training.record_event(job, Warned(step=1, message="loss spike"))
        await until(pilot, lambda: "! loss spike" in shown_after_refresh(view, console))
        console.context.training._jobs.remove(job)

    with_console(project, steps)


def test_without_runs_the_view_shows_how_to_train_one(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await pilot.press("2")
        await until(pilot, lambda: "No run to follow yet." in shown(console))

    with_console(project, steps)


def test_n_grams_are_counted_on_a_key_and_their_line_hidden_by_it(project: Project) -> None:
    config = prepared(project.root / "corpus")
    dataset = open_dataset(config.dataset_dir, prepare_command="tp prepare")
    make_run(
        project.root / "runs",
        "counted",
        [status_row(0, "running", max_iters=10), train_row(1), eval_row(5, 9.0), eval_row(10, 0.1)],
        config={"prepare": {"dataset_dir": str(config.dataset_dir)}},
        dataset={"fingerprint": dataset.fingerprint},
    )

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_live(console, pilot, "counted")
        await until(pilot, lambda: view.poller.frame and view.poller.frame.focus)
        assert "5-gram" not in shown(console)
        await pilot.press("F")
        await until(pilot, lambda: "beats 5-gram" in shown(console) and "@ 10" in shown(console))
        await until(pilot, lambda: "┄ 5-gram" in shown(console))
        await pilot.press("F")
        await until(pilot, lambda: "┄ 5-gram" not in shown(console))
        await pilot.press("m", *"lr", "enter")
        await until(
            pilot, lambda: view.poller.frame and view.poller.frame.request.quantity.id == "lr"
        )
        await pilot.press("F")
        await until(pilot, lambda: "beside the loss; m" in shown(console))
        assert not view.shows_ngram
        assert "beats 5-gram" in shown(console)

    with_console(project, steps, (140, 45))


def test_a_finished_run_without_samples_leaves_their_lines_to_the_chart(project: Project) -> None:
    add_run(project, "first")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_live(console, pilot, "first")
        below = view.query_one("#live-below")
        await until(pilot, lambda: not below.display)
        await pilot.press("tab")
        assert "No samples yet" not in shown(console)

    with_console(project, steps, (80, 24))
