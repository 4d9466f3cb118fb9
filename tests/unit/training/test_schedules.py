import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from transformer_playground.config.train import TrainConfig
from transformer_playground.training.schedules import learning_rate


def train_config(**schedule: Any) -> TrainConfig:
    values = {"warmup_iters": 10, "lr_decay_iters": 110, "min_lr": 0.1, **schedule}
    return TrainConfig.model_validate({"optim": {"learning_rate": 1.0}, "schedule": values})


@pytest.mark.parametrize("name", ["constant", "cosine", "linear", "wsd"])
def test_warmup_rises_in_equal_steps_to_the_peak(name: str) -> None:
    config = train_config(schedule=name)
    rates = [learning_rate(step, config) for step in range(11)]
    assert rates[0] == pytest.approx(1 / 11)
    assert rates[10] == pytest.approx(1.0)
    steps = [after - before for before, after in itertools.pairwise(rates)]
    assert steps == pytest.approx([1 / 11] * 10)


@pytest.mark.parametrize("name", ["cosine", "linear", "wsd"])
def test_after_the_decay_the_rate_stays_at_min_lr(name: str) -> None:
    config = train_config(schedule=name)
    assert learning_rate(110, config) == pytest.approx(0.1)
    assert learning_rate(5000, config) == pytest.approx(0.1)


def test_constant_never_decays() -> None:
    assert learning_rate(10_000, train_config(schedule="constant")) == 1.0


def test_cosine_is_half_way_in_the_middle_and_steepest_there() -> None:
    config = train_config(schedule="cosine")
    assert learning_rate(60, config) == pytest.approx(0.55)
    quarter = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4))
    assert learning_rate(35, config) == pytest.approx(quarter)


def test_linear_falls_evenly() -> None:
    assert learning_rate(35, train_config(schedule="linear")) == pytest.approx(0.1 + 0.9 * 0.75)


def test_wsd_is_flat_until_its_last_share_and_then_linear() -> None:
    config = train_config(schedule="wsd", wsd_decay_fraction=0.2)
    assert learning_rate(89, config) == pytest.approx(1.0)
    assert learning_rate(100, config) == pytest.approx(0.55)


def test_a_time_limit_takes_the_schedule_to_its_end_sooner() -> None:
    config = TrainConfig.model_validate(
        {"schedule": {"schedule": "linear", "warmup_iters": 10}, "runtime": {"max_iters": 110}}
    )
    halfway, end = config.min_lr + 0.5 * (1e-3 - config.min_lr), config.min_lr

    assert learning_rate(60, config) == pytest.approx(halfway)
    # Time is behind the steps, ahead of them, and over.
    assert learning_rate(60, config, 0.3) == pytest.approx(halfway)
    assert learning_rate(20, config, 0.5) == pytest.approx(halfway)
    assert learning_rate(20, config, 1.2) == pytest.approx(end)
    # Warmup is one of steps.
    assert learning_rate(4, config, 0.9) == learning_rate(4, config)


def test_an_omitted_decay_end_is_max_iters() -> None:
    config = TrainConfig.model_validate(
        {
            "optim": {"learning_rate": 1.0},
            "schedule": {"schedule": "linear", "warmup_iters": 0, "min_lr": 0.0},
            "runtime": {"max_iters": 200},
        }
    )
    assert learning_rate(100, config) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("schedule", "max_iters", "warmup"),
    [
        ({}, 2000, 100),
        ({}, 100_000, 100),
        ({}, 50, 2),
        ({}, 19, 0),
        ({}, 0, 0),
        ({"lr_decay_iters": 400}, 2000, 20),
        ({"warmup_iters": 7}, 50, 7),
        ({"warmup_iters": 0}, 2000, 0),
    ],
)
def test_an_omitted_warmup_is_a_share_of_the_schedule(
    schedule: dict[str, Any], max_iters: int, warmup: int
) -> None:
    config = TrainConfig.model_validate({"schedule": schedule, "runtime": {"max_iters": max_iters}})
    assert config.warmup_iters == warmup
    assert learning_rate(warmup, config) == config.optim.learning_rate


def test_an_omitted_min_lr_is_a_tenth_of_the_peak() -> None:
    for peak, stated, low in ((1e-5, {}, 1e-6), (1e-3, {}, 1e-4), (1e-3, {"min_lr": 0.0}, 0.0)):
        config = TrainConfig.model_validate(
            {"optim": {"learning_rate": peak}, "schedule": stated, "runtime": {"max_iters": 50}}
        )
        assert config.min_lr == pytest.approx(low)
        assert learning_rate(50, config) == pytest.approx(low)


@pytest.mark.parametrize(
    ("table", "fix"),
    [
        ({"schedule": {"warmup_iters": 60}, "runtime": {"max_iters": 50}}, "warmup_iters=none"),
        ({"schedule": {"min_lr": 1e-3}, "optim": {"learning_rate": 1e-4}}, "min_lr=none"),
    ],
)
def test_conflicting_values_are_refused_with_a_fix(table: dict[str, Any], fix: str) -> None:
    with pytest.raises(ValidationError, match=f"--set train.schedule.{fix}"):
        TrainConfig.model_validate(table)
    assert TrainConfig.model_validate({**table, "schedule": {"schedule": "cosine"}})


@given(
    name=st.sampled_from(["constant", "cosine", "linear", "wsd"]),
    step=st.integers(0, 300),
    warmup=st.integers(0, 110),
    fraction=st.floats(0.01, 1.0),
)
def test_rates_stay_between_zero_and_the_peak(
    name: str, step: int, warmup: int, fraction: float
) -> None:
    config = train_config(schedule=name, warmup_iters=warmup, wsd_decay_fraction=fraction)
    assert 0 < learning_rate(step, config) <= 1.0 + 1e-12


@pytest.mark.parametrize("name", ["cosine", "linear", "wsd"])
def test_a_warmup_as_long_as_the_schedule_is_followed_by_min_lr(name: str) -> None:
    config = train_config(schedule=name, warmup_iters=110)
    assert learning_rate(109, config) == pytest.approx(110 / 111)
    assert learning_rate(110, config) == pytest.approx(0.1)
