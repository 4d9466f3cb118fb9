"""Order of the jobs that wait."""

from pathlib import Path

from transformer_playground.training.launch import Launch
from transformer_playground.tui.core.job_queue import Job, TrainingQueue


def queue_of(*names: str) -> tuple[TrainingQueue, list[Job]]:
    """A queue in which these wait."""
    queue = TrainingQueue(Path("experiments"), Path("runs"))
    return queue, [queue.submit(Launch(name, run_id=name)) for name in names]


def order(queue: TrainingQueue) -> list[str]:
    """What waits, the next one first."""
    return [job.name for job in queue.waiting]


def test_a_job_is_put_before_all_others_that_wait() -> None:
    queue, (first, _, third) = queue_of("a", "b", "c")
    first.state = "running"
    queue.drain()

    queue.put_first(third)

    assert order(queue) == ["c", "b"]
    assert queue.active is first
    assert queue._next_job() is third
    assert any(update.job is third for update in queue.drain())


def test_a_job_that_does_not_wait_keeps_its_place() -> None:
    queue, (first, second) = queue_of("a", "b")
    queue.stop(second)

    queue.put_first(second)

    assert order(queue) == ["a"]
    queue.put_first(first)
    assert order(queue) == ["a"]


def test_the_newest_job_of_a_run_is_the_one_that_was_submitted_last() -> None:
    queue, (_, stopped, again) = queue_of("other", "run", "run")
    queue.stop(stopped)

    queue.put_first(again)

    assert order(queue) == ["run", "other"]
    assert queue.job_of("run") is again
    assert [job.number for job in queue.jobs] == [1, 2, 3]
