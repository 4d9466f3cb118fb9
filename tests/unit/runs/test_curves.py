"""Smoothing, thinning out and splitting of curves."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.runs.curves import debiased_ema, decimate, split_at_gaps

FINITE = st.floats(-1e6, 1e6)
WITH_GAPS = st.one_of(FINITE, st.just(math.nan))


def plain_average(values: list[float], weight: float) -> list[float]:
    total = mass = 0.0
    averages = []
    for value in values:
        if math.isfinite(value):
            total = weight * total + (1 - weight) * value
            mass = weight * mass + (1 - weight)
        averages.append(total / mass if math.isfinite(value) else value)
    return averages


@given(st.lists(WITH_GAPS, max_size=700), st.floats(0, 0.999))
def test_the_average_follows_its_recurrence_across_blocks_and_gaps(
    values: list[float], weight: float
) -> None:
    smooth = debiased_ema(values, weight)
    expected = np.array(plain_average(values, weight), dtype=float)
    np.testing.assert_allclose(smooth, expected, rtol=1e-6, atol=1e-3)


def test_the_average_starts_at_the_first_value_and_not_at_zero() -> None:
    assert debiased_ema([5.0, 5.0, 5.0], 0.99).tolist() == pytest.approx([5.0, 5.0, 5.0])


def test_weight_zero_changes_nothing_and_the_input_stays() -> None:
    values = np.array([1.0, math.nan, 3.0])
    smooth = debiased_ema(values, 0)
    assert smooth is not values
    np.testing.assert_array_equal(smooth, values)


@pytest.mark.parametrize("weight", [-0.1, 1.0, math.nan])
def test_a_weight_outside_its_range_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        debiased_ema([1.0], weight)


@given(st.lists(WITH_GAPS, min_size=1, max_size=400), st.integers(2, 40))
def test_thinning_keeps_the_ends_and_the_extremes_of_the_curve(
    values: list[float], columns: int
) -> None:
    x, y = np.arange(len(values), dtype=float), np.array(values)
    thin_x, thin_y = decimate(x, y, columns)
    assert np.isfinite(thin_y).sum() <= 2 * columns
    assert (thin_x[0], thin_x[-1]) == (x[0], x[-1])
    assert np.all(np.diff(thin_x) > 0)
    np.testing.assert_array_equal(thin_y, y[thin_x.astype(int)])
    if np.isfinite(y).any():
        assert np.nanmin(thin_y) == np.nanmin(y)
        assert np.nanmax(thin_y) == np.nanmax(y)
    if np.isnan(y).any():
        assert np.isnan(thin_y).any()


def test_each_column_keeps_its_lowest_and_highest_point_in_order() -> None:
    rng = np.random.default_rng(7)
    x, y = np.arange(1000.0), rng.normal(size=1000)
    y[500] = 9.0
    thin_x, _ = decimate(x, y, 11)
    column = np.minimum((x / x[-1] * 10).astype(int), 9)
    wanted = {0.0, 999.0}
    for number in range(10):
        inside = np.flatnonzero(column == number)
        wanted |= {float(inside[y[inside].argmin()]), float(inside[y[inside].argmax()])}
    assert set(thin_x) == wanted


def test_few_points_and_a_single_x_are_left_in_peace() -> None:
    x, y = np.array([1.0, 2.0]), np.array([3.0, math.nan])
    assert decimate(x, y, 10) == (x, y)
    same_x = np.full(100, 4.0)
    thin_x, thin_y = decimate(same_x, np.arange(100.0), 5)
    assert set(thin_x) == {4.0}
    assert {0.0, 99.0} == set(thin_y)


def test_stretches_end_where_a_gap_begins() -> None:
    y = np.array([math.nan, 1.0, 2.0, math.inf, 3.0, math.nan])
    parts = split_at_gaps(np.arange(6.0), y)
    assert [(list(x), list(part)) for x, part in parts] == [([1, 2], [1, 2]), ([4], [3])]
    assert split_at_gaps(np.array([]), np.array([])) == []
