"""The console's training jobs, without a console: one real thread, tiny real runs."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builders.commands import (
    CONFIG,
    MORE_AND_EXTRAS,
    PATIENCE_SECONDS,
    Project,
    make_project,
    train_for_an_hour,
)
from builders.events import logged_step
from builders.hostile import Panic
from builders.metrics import read_rows
from transformer_playground.checkpoints.discovery import newest_valid
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.metrics import read_samples
from transformer_playground.runs.summary import RunSummary
from transformer_playground.training.launch import Launch, ResolvedLaunch, resolve_launch
from transformer_playground.training.post_run import Artifacts
from transformer_playground.tui.core import job_queue
from transformer_playground.tui.core.job_queue import (
    EventBuffer,
    Job,
    TrainingQueue,
    Update,
    artifact_lines,
)
from transformer_playground.tui.core.job_text import activity_text, outcome_text, quit_question

ENDLESS = ("train.runtime.max_iters=1000000", "train.runtime.eval_interval=1000000")


@contextmanager
def working(project: Project) -> Iterator[TrainingQueue]:
    """A queue whose worker runs; afterwards it is closed and must end."""
    queue = TrainingQueue(project.root / "experiments", project.root / "runs")
    thread = threading.Thread(target=queue.work)
    thread.start()
    try:
        yield queue
    finally:
        queue.close()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def is_at(job: Job, step: int) -> Callable[[], bool]:
    return lambda: job.step >= step and job.state == "running"


def states(project: Project) -> dict[str, str]:
    return {row.run_id: row.state for row in list_runs(project.root / "runs")}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return make_project(tmp_path / "project")


def test_a_launch_prepares_trains_and_tells_of_both(project: Project) -> None:
    with working(project) as queue:
        job = queue.submit(Launch("tiny", ("train.runtime.max_iters=4",), run_id="first"))
        wait_for(lambda: job.has_ended)
        wait_for(lambda: activity_text(queue, {}) == "")
        updates = queue.drain()
    assert job.state == "finished"
    assert job.step == job.max_iters == 4
    turns = [update.kind for update in updates if update.kind != "progress"]
    assert turns == ["started", "trained", "ended"]
    assert (project.experiment / "datasets").is_dir()
    saved = read_run_config(project.run_named("first"))
    assert saved["config"]["train"]["runtime"]["max_iters"] == 4
    assert saved["provenance"]["train.runtime.max_iters"] == "--set"


def test_several_launches_run_one_after_another(project: Project) -> None:
    with working(project) as queue:
        first = queue.submit(Launch("tiny", ENDLESS, run_id="first"))
        second = queue.submit(Launch("tiny", ("train.runtime.max_iters=3",), run_id="second"))
        wait_for(is_at(first, 2))
        assert queue.waiting == (second,)
        assert queue.active is first
        assert activity_text(queue, {}).endswith("+1 queued")
        queue.stop(first)
        wait_for(lambda: second.has_ended)
    assert (first.state, second.state) == ("stopped", "finished")


def test_a_waiting_launch_can_be_cancelled(project: Project) -> None:
    with working(project) as queue:
        first = queue.submit(Launch("tiny", ENDLESS, run_id="first"))
        second = queue.submit(Launch("tiny", run_id="second"))
        wait_for(is_at(first, 1))
        queue.stop(second)
        assert second.state == "stopped"
        queue.stop(first)
        wait_for(lambda: first.has_ended)
    assert [run.run_id for run in project.runs] == ["first"]


def test_a_stop_saves_what_a_resume_goes_on_from(project: Project) -> None:
    with working(project) as queue:
        job = queue.submit(Launch("tiny", ENDLESS, run_id="first"))
        wait_for(is_at(job, 5))
        queue.stop(job)
        wait_for(lambda: job.has_ended)
        found = newest_valid(project.run_named("first").checkpoints)
        assert found.info is not None
        assert found.info.step == job.step
        again = queue.submit(
            Launch("tiny", (f"train.runtime.max_iters={job.step + 3}",), resume="first")
        )
        wait_for(lambda: again.has_ended)
    assert again.state == "finished", again.message
    assert queue.job_of("first") is again
    assert [row["step"] for row in read_rows(project.run_named("first").metrics_path)][-1] == (
        job.step + 3
    )


def test_a_resumed_run_keeps_its_settings_and_its_dataset_though_both_were_changed(
    project: Project,
) -> None:
    with working(project) as queue:
        job = queue.submit(Launch("tiny", ENDLESS, run_id="first"))
        wait_for(is_at(job, 2))
        queue.stop(job)
        wait_for(lambda: job.has_ended)
        config = project.experiment / "config.toml"
        config.write_text(CONFIG.replace("batch_size = 4", "batch_size = 5"), encoding="utf-8")
        project.raw.write_text("something else entirely\n" * 200, encoding="utf-8")
        again = queue.submit(
            Launch("tiny", (f"train.runtime.max_iters={job.step + 2}",), resume="first")
        )
        wait_for(lambda: again.has_ended)
    assert again.state == "finished", again.message
    saved = read_run_config(project.run_named("first"))["config"]
    assert saved["train"]["data"]["batch_size"] == 4


def test_requests_reach_a_paused_run(project: Project) -> None:
    with working(project) as queue:
        job = queue.submit(Launch("tiny", ENDLESS, run_id="first"))
        wait_for(is_at(job, 2))
        queue.pause(job)
        wait_for(lambda: job.state == "paused")
        queue.drain()
        step, run = job.step, project.run_named("first")
        before = len(read_rows(run.metrics_path))
        queue.evaluate(job)
        queue.sample(job)
        queue.checkpoint(job)

        def written() -> set[str]:
            return {row["event"] for row in read_rows(run.metrics_path)[before:]}

        wait_for(lambda: {"eval", "checkpoint"} <= written() and read_samples(run))
        assert "train" not in written()
        assert {update.kind for update in queue.drain()} == {"progress"}
        wait_for(lambda: job.state == "paused")
        assert job.step == step
        queue.resume(job)
        wait_for(is_at(job, step + 2))


@pytest.mark.parametrize("state", ["preparing", "starting", "running", "paused"])
def test_closing_in_any_state_ends_the_worker_and_stops_what_waits(
    project: Project, state: str
) -> None:
    with working(project) as queue:
        job = queue.submit(Launch("tiny", ENDLESS, run_id="first"))
        waiting = queue.submit(Launch("tiny", run_id="second"))
        if state == "paused":
            wait_for(is_at(job, 1))
            queue.pause(job)
            wait_for(lambda: job.state == "paused")
        # Short states may have passed before anyone could look.
        wait_for(lambda: job.state in {state, "running", "paused"})
        queue.close()
    assert job.state == "stopped", job.message
    assert waiting.state == "stopped"
    assert queue.submit(Launch("tiny")).state == "stopped"
    assert set(states(project).values()) <= {"stopped"}


def broken_config(project: Project) -> tuple[str, ...]:
    (project.experiment / "config.toml").write_text("[model]\nn_layers = 3\n", encoding="utf-8")
    return ()


def no_data(project: Project) -> tuple[str, ...]:
    project.raw.unlink()
    return ()


def exploding(project: Project) -> tuple[str, ...]:
    return (
        "train.optim.learning_rate=1e30",
        "train.optim.grad_clip=0.0",
        "train.schedule.schedule=constant",
        "train.schedule.warmup_iters=0",
    )


def too_large(project: Project) -> tuple[str, ...]:
    return ("model.n_embd=65536", "model.n_layer=1000")


def failing_preparer(project: Project) -> tuple[str, ...]:
    (project.experiment / "prepare.py").write_text("raise SystemExit(3)\n", encoding="utf-8")
    return ()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (broken_config, "did you mean model.n_layer?"),
        (no_data, "has no .txt, .xml, .jsonl or .parquet file to prepare"),
        (exploding, "Lower train.optim.learning_rate"),
        (too_large, "out of memory"),
        (failing_preparer, "prepare.py, line 1: SystemExit: 3"),
    ],
)
def test_a_failed_job_says_why_and_the_next_one_runs(
    project: Project, spoil: Callable[[Project], tuple[str, ...]], words: str
) -> None:
    sound = make_project(project.root / "elsewhere").experiment
    sound.rename(project.root / "experiments" / "sound")
    overrides = spoil(project)
    with working(project) as queue:
        failing = queue.submit(Launch("tiny", overrides, run_id="bad"))
        sound_job = queue.submit(Launch("sound", ("train.runtime.max_iters=2",), run_id="good"))
        wait_for(lambda: sound_job.has_ended)
    assert failing.state == "failed"
    assert words in failing.message
    assert sound_job.state == "finished", sound_job.message


def test_a_fault_nobody_foresaw_fails_the_job_only(project: Project) -> None:
    no_text: tuple[str, ...] = (None,)  # type: ignore[assignment]
    with working(project) as queue:
        job = queue.submit(Launch("tiny", no_text))
        second = queue.submit(Launch("tiny", ("train.runtime.max_iters=2",)))
        wait_for(lambda: second.has_ended)
    assert job.state == "failed"
    assert job.message.startswith("AttributeError: ")
    assert second.state == "finished"


@pytest.mark.parametrize(
    "error", [Panic("overflow"), KeyboardInterrupt(), SystemExit(3), GeneratorExit(), MemoryError()]
)
def test_no_class_of_exception_ends_the_worker(
    project: Project, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def resolve(experiments: Path, runs: Path, launch: Launch) -> ResolvedLaunch:
        if launch.run_id == "bad":
            raise error
        return resolve_launch(experiments, runs, launch)

    monkeypatch.setattr(job_queue, "resolve_launch", resolve)
    with working(project) as queue:
        job = queue.submit(Launch("tiny", run_id="bad"))
        second = queue.submit(Launch("tiny", ("train.runtime.max_iters=2",), run_id="good"))
        wait_for(lambda: second.has_ended)
    assert (job.state, second.state) == ("failed", "finished")
    assert job.message.startswith(type(error).__name__)


def test_a_branch_goes_its_own_way_from_a_checkpoint(project: Project) -> None:
    with working(project) as queue:
        parent = queue.submit(Launch("tiny", ("train.runtime.max_iters=10",), run_id="parent"))
        wait_for(lambda: parent.has_ended)
        checkpoint = newest_valid(project.run_named("parent").checkpoints).path.name
        branch = queue.submit(
            Launch(
                "tiny",
                ("train.runtime.max_iters=14", "train.optim.learning_rate=0.0005"),
                run_id="branch",
                branch=("parent", checkpoint),
            )
        )
        wait_for(lambda: branch.has_ended)
    assert branch.state == "finished", branch.message
    saved = read_run_config(project.run_named("branch"))
    assert saved["parent"] == {"run_id": "parent", "checkpoint": checkpoint, "step": 10}
    assert saved["config"]["train"]["optim"]["learning_rate"] == 0.0005


def test_the_words_at_the_end_name_what_was_made_and_what_was_not() -> None:
    job = Job(1, Launch("tiny"), state="finished")
    assert outcome_text(job) == "finished"
    plot = Path("runs") / "first" / "reports" / "loss-curve.svg"
    job.outputs = artifact_lines(Artifacts((plot,), ("the report was not made: no room.",)))
    assert outcome_text(job) == f"finished\nwrote {plot}\nthe report was not made: no room."
    job.state, job.message = "failed", "the loss is nan"
    assert outcome_text(job).startswith("failed: the loss is nan\nwrote ")


def test_a_job_is_at_work_until_plot_and_report_are_written(project: Project) -> None:
    run = train_for_an_hour(project)
    with working(project) as queue:
        job = queue.submit(Launch("tiny", MORE_AND_EXTRAS, resume="first"))
        wait_for(lambda: job.has_ended)
        assert queue.active is job
        assert activity_text(queue, {}) == "writing plot and report of first"
        assert "plot and report of first" in quit_question(queue)[0]
        queue.submit(Launch("tiny", run_id="second"))
        assert "Queued runs will not be trained" in quit_question(queue)[0]
        queue.close()
        wait_for(lambda: queue.active is None)
    assert [update.kind for update in queue.drain() if update.job is job][-1] == "ended"
    assert len(list(run.reports.iterdir())) == len(job.outputs) == 2
    assert not (project.root / "runs" / "second").exists()


def test_a_flood_that_nobody_reads_waits_as_one_update_of_each_kind() -> None:
    buffer, job, other = EventBuffer(), Job(1, Launch("tiny")), Job(2, Launch("tiny"))
    buffer.put(Update(job, "started"))
    for _ in range(100_000):
        buffer.put(Update(job))
    buffer.put(Update(other))
    buffer.put(Update(job, "ended"))
    taken = [(update.job.number, update.kind) for update in buffer.take_all()]
    assert taken == [(1, "started"), (1, "progress"), (2, "progress"), (1, "ended")]
    assert buffer.take_all() == []


def test_an_event_says_no_more_than_that_there_is_something_to_read(project: Project) -> None:
    queue = TrainingQueue(project.root / "experiments", project.root / "runs")
    job = queue.submit(Launch("tiny", run_id="first"))
    queue.drain()
    for step in range(1, 1_001):
        queue.record_event(job, logged_step(step))
    assert queue.drain() == [Update(job)]
    assert job.step == 1_000


def test_the_top_bar_takes_the_throughput_from_the_files(project: Project) -> None:
    queue = TrainingQueue(project.root / "experiments", project.root / "runs")
    job = queue.submit(Launch("tiny", run_id="first"))
    job.state, job.step, job.max_iters = "running", 299, 300
    assert activity_text(queue, {}) == "▶ first 99%"
    runs = {"first": RunInfo("first", "running", summary=RunSummary(tokens_per_sec=12_345.0))}
    assert activity_text(queue, runs) == "▶ first 99% 12.3k tokens/s"


def test_runs_that_ended_hold_no_lock(project: Project) -> None:
    with working(project) as queue:
        job = queue.submit(Launch("tiny", ("train.runtime.max_iters=2",), run_id="first"))
        wait_for(lambda: job.has_ended)
    assert not RunFolder(project.root / "runs" / "first").writer_path.exists()
