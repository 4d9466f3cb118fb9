"""What a run does and tells, in which order."""

from collections.abc import Callable
from pathlib import Path

import pytest

from builders.training import Recorder, merged, resume, runtime, train
from transformer_playground.errors import TrainingError
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    Sampled,
    StepLogged,
)
from transformer_playground.training.trainer import Trainer

CHANGE = merged(
    runtime(max_iters=7, eval_interval=3, log_interval=2, sample_interval=4),
    {"train": {"data": {"grad_accum_steps": 2}, "checkpointing": {"interval": 2}}},
)
TOKENS_PER_STEP = 4 * 2 * 16


def told(recorder: Recorder) -> list[tuple[object, ...]]:
    """Each event with its step, and which checkpoints were saved."""
    kinds = ((event, getattr(event, "kinds", ())) for event in recorder.events)
    return [(type(event), event.step, *kind) for event, kind in kinds]


def stop_at(step: int) -> tuple[TrainingControl, Recorder]:
    """Asks to stop when a checkpoint of `step` is saved."""
    control = TrainingControl()

    def react(event: Event) -> None:
        if isinstance(event, CheckpointSaved) and event.step == step:
            control.stop()

    return control, Recorder(react=react)


def test_everything_is_done_when_it_is_due_and_told_in_this_order(tmp_path: Path) -> None:
    recorder = Recorder()
    train(tmp_path, CHANGE, sinks=[recorder])
    assert told(recorder) == [
        (RunStarted, 0),
        # So that a run that is killed at once can be resumed.
        (CheckpointSaved, 0, "last"),
        (Evaluated, 0),
        (Sampled, 0),
        (CheckpointSaved, 0, "best"),
        (StepLogged, 2),
        (CheckpointSaved, 2, "last"),
        (Evaluated, 3),
        (CheckpointSaved, 3, "best"),
        (StepLogged, 4),
        (Sampled, 4),
        (CheckpointSaved, 4, "last"),
        (StepLogged, 6),
        (Evaluated, 6),
        (CheckpointSaved, 6, "last", "best"),
        # The last step is evaluated and saved, whatever the intervals, and its window closed.
        (Evaluated, 7),
        (CheckpointSaved, 7, "last", "best"),
        (StepLogged, 7),
        (RunFinished, 7),
    ]
    (started,) = recorder.of(RunStarted)
    assert (started.run_id, started.max_iters, started.device) == ("run", 7, "cpu")
    assert (started.dtype, started.tokens_per_step) == ("float32", TOKENS_PER_STEP)
    assert started.resumed_from is None
    logged = recorder.of(StepLogged)
    assert [each.tokens_seen for each in logged] == [n * TOKENS_PER_STEP for n in (2, 4, 6, 7)]
    # The rate of the last step of each window: the first is in the warm-up.
    rates = [each.lr for each in logged]
    assert rates[0] == pytest.approx(1e-3 * 2 / 3)
    assert rates[1] > rates[2] > rates[3] > 1e-4
    assert all(0 < each.data_share < 1 for each in logged)
    for each in logged:
        parts = (each.forward_ms, each.backward_ms, each.optimizer_ms)
        assert all(part is not None and part > 0 for part in parts)
        # With the batches they are nearly the whole step.
        assert sum(part or 0.0 for part in parts) < each.step_time_ms * (1 - each.data_share) + 1e-3
        assert each.memory is not None
        assert each.memory > 1 << 20
    assert all(each.seconds is not None and each.seconds > 0 for each in recorder.of(Evaluated))
    (finished,) = recorder.of(RunFinished)
    evaluated = recorder.of(Evaluated)
    assert (finished.status, finished.early_stopped) == ("finished", False)
    assert finished.best_val_loss == min(each.val_loss for each in evaluated)
    assert 0 < finished.wall_time < finished.time - started.time + 1


def test_a_stopped_run_closes_no_window_and_a_resumed_one_goes_on_with_all_counts(
    tmp_path: Path,
) -> None:
    control, first = stop_at(3)
    train(tmp_path, CHANGE, control=control, sinks=[first])
    assert told(first)[-4:] == [
        (Evaluated, 3),
        (CheckpointSaved, 3, "best"),
        (CheckpointSaved, 3, "last"),
        (RunFinished, 3),
    ]
    (stopped,) = first.of(RunFinished)
    assert stopped.status == "stopped"

    second = Recorder()
    resume(tmp_path, CHANGE, sinks=[second])
    assert told(second)[:3] == [
        (RunStarted, 3),
        # Evaluated and saved already.
        (StepLogged, 4),
        (Sampled, 4),
    ]
    (started,) = second.of(RunStarted)
    assert started.resumed_from == "ckpt_last_00000003.pt"
    assert second.of(StepLogged)[0].tokens_seen == 4 * TOKENS_PER_STEP
    (finished,) = second.of(RunFinished)
    assert finished.tokens_seen == 7 * TOKENS_PER_STEP
    assert finished.wall_time > stopped.wall_time


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TrainingError("the loss is odd.", "Try again."), str),
        (ValueError("odd"), repr),
    ],
    ids=["foreseen", "unforeseen"],
)
def test_a_failure_is_told_with_its_step_and_reason_and_raised(
    error: Exception,
    reason: Callable[[Exception], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    step = Trainer.train_step

    def fail_at_two(trainer: Trainer) -> None:
        if trainer.state.step == 2:
            raise error
        step(trainer)

    monkeypatch.setattr(Trainer, "train_step", fail_at_two)
    recorder = Recorder()
    with pytest.raises(type(error)) as caught:
        train(tmp_path, CHANGE, sinks=[recorder])
    assert caught.value is error
    assert recorder.events[-1].step == 2
    (failed,) = recorder.of(RunFailed)
    assert recorder.events[-1] == failed
    assert failed.error == reason(error)
