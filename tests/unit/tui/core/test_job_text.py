"""Texts about jobs: what is said after the console has ended them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from builders.runs import run_info
from transformer_playground.runs.clock import TrainingClock
from transformer_playground.training.launch import Launch
from transformer_playground.tui.core.job_queue import JobState, TrainingQueue
from transformer_playground.tui.core.job_text import (
    activity_text,
    farewell_lines,
    job_label,
    stop_question,
)


def closed_queue(*states: tuple[str, JobState, bool]) -> TrainingQueue:
    """A queue that was closed with these jobs: run id, state, whether training has begun."""
    queue = TrainingQueue(Path("experiments"), Path("runs"))
    for run_id, state, has_begun in states:
        job = queue.submit(Launch("tiny", run_id=run_id))
        job.state, job.has_begun = state, has_begun
    queue.close()
    return queue


def said(queue: TrainingQueue, step: int | None = 7) -> list[str]:
    return list(farewell_lines(queue, lambda _: step, lambda run_id: f"tp train --resume {run_id}"))


def test_a_saved_run_is_named_with_its_step_and_the_command_that_resumes_it() -> None:
    queue = closed_queue(("old", "finished", True), ("now", "running", True))
    queue.ended_by_close[0].state = "stopped"
    assert said(queue, 1234) == ["Saved now at step 1,234. Resume it with: tp train --resume now"]


def test_runs_that_had_not_begun_are_named_as_not_trained() -> None:
    queue = closed_queue(("a", "preparing", False), ("b", "queued", False), ("c", "queued", False))
    assert said(queue) == ["Not trained: a, b, c"]
    # A folder of that name may hold an older run.
    assert said(closed_queue(("a", "starting", False)), 5) == ["Not trained: a"]


def test_a_run_that_finished_or_failed_while_the_console_waited_is_named_as_such() -> None:
    queue = closed_queue(("a", "running", True))
    (job,) = queue.ended_by_close
    job.state = "finished"
    assert said(queue) == ["a has finished."]
    job.state, job.message = "failed", "the disk is full."
    assert said(queue) == ["a failed: the disk is full."]


def test_the_activity_says_when_the_run_will_end() -> None:
    queue = TrainingQueue(Path("experiments"), Path("runs"))
    job = queue.submit(Launch("tiny", run_id="a"))
    job.state, job.step, job.max_iters = "running", 50, 100
    row = run_info("a", "running", max_iters=100, train_step=50, tokens_seen=500)
    row = replace(row, summary=replace(row.summary, tokens_per_sec_median=10.0))
    text = activity_text(queue, {"a": row}, lambda run_id: f"<{run_id}>")
    assert text == "▶ <a> 50% · left 50s"
    limited = replace(row, settings={"train.runtime.max_minutes": 1.0})
    limited = replace(limited, summary=replace(row.summary, clock=TrainingClock(54.0)))
    assert activity_text(queue, {"a": limited}) == "▶ a 90% · left 6s"


def test_a_job_without_a_run_is_called_by_its_experiment_and_overrides() -> None:
    def label(*overrides: str, **how: Any) -> str:
        queue = TrainingQueue(Path("experiments"), Path("runs"))
        run_id = "tiny-20270115-060000-00ab"
        job = queue.submit(Launch("tiny", overrides, **{"run_id": run_id, **how}))
        return job_label(job, lambda run_id: "known" if run_id == "listed" else run_id)

    assert label('model.norm="rmsnorm"', "train.optim.learning_rate = 3e-3") == "tiny rmsnorm 3e-3"
    # A number alone says nothing, how often something is measured little; the last one counts.
    again = ("max_iters=250", "dropout=0.1", "train.runtime.eval_interval=1", "max_iters=30")
    assert label(*again) == "tiny dropout=0.1 max_iters=30"
    assert label("train.runtime.log_interval=1") == "tiny log_interval=1"
    assert label("min_lr=none", "a=[") == 'tiny min_lr=none a="["'
    # What was typed last has room.
    many = [f"model.{name}=1000" for name in ("n_layer", "n_head", "n_embd", "ffn_dim")]
    assert label(*many, "seed=7").endswith("seed=7 …")
    assert label() == "tiny 00ab"
    assert label(run_id="listed") == "known"
    assert label(run_id="mine") == "mine"
    assert "\x1b" not in label("a=\x1b[31m")


def test_nothing_is_said_when_nothing_was_ended() -> None:
    assert said(closed_queue()) == []
    assert said(closed_queue(("a", "finished", True), ("b", "stopped", True))) == []


def test_closing_twice_keeps_what_the_first_time_ended() -> None:
    queue = closed_queue(("a", "queued", False))
    queue.close()
    assert said(queue) == ["Not trained: a"]


def test_the_question_before_stopping_says_what_will_happen() -> None:
    queue = TrainingQueue(Path("experiments"), Path("runs"))
    job = queue.submit(Launch("tiny", run_id="a"))
    assert stop_question(job) == ("Remove a from the queue? It will not be trained.", "Remove")
    assert stop_question(job, lambda _: "rope 1e-2")[0].startswith("Remove rope 1e-2 from")
    job.state = "preparing"
    assert stop_question(job)[1] == "Stop"
    job.state = "paused"
    assert stop_question(job)[1] == "Save and stop"
