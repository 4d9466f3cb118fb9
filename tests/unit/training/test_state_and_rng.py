import dataclasses
import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.config.train import RuntimeConfig
from transformer_playground.training import step_parts
from transformer_playground.training.rng import derived_seed, seed_dropout
from transformer_playground.training.state import TrainingState

CPU = torch.device("cpu")


def record_all(losses: list[float], min_delta: float = 0.0) -> tuple[list[bool], TrainingState]:
    state = TrainingState()
    verdicts = []
    for step, loss in enumerate(losses):
        state.step = step
        verdicts.append(state.record_eval(loss, "windows", min_delta=min_delta))
    return verdicts, state


def test_only_a_lower_loss_is_a_new_best() -> None:
    verdicts, state = record_all([3.0, 2.0, 2.0, 2.5, 1.9])
    assert verdicts == [True, True, False, False, True]
    assert (state.best_val_loss, state.best_step) == (1.9, 4)


def test_evaluations_without_improvement_are_counted_and_reset() -> None:
    assert record_all([3.0, 2.0, 2.1, 2.2])[1].evaluations_without_improvement == 2
    assert record_all([3.0, 2.0, 2.1, 1.0])[1].evaluations_without_improvement == 0


def test_an_improvement_below_min_delta_is_best_but_does_not_count() -> None:
    verdicts, state = record_all([2.0, 1.99, 1.98], min_delta=0.1)
    assert verdicts == [True, True, True]
    assert state.evaluations_without_improvement == 2


def test_small_improvements_that_add_up_to_min_delta_count() -> None:
    _, state = record_all([2.0, 1.96, 1.92, 1.88], min_delta=0.1)
    assert state.evaluations_without_improvement == 0


def test_seeds_differ_by_run_purpose_and_step() -> None:
    seeds = [
        derived_seed(seed, purpose, step)
        for seed, purpose, step in itertools.product(
            range(5), ("initialisation", "dropout", "sample"), range(50)
        )
    ]
    assert len(set(seeds)) == len(seeds)


@given(seed=st.integers(0, 2**40), step=st.integers(0, 10**9))
def test_derived_seeds_fit_every_torch_generator(seed: int, step: int) -> None:
    assert 0 <= derived_seed(seed, "dropout", step) < 2**63


def test_dropout_depends_on_the_step_alone() -> None:
    seed_dropout(1, 7, CPU)
    first = torch.rand(4)
    torch.rand(100)
    seed_dropout(1, 7, CPU)
    assert torch.equal(torch.rand(4), first)
    seed_dropout(1, 8, CPU)
    assert not torch.equal(torch.rand(4), first)


def test_a_best_loss_on_other_windows_does_not_count() -> None:
    state = TrainingState()
    assert state.record_eval(2.0, "240 windows", min_delta=0.0)
    state.step = 5
    assert state.judges_other_windows("100 windows")
    assert state.record_eval(2.5, "100 windows", min_delta=0.0)
    assert (state.best_val_loss, state.best_step) == (2.5, 5)
    assert not state.judges_other_windows("100 windows")


def test_nothing_has_been_counted_in_a_new_state() -> None:
    values = dataclasses.asdict(TrainingState())
    absent = {name for name, value in values.items() if value is None}
    assert absent == {
        "evaluated_at",
        "sampled_at",
        "val_loss",
        "best_val_loss",
        "best_step",
        "eval_set",
        "reference_val_loss",
    }
    assert all(value == 0 for name, value in values.items() if name not in absent)


def count(state: TrainingState, loss: float, norm: float, tokens: int, seconds: float) -> None:
    state.count_step(tokens=tokens, windows=4, seconds=seconds, data_seconds=seconds / 4)
    state.record_step(loss, norm)


def test_a_window_gives_the_means_of_its_steps_and_starts_anew() -> None:
    state = TrainingState(step=10, tokens_seen=1000, windows_drawn=40)
    count(state, loss=3.0, norm=0.5, tokens=100, seconds=0.5)
    count(state, loss=2.0, norm=0.7, tokens=200, seconds=0.25)
    logged = state.close_window(1e-3, memory=7, forward_ms=2.0)
    figures = dataclasses.asdict(logged)
    del figures["time"]
    assert figures == {
        "step": 12,
        "train_loss": 2.5,
        "lr": 1e-3,
        "tokens_per_sec": 400.0,
        "step_time_ms": 375.0,
        "data_share": 0.25,
        "grad_norm": 0.7,
        "tokens_seen": 1300,
        "forward_ms": 2.0,
        "backward_ms": None,
        "optimizer_ms": None,
        "memory": 7,
        "system": {},
    }
    assert state.windows_drawn == 48
    count(state, loss=1.0, norm=0.1, tokens=50, seconds=2.0)
    logged = state.close_window(1e-3)
    assert (logged.train_loss, logged.tokens_per_sec, logged.step_time_ms) == (1.0, 25.0, 2000.0)
    assert (logged.data_share, logged.tokens_seen) == (0.25, 1350)


def test_a_clock_that_stood_still_gives_numbers() -> None:
    state = TrainingState()
    count(state, loss=3.0, norm=0.5, tokens=100, seconds=0.0)
    logged = state.close_window(1e-3)
    assert 0 < logged.tokens_per_sec < math.inf
    assert logged.data_share == 0.0


@pytest.mark.parametrize(
    ("step", "evaluated_at", "without_improvement", "patience", "reason"),
    [
        (9, 9, 0, 0, None),
        (10, 9, 0, 0, None),
        (10, None, 5, 1, None),
        (10, 10, 0, 0, "finished"),
        (11, 11, 0, 0, "finished"),
        (5, 5, 9, 0, None),
        (5, 5, 0, 1, None),
        (5, 5, 1, 1, "early stopped"),
        (5, 5, 3, 2, "early stopped"),
        (5, 5, 1, 2, None),
        (10, 10, 2, 2, "early stopped"),
    ],
)
def test_training_ends_after_an_evaluation_by_steps_or_patience(
    step: int,
    evaluated_at: int | None,
    without_improvement: int,
    patience: int,
    reason: str | None,
) -> None:
    state = TrainingState(
        step=step,
        evaluated_at=evaluated_at,
        evaluations_without_improvement=without_improvement,
    )
    runtime = RuntimeConfig(max_iters=10, early_stop_patience=patience)
    assert state.end_reason(runtime) == reason


def test_a_best_loss_that_could_not_be_saved_is_taken_back() -> None:
    state = TrainingState()
    for step, loss in enumerate((3.0, 2.0)):
        state.step = step
        state.record_eval(loss, "windows", min_delta=0.0)
    assert (state.val_loss, state.evaluated_at, state.eval_set) == (2.0, 1, "windows")
    state.retract_best()
    assert (state.best_val_loss, state.best_step) == (3.0, 0)


def test_the_first_loss_on_any_windows_is_judged_against_none() -> None:
    assert not TrainingState().judges_other_windows("windows")
    # Checkpoints of older versions do not say which windows they were judged on.
    assert TrainingState(best_val_loss=2.0).judges_other_windows("windows")


def test_a_change_of_windows_starts_early_stopping_anew() -> None:
    state = TrainingState()
    for loss in (2.0, 2.1):
        state.record_eval(loss, "few", min_delta=0.0)
    state.record_eval(3.0, "many", min_delta=0.0)
    assert (state.reference_val_loss, state.evaluations_without_improvement) == (3.0, 0)


def test_seeds_are_those_of_earlier_versions() -> None:
    assert derived_seed(1337, "initialisation") == 8_311_963_500_192_281_539
    assert derived_seed(1337, "dropout", 7) == 5_348_697_397_813_031_511
    assert derived_seed(1337, "sample", 500) == 3_073_608_733_382_585_581


def test_an_equal_loss_is_no_improvement() -> None:
    assert record_all([2.0, 2.0])[1].evaluations_without_improvement == 1


def test_the_parts_of_steps_are_means_and_unknown_on_an_accelerator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moments = iter([0.0, 0.125, 0.625, 0.875, 1.0, 10.0, 10.125, 10.625, 10.875, 11.5] * 2)
    monkeypatch.setattr("time.perf_counter", lambda: next(moments))
    monkeypatch.setattr(step_parts, "current_memory", lambda _: 7)
    for device, is_known in (("cpu", True), ("cuda", False)):
        parts = step_parts.StepParts(torch.device(device))
        for seconds in (1.0, 1.5):
            parts.begin()
            for part in step_parts.PARTS[:3]:
                parts.lap(part)
            assert parts.end() == {"seconds": seconds, "data_seconds": 0.125}
        rest = {"memory": 7, "system": {}}
        means = {"forward_ms": 500.0, "backward_ms": 250.0, "optimizer_ms": 375.0}
        assert parts.take() == {**(means if is_known else dict.fromkeys(means)), **rest}
        assert parts.take() == {**dict.fromkeys(means), **rest}
