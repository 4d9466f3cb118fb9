"""What a learning-rate range test says of losses."""

import json
import math

import pytest

from transformer_playground.training.lr_range import (
    RangeSettings,
    RangeTest,
    range_test_from_json,
)
from transformer_playground.training.lr_range_text import chart, explanation, figure

SETTINGS = RangeSettings(1e-6, 1.0, 121)


def valley(noise: float = 0.0) -> RangeTest:
    """Losses that fall fastest at 1e-3, are lowest at 1e-2, and rise from there."""
    rates = [SETTINGS.rate(step) for step in range(SETTINGS.steps)]
    losses = []
    for place, rate in enumerate(rates):
        decades = math.log10(rate) + 3
        falling = 4 - 1.5 * (1 + math.tanh(1.5 * decades)) / 2
        losses.append(falling + max(0.0, decades - 1) ** 2 + noise * (-1) ** place)
    return RangeTest(tuple(rates), tuple(losses), True, 3e-4)


def test_rates_grow_by_the_same_factor_from_the_first_to_the_last() -> None:
    rates = [SETTINGS.rate(step) for step in range(SETTINGS.steps)]

    assert rates[0] == pytest.approx(1e-6)
    assert rates[-1] == pytest.approx(1.0)
    assert rates[61] / rates[60] == pytest.approx(rates[1] / rates[0])


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_steepest_descent_and_lowest_loss_are_found_through_noise(noise: float) -> None:
    test = valley(noise)

    assert test.steepest == pytest.approx(1e-3, rel=0.3)
    assert test.minimum == pytest.approx(1.2e-2, rel=0.4)
    assert test.minimum is not None
    assert test.suggestion == float(f"{test.minimum / 10:.2g}")
    assert test.overrides == (f"train.optim.learning_rate={test.suggestion:g}",)
    assert test.notes == ()


def test_smoothing_has_no_lag() -> None:
    jump = RangeTest(valley().rates, (2.0,) * 60 + (1.0,) + (2.0,) * 60, True, 1e-3)

    assert jump.minimum == jump.rates[60]


def test_the_rate_of_muon_keeps_its_proportion() -> None:
    test = valley()
    test = RangeTest(test.rates, test.losses, True, 3e-3, muon_ratio=10.0)

    assert test.suggestion is not None
    assert test.overrides[1] == f"train.optim.muon_learning_rate={10 * test.suggestion:.2g}"
    assert "in the same proportion" in " ".join(explanation(test))


def test_a_test_without_a_minimum_suggests_nothing_and_says_why() -> None:
    rates = valley().rates
    rising = RangeTest(rates, tuple(4 + rate for rate in rates), False, 1e-3)
    assert rising.suggestion is None
    assert rising.steepest is None
    assert rising.overrides == ()
    assert next(note.partition(";")[0] for note in rising.notes) == "the loss has not diverged"
    assert len(rising.notes) == 2

    none = RangeTest((1e-6,), (4.0,), True, 1e-3)
    assert (none.minimum, none.steepest, none.suggestion) == (None, None, None)
    assert chart(none, width=60, height=8) == []


def test_a_test_is_read_as_it_was_written() -> None:
    test = valley()

    assert range_test_from_json(json.loads(json.dumps(test.as_json()))) == test
    assert range_test_from_json({}) == RangeTest((), (), False, 0.0)


def test_the_chart_fits_and_marks_both_rates_and_leaves_out_the_divergence() -> None:
    lines = chart(valley(), width=60, height=8)

    assert len(lines) == 10
    assert max(map(len, lines)) <= 60
    assert lines[-1].index("s") < lines[-1].index("m")
    # The loss begins at 4 and grows to 6 or so.
    assert float(lines[0].partition("┤")[0]) < 5
    drawn = figure(valley(), "tiny")
    assert [mark.label for mark in drawn.marks] == ["steepest", "lowest loss", "suggested"]
    assert drawn.y_limits is not None
    assert drawn.y_limits[1] < 5
