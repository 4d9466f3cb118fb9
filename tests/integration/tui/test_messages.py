"""What the console is told while it trains and samples: in which order, and nothing twice."""

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from textual.message import Message
from textual.notifications import Notify
from textual.pilot import Pilot
from textual.worker import Worker

from builders.commands import MORE_AND_EXTRAS, Project, make_project, train_for_an_hour
from builders.metrics import read_rows
from builders.tui import until, with_console
from transformer_playground.cli.main import main
from transformer_playground.training.launch import Launch
from transformer_playground.tui.app import Console
from transformer_playground.tui.core.job_queue import Job, Update
from transformer_playground.tui.launch.actions import submit_launch
from transformer_playground.tui.sample.form import SampleForm
from transformer_playground.tui.sample.panes import SamplePanes
from transformer_playground.tui.sample.view import SampleView

DIVERGING = (
    "train.optim.learning_rate=1e30",
    "train.optim.grad_clip=0.0",
    "train.schedule.schedule=constant",
    "train.schedule.warmup_iters=0",
)
ENDLESS = ("train.runtime.max_iters=1000000", "train.runtime.eval_interval=1000000")
# As soon as it is a run of its own, this is what becomes of a job.
TURNS = {"started", "trained", "ended"}


@dataclass
class Record:
    """Turns of jobs, workers and notices in the order in which they came."""

    seen: list[str] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)

    def hook(self, message: Message) -> None:
        """Note what goes through the console's queues of messages."""
        match message:
            case Notify(notification=notice):
                self.seen.append(notice.message)
            case Worker.StateChanged(worker=worker, state=state) if worker.group == "sampling":
                self.seen.append(f"sampling {state.name}")
            case _:
                pass

    def take(self, updates: list[Update]) -> None:
        """Note what the views are told of training."""
        self.updates += updates
        self.seen += [each.kind for each in updates if each.kind in TURNS]

    @property
    def turns(self) -> list[str]:
        """What views are told of jobs."""
        return [each for each in self.seen if each in TURNS]

    @property
    def notices(self) -> list[str]:
        """What the user is told; it goes another way, and may come just before the view's turn."""
        return [each for each in self.seen if each not in TURNS]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


def train(
    project: Project,
    *overrides: str,
    resume: str | None = None,
    stop_at: int | None = None,
    is_stalled: bool = False,
) -> tuple[Record, Job]:
    """Train `tiny` as the run `first` and record what the console is told until it has ended."""
    record, jobs = Record(), []

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        # A console that stalls before its worker is there would stall for ever.
        await until(pilot, lambda: any(each.group == "training" for each in console.workers))
        console.context.training_changed.subscribe(console, record.take)
        run_id = "first" if resume is None else None
        submit_launch(console.context, Launch("tiny", overrides, run_id=run_id, resume=resume))
        job = console.context.training.jobs[0]
        jobs.append(job)
        if is_stalled:
            # A console that is busy for so long hears of the whole job at once.
            while not job.has_ended:
                time.sleep(0.01)
        if stop_at is not None:
            await until(pilot, lambda: job.step >= stop_at)
            console.context.training.stop(job)
        await until(pilot, lambda: "ended" in record.turns)
        await until(pilot, lambda: any("first: " in line for line in record.seen))
        # Whatever came twice would come within the next rounds.
        for _ in range(5):
            await pilot.pause(0.05)

    with_console(project, steps, hook=record.hook)
    return record, jobs[0]


def test_a_launch_is_prepared_trained_and_told_of_in_this_order_and_once(project: Project) -> None:
    record, job = train(project, "train.runtime.max_iters=6", "train.runtime.eval_interval=3")
    assert record.turns == ["started", "trained", "ended"]
    assert record.notices == ["Started first.", "first: finished"]
    kinds = [each.kind for each in record.updates]
    # Preparation comes first; the end comes last.
    assert set(kinds[: kinds.index("started")]) == {"progress"}
    assert kinds[-1] == "ended"
    assert job.state == "finished"
    rows = read_rows(project.run_named("first").metrics_path)
    assert [row["step"] for row in rows if row["event"] == "train"] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows if row["event"] == "eval"] == [0, 3, 6]


def test_a_stop_is_told_after_the_checkpoint_and_once(project: Project) -> None:
    record, job = train(project, *ENDLESS, stop_at=5)
    assert record.turns == ["started", "trained", "ended"]
    assert record.notices[1:] == ["first: stopped"]
    saved, ended = read_rows(project.run_named("first").metrics_path)[-2:]
    assert (saved["event"], saved["step"]) == ("checkpoint", job.step)
    assert ended["status"] == "stopped"


def test_a_run_that_fails_is_told_once_with_its_reason(project: Project) -> None:
    record, job = train(project, *DIVERGING)
    assert record.turns == ["started", "trained", "ended"]
    assert record.notices[1:] == [f"✗ first: failed: {job.message}"]


@pytest.mark.parametrize("is_stalled", [False, True])
def test_a_launch_that_never_becomes_a_run_is_told_once(project: Project, is_stalled: bool) -> None:
    record, job = train(project, "model.n_layer=0", is_stalled=is_stalled)
    assert record.turns == ["ended"]
    assert record.notices == ["Started first.", f"✗ first: failed: {job.message}"]
    assert "model.n_layer" in job.message
    assert not project.runs


def test_plot_and_report_are_named_when_a_run_ends(project: Project) -> None:
    run = train_for_an_hour(project)
    record, _ = train(project, *MORE_AND_EXTRAS, resume="first")
    plot, report = sorted(run.reports.iterdir())
    assert (plot.name, report.suffix) == ("loss-curve.svg", ".json")
    assert record.turns == ["started", "trained", "ended"]
    assert record.notices[1:] == [f"first: finished wrote {plot} wrote {report}"]


def test_sampling_begins_and_ends_once_and_shows_every_token(project: Project) -> None:
    with contextlib.chdir(project.root):
        assert main(["loop", "tiny", "--run-id", "first"]) == 0
    record = Record()

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.snapshot.runs)
        await pilot.press("3")
        await until(pilot, lambda: isinstance(console.screen, SampleView))
        await until(pilot, lambda: console.screen.query_one(SampleForm).display)
        await pilot.press("enter")
        panes = console.screen.query_one(SamplePanes)
        await until(pilot, lambda: panes.n_tokens == 40)
        await until(pilot, lambda: "sampling SUCCESS" in record.seen)
        await until(pilot, lambda: panes.shown[0].transcript.is_complete)  # type: ignore[union-attr]
        (row,) = panes.rows()
        assert row["finish_reason"] == "length"
        assert len(row["text"]) == 40
        for _ in range(3):
            await pilot.pause(0.05)
        assert panes.n_tokens == 40

    with_console(project, steps, hook=record.hook)
    assert record.seen == ["sampling PENDING", "sampling RUNNING", "sampling SUCCESS"]
