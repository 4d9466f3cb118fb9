"""Estimates from known timings: counts of the parts, and runs whose time is limited."""

from typing import Any

import pytest

from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.training.earlier_runs import Timings
from transformer_playground.training.estimate import Estimate, estimate_from

# Those with a checkpoint at each evaluation.
TIMINGS = Timings(
    step=0.1,
    evaluation=4.0,
    sample=0.0,
    checkpoint=1.0,
    memory=None,
    checkpoint_bytes=1,
    device="cpu",
    dtype="float32",
)


def estimate(*, interval: int = 0, **runtime: Any) -> Estimate:
    values = {"max_iters": 100_000, "eval_interval": 100} | runtime
    config = ExperimentConfig.model_validate(
        {"train": {"runtime": values, "checkpointing": {"interval": interval}}}
    )
    return estimate_from(config, TIMINGS, parameters=1, flop_per_step=None)


def test_a_time_limit_includes_evaluations_and_checkpoints_but_those_at_the_end() -> None:
    limited = estimate(max_minutes=10)

    # The first checkpoint, then 15 seconds for a hundred steps with what belongs to them.
    assert limited.steps == pytest.approx(599 / 15 * 100, abs=100)
    assert limited.evaluations == limited.steps // 100 + 2
    assert limited.seconds is not None
    assert 600 + 5 - 0.1 < limited.seconds <= 600 + 5


@pytest.mark.parametrize("minutes", [0.0, 1000.0])
def test_a_limit_that_is_not_reached_changes_nothing(minutes: float) -> None:
    assert estimate(max_iters=200, max_minutes=minutes) == estimate(max_iters=200)


def test_a_limit_below_the_first_evaluation_leaves_no_step() -> None:
    limited = estimate(max_minutes=0.001)
    assert (limited.steps, limited.evaluations, limited.seconds) == (0, 1, 6.0)


@pytest.mark.parametrize("last", [0, 1, 29, 30, 31, 90])
@pytest.mark.parametrize(("evaluated", "saved"), [(10, 0), (10, 15), (6, 4), (5, 30)])
def test_a_step_with_an_evaluation_and_a_checkpoint_counts_once(
    last: int, evaluated: int, saved: int
) -> None:
    found = estimate(max_iters=last, eval_interval=evaluated, interval=saved, sample_interval=7)
    steps = range(last + 1)
    evaluations = {step for step in steps if step % evaluated == 0 or step == last}
    checkpoints = {step for step in steps if step % (saved or evaluated) == 0} | evaluations
    assert found.evaluations == len(evaluations)
    assert found.checkpoints == 1 + len(checkpoints)
    assert found.samples == sum(step % 7 == 0 for step in steps)
