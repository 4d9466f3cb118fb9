"""Single steps and saves of a trainer: windows, loss, clock, loss scaling, faults."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from builders.training import Recorder, prepared_config, runtime
from transformer_playground.checkpoints.discovery import choose
from transformer_playground.checkpoints.loading import load_payload
from transformer_playground.data.loader import IGNORED, Batch
from transformer_playground.errors import CheckpointError, TrainingError
from transformer_playground.model.base import LanguageModel
from transformer_playground.model.device import Precision
from transformer_playground.model.loss import summed_cross_entropy
from transformer_playground.runs.folder import create_run
from transformer_playground.training import accumulation
from transformer_playground.training import trainer as module
from transformer_playground.training.checkpointing import Checkpointer, ResumePoint, read_state
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    RunFinished,
    StatusChanged,
    Warned,
)
from transformer_playground.training.mixed_precision import MixedPrecisionParams
from transformer_playground.training.rng import RANDOMNESS_SCHEME
from transformer_playground.training.setup import TrainingSetup, build_setup
from transformer_playground.training.state import TrainingState
from transformer_playground.training.trainer import Trainer

NO_WARMUP = {"train": {"schedule": {"warmup_iters": 0}}}
TWO_MICRO_BATCHES = {"train": {"data": {"grad_accum_steps": 2}}}
# Larger than any product of a float16 gradient allows, so the first steps overflow.
HUGE_SCALE = 2.0**40

ReadBatch = Callable[[int, int], Batch]


class Clock:
    """A clock that moves only when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)


def setup_of(folder: Path, *changes: dict[str, Any]) -> TrainingSetup:
    return build_setup(prepared_config(folder, *changes), prepare_command="")


def begin(setup: TrainingSetup, folder: Path, **options: Any) -> tuple[Trainer, Recorder]:
    """A trainer of a new run that has begun its session, and what it tells."""
    recorder = Recorder()
    run = create_run(folder / "runs", f"run{len(list(folder.glob('runs/*')))}", {})
    trainer = Trainer(setup, run, [recorder], **options)
    trainer.begin_session()
    return trainer, recorder


def with_batches(setup: TrainingSetup, change: Callable[[ReadBatch], ReadBatch]) -> TrainingSetup:
    batches = SimpleNamespace(
        batch=change(setup.batches.batch), ignores_targets=setup.batches.ignores_targets
    )
    return dataclasses.replace(setup, batches=batches)


def in_float16(setup: TrainingSetup) -> TrainingSetup:
    """As on an accelerator without bfloat16; the configuration refuses it on the CPU."""
    half = torch.float16
    return dataclasses.replace(setup, precision=Precision(half, "for a test"), weights_dtype=half)


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.params.state_dict().items()}


def unchanged(trainer: Trainer, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(before[name], now) for name, now in trainer.params.state_dict().items())


def test_micro_batches_read_the_windows_one_after_another(tmp_path: Path) -> None:
    read: list[tuple[int, int]] = []

    def noting(batch: ReadBatch) -> ReadBatch:
        def noted(first: int, size: int) -> Batch:
            read.append((first, size))
            return batch(first, size)

        return noted

    trainer, _ = begin(with_batches(setup_of(tmp_path, TWO_MICRO_BATCHES), noting), tmp_path)
    for _ in range(2):
        trainer.train_step()
    assert read == [(0, 4), (4, 4), (8, 4), (12, 4)]


@pytest.mark.parametrize(("n_targets", "loss"), [(0, 0.0), (1, 3.3), (2, 3.3)])
def test_the_loss_is_a_mean_over_the_targets_that_there_are(
    n_targets: int, loss: float, tmp_path: Path
) -> None:
    def masking(batch: ReadBatch) -> ReadBatch:
        def masked(first: int, size: int) -> Batch:
            inputs, targets = batch(first, size)
            few = np.full_like(targets, IGNORED)
            few[0, :n_targets] = targets[0, :n_targets]
            return inputs, few

        return masked

    trainer, _ = begin(with_batches(setup_of(tmp_path), masking), tmp_path)
    trainer.train_step()
    assert trainer.state.window_loss == pytest.approx(loss, rel=0.1)
    assert (trainer.state.step, trainer.state.tokens_seen) == (1, n_targets)


@pytest.mark.parametrize("unread", [0, 100])
def test_reading_batches_computing_and_waiting_are_timed(
    unread: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(batch: ReadBatch) -> ReadBatch:
        def slow(first: int, size: int) -> Batch:
            clock.now += 2.0
            return batch(first, size)

        return slow

    def compute(logits: Tensor, targets: Tensor) -> Tensor:
        clock.now += 3.0
        return true_loss(logits, targets)

    def record(state: TrainingState, loss: float, grad_norm: float) -> None:
        clock.now += 7.0
        true_record(state, loss, grad_norm)

    true_loss, true_record = summed_cross_entropy, TrainingState.record_step
    monkeypatch.setattr(module, "max_unread_steps", lambda _: unread)
    monkeypatch.setattr(accumulation, "summed_cross_entropy", compute)
    monkeypatch.setattr(TrainingState, "record_step", record)
    setup = with_batches(setup_of(tmp_path, TWO_MICRO_BATCHES), slowly)
    trainer, _ = begin(setup, tmp_path)
    clock = Clock(monkeypatch)
    trainer.train_step()
    trainer.save(last=True, best=False)
    assert trainer.state.window_seconds == 2 * (2.0 + 3.0) + 7.0
    assert trainer.state.window_data_seconds == 4.0


def test_time_goes_on_from_earlier_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    trainer, _ = begin(setup_of(tmp_path), tmp_path)
    trainer.state.wall_time = trainer.state.active_seconds = 40.0
    trainer.begin_session()
    clock.now += 7.0
    trainer.save(last=True, best=False)
    assert trainer.state.wall_time == 47.0


def test_a_pause_of_an_earlier_session_does_not_count_against_the_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    setup = setup_of(tmp_path, runtime(max_minutes=2))
    trainer, _ = begin(setup, tmp_path)
    clock.now += 30.0
    with trainer._clock.pause():
        clock.now += 28_800.0
    trainer.save(last=True, best=False)
    found = choose(trainer.run.checkpoints, "last")

    resumed, _ = begin(
        setup, tmp_path, resume_from=ResumePoint(load_payload(found.path), found.path)
    )
    clock.now += 30.0

    assert resumed._clock.share() == 0.5
    assert resumed._clock.seconds == 28_860.0


def test_a_checkpoint_of_an_older_version_counts_all_its_time(tmp_path: Path) -> None:
    trainer, _ = begin(setup_of(tmp_path), tmp_path)
    trainer.state.wall_time = 40.0
    progress = dataclasses.asdict(trainer.state)
    del progress["active_seconds"]
    payload = {"generators": {"scheme": RANDOMNESS_SCHEME}, "progress": progress}

    assert read_state(payload).active_seconds == 40.0


def test_a_loss_scale_that_is_too_large_costs_a_step_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaler = partial(torch.amp.GradScaler, init_scale=HUGE_SCALE)
    monkeypatch.setattr(torch.amp, "GradScaler", scaler)
    trainer, _ = begin(in_float16(setup_of(tmp_path, NO_WARMUP)), tmp_path)
    before = weights(trainer)
    trainer.train_step()
    assert unchanged(trainer, before)
    assert not math.isfinite(trainer.state.grad_norm or 0.0)
    trainer.evaluate(scheduled=True)

    trainer.save(last=True, best=False)
    path = choose(trainer.run.checkpoints, "last").path
    payload = load_payload(path)
    assert payload["scaler"]["scale"] == HUGE_SCALE / 2
    resumed, _ = begin(
        in_float16(setup_of(tmp_path)), tmp_path, resume_from=ResumePoint(payload, path)
    )
    resumed.save(last=True, best=False)
    again = load_payload(choose(resumed.run.checkpoints, "last").path)
    assert again["scaler"] == payload["scaler"]
    # The scale is of no use in another precision, and a new one begins without it.
    in_float32, _ = begin(setup_of(tmp_path), tmp_path, resume_from=ResumePoint(payload, path))
    in_float32.save(last=True, best=False)
    plain = load_payload(choose(in_float32.run.checkpoints, "last").path)
    assert plain["scaler"] is None
    Trainer(in_float16(setup_of(tmp_path)), trainer.run, [], resume_from=ResumePoint(plain, path))


def test_gradients_are_clipped_and_judged_without_the_loss_scale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = []
    monkeypatch.setattr(torch.amp, "GradScaler", partial(torch.amp.GradScaler, init_scale=64.0))
    for change in (lambda setup: setup, in_float16):
        trainer, _ = begin(change(setup_of(tmp_path, NO_WARMUP)), tmp_path)
        before = weights(trainer)
        trainer.train_step()
        assert not unchanged(trainer, before)
        norms.append(trainer.state.grad_norm)
    assert norms[1] == pytest.approx(norms[0], rel=0.02)


def test_a_loss_that_is_not_finite_is_an_error_with_a_loss_scale_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, _ = begin(in_float16(setup_of(tmp_path)), tmp_path)
    monkeypatch.setattr(
        accumulation, "summed_cross_entropy", lambda *given: summed_cross_entropy(*given) * math.inf
    )
    before = weights(trainer)
    with pytest.raises(TrainingError, match="loss is inf at step 0"):
        trainer.train_step()
    assert unchanged(trainer, before)


@pytest.mark.parametrize("is_saved", [False, True])
@pytest.mark.parametrize("fault", ["loss", "gradient norm"])
def test_a_fault_of_the_gradients_alone_saves_the_weights_before_it(
    fault: str, is_saved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, recorder = begin(setup_of(tmp_path), tmp_path)
    trainer.train_step()
    trainer.state.val_loss = 2.0
    if is_saved:
        trainer.save(last=True, best=False)
    before = len(recorder.of(CheckpointSaved))
    if fault == "loss":
        monkeypatch.setattr(
            accumulation, "summed_cross_entropy", lambda logits, _: logits.sum() * math.nan
        )
    else:
        monkeypatch.setattr(MixedPrecisionParams, "clip_grads", lambda *_: torch.tensor(math.inf))
    with pytest.raises(TrainingError, match=rf"{fault} is (nan|inf) at step 1"):
        trainer.train_step()
    saved = recorder.of(CheckpointSaved)[before:]
    expected = [(1, ("last",))] if fault == "gradient norm" and not is_saved else []
    assert [(event.step, event.kinds) for event in saved] == expected


@pytest.mark.parametrize("kind", ["last", "best"])
def test_only_a_best_checkpoint_that_was_not_saved_is_forgotten(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, recorder = begin(setup_of(tmp_path), tmp_path)
    state = trainer.state
    state.record_eval(3.0, "windows", min_delta=0.0)
    state.step = 5
    state.record_eval(2.0, "windows", min_delta=0.0)

    def full(*_: Any, **__: Any) -> None:
        raise CheckpointError("the disk is full.")

    monkeypatch.setattr(Checkpointer, "save", full)
    trainer.save(last=kind == "last", best=kind == "best")
    assert state.best_val_loss == (3.0 if kind == "best" else 2.0)
    (warned,) = recorder.of(Warned)
    assert warned.message == "checkpoint not saved: the disk is full."


def test_training_that_cannot_save_its_end_is_an_error_after_it_has_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise CheckpointError("the disk is full.")

    monkeypatch.setattr(Checkpointer, "save", full)
    trainer, recorder = begin(setup_of(tmp_path, NO_WARMUP, runtime(max_iters=1)), tmp_path)
    with pytest.raises(TrainingError, match=r"its last checkpoint \(step 1\) was not saved"):
        trainer.fit()
    assert [event.step for event in recorder.of(Warned)] == [0, 0, 1]


def test_other_evaluation_windows_are_told_once_at_the_next_scheduled_evaluation(
    tmp_path: Path,
) -> None:
    for before in ("12 windows of 16 tokens", None):
        trainer, recorder = begin(setup_of(tmp_path), tmp_path)
        trainer.state.best_val_loss, trainer.state.eval_set = 1.0, before
        trainer.evaluate(scheduled=False)
        assert recorder.of(Warned) == []
        trainer.evaluate(scheduled=True)
        trainer.evaluate(scheduled=True)
        (warned,) = recorder.of(Warned)
        assert (
            f"before on {before}:" if before else "before with another choice"
        ) in warned.message


def checkpointer_of(trainer: Trainer, resume_from: ResumePoint | None = None) -> Checkpointer:
    return Checkpointer(
        trainer.run.checkpoints,
        trainer.setup,
        trainer.params,
        trainer.optimizers,
        torch.amp.GradScaler("cpu", enabled=False),
        resume_from,
    )


@pytest.mark.parametrize(
    ("minutes", "seconds", "expected"),
    [(2, 119.9, False), (2, 120.0, True), (0.01, 0.7, True), (0, 1e6, False)],
)
def test_a_checkpoint_is_due_when_the_last_one_is_so_old(
    minutes: float, seconds: float, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = {"train": {"checkpointing": {"interval": 5, "interval_minutes": minutes}}}
    clock = Clock(monkeypatch)
    trainer, _ = begin(setup_of(tmp_path, policy), tmp_path)
    checkpointer = checkpointer_of(trainer)
    clock.now += seconds
    assert checkpointer.is_due(6, ending=False) is expected
    # By its step, or because training ends, in any case.
    assert checkpointer.is_due(10, ending=False)
    assert checkpointer.is_due(6, ending=True)
    if expected:
        trainer.state.step = 6
        checkpointer.save(trainer.state, last=True, best=False)
        assert not checkpointer.is_due(6, ending=True)
        assert not checkpointer.is_due(7, ending=False)


def test_the_time_of_an_evaluation_is_without_the_pauses_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, control = Clock(monkeypatch), TrainingControl()
    trainer, recorder = begin(setup_of(tmp_path), tmp_path, control=control)
    begun: list[float] = []

    def pause_before_a_batch() -> None:
        begun.append(clock.now)
        clock.now += 2.0
        control.pause()

    def resume_an_hour_later(event: Event) -> None:
        if isinstance(event, StatusChanged) and event.status == "paused":
            clock.now += 3600.0
            control.resume()

    monkeypatch.setattr(control, "between_batches", pause_before_a_batch)
    recorder.react = resume_an_hour_later
    trainer.evaluate(scheduled=True)
    trainer.evaluate(scheduled=True)
    took = [event.seconds for event in recorder.of(Evaluated)]
    batches = len(begun) // 2
    assert took == [2.0 * batches] * 2
    assert clock.now - begun[0] == 3602.0 * 2 * batches


def test_a_stop_during_an_evaluation_waits_for_neither_scores_nor_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = TrainingControl()
    measures = runtime(head_scores=True, sample_interval=1)
    trainer, recorder = begin(setup_of(tmp_path, measures), tmp_path, control=control)
    gathered: list[bool] = []

    def whole_model() -> contextlib.AbstractContextManager[LanguageModel]:
        gathered.append(True)
        return contextlib.nullcontext(trainer.model)

    monkeypatch.setattr(trainer, "_whole_model", whole_model)
    monkeypatch.setattr(control, "between_batches", control.stop)
    trainer.fit()
    assert gathered == []
    assert recorder.of(Evaluated) == []
    assert [event.status for event in recorder.of(RunFinished)] == ["stopped"]


def test_a_checkpoint_of_both_kinds_is_told_by_its_file_of_the_last(tmp_path: Path) -> None:
    trainer, _ = begin(setup_of(tmp_path, runtime(eval_interval=1)), tmp_path)
    trainer.evaluate(scheduled=True)
    saved = checkpointer_of(trainer).save(trainer.state, last=True, best=True)
    assert (saved.kinds, saved.path) == (("last", "best"), "checkpoints/ckpt_last_00000000.pt")


def test_the_checkpoint_that_a_run_goes_on_from_counts_as_saved(tmp_path: Path) -> None:
    trainer, _ = begin(setup_of(tmp_path), tmp_path)
    path = tmp_path / "ckpt.pt"
    assert checkpointer_of(trainer, ResumePoint({"step": 5}, path)).has_saved(5)
    branch = ResumePoint({"step": 5}, path, same_run=False)
    assert not checkpointer_of(trainer, branch).has_saved(5)
