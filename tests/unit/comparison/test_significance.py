"""Tests of differences, against scipy and by simulation."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from transformer_playground.comparison.estimates import estimate
from transformer_playground.comparison.significance import (
    LEVEL,
    against_spread,
    paired,
    regularized_beta,
    seed_spread,
    two_sided,
    welch,
)

values = st.lists(
    st.integers(100, 20_000).map(lambda count: count / 1000), min_size=2, max_size=6, unique=True
)


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-9, 1 - 1e-9), st.floats(0.5, 5000), st.floats(0.5, 50))
def test_the_incomplete_beta_function_is_scipys(x: float, a: float, b: float) -> None:
    assert regularized_beta(x, a, b) == pytest.approx(special.betainc(a, b, x), rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("degrees", [1, 1.5, 4, 29, 1741, 1e6])
@pytest.mark.parametrize("t", [0.0, 1e-9, 0.5, 2.0, 12.0, 80.0, -2.0])
def test_p_values_are_those_of_students_distribution(t: float, degrees: float) -> None:
    assert two_sided(t, degrees) == pytest.approx(2 * stats.t.sf(abs(t), degrees), rel=1e-7)


@settings(max_examples=20, deadline=None)
@given(values, values)
def test_seeds_are_compared_by_welchs_test(first: list[float], other: list[float]) -> None:
    found = welch(estimate(first), estimate(other))
    expected: Any = stats.ttest_ind(other, first, equal_var=False)
    assert found is not None
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert found.degrees == pytest.approx(expected.df, rel=1e-9)
    assert found.difference / found.standard_error == pytest.approx(expected.statistic, abs=1e-9)


def test_windows_of_equal_length_are_compared_by_the_paired_test() -> None:
    generator = np.random.default_rng(1)
    first = generator.normal(2.0, 0.5, 50) * 64
    other = first + generator.normal(0.01, 0.02, 50) * 64
    found = paired(first, other, np.full(50, 64))
    expected: Any = stats.ttest_rel(other, first)
    assert found is not None
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6)
    assert found.difference == pytest.approx((other - first).mean() / 64)


def test_a_short_last_window_counts_by_its_tokens() -> None:
    found = paired(
        np.array([64.0, 64.0, 1.0]), np.array([128.0, 128.0, 2.0]), np.array([64, 64, 1])
    )
    assert found is not None
    assert found.difference == pytest.approx(1.0)
    assert found.standard_error == pytest.approx(0.0, abs=1e-12)


def test_what_cannot_be_tested_has_no_test() -> None:
    assert welch(estimate([1.0]), estimate([1.0, 2.0])) is None
    assert paired(np.array([1.0]), np.array([2.0]), np.array([4])) is None
    assert paired(np.array([1.0, np.nan]), np.array([2.0, 1.0]), np.array([4, 4])) is None
    assert seed_spread([estimate([1.0]), estimate([2.0])]) is None


def test_equal_values_do_not_differ_and_values_without_spread_differ_for_sure() -> None:
    twos, ones = estimate([2.0, 2.0]), estimate([1.0, 1.0])
    same, apart = welch(twos, twos), welch(twos, ones)
    assert same is not None
    assert apart is not None
    assert (same.p_value, apart.p_value) == (1.0, 0.0)


def test_one_seed_is_held_against_the_spread_of_others() -> None:
    # Deviations of ±1 in both groups: variance 2 each, so a deviation of sqrt(2) with 2 degrees.
    spread = seed_spread(map(estimate, ([1.0, 3.0], [5.0, 7.0], [9.0])))
    assert spread is not None
    assert spread.deviation == pytest.approx(2**0.5)
    assert spread.degrees == 2
    found = against_spread(estimate([2.0]), estimate([6.0]), spread)
    assert found is not None
    assert found.standard_error == pytest.approx(2.0)
    assert found.p_value == pytest.approx(2 * stats.t.sf(2.0, 2))
    assert against_spread(estimate([]), estimate([6.0]), spread) is None


@pytest.mark.parametrize("sizes", [(4, 4), (5, 8)])
def test_equal_configurations_are_told_apart_in_one_case_of_a_hundred(
    sizes: tuple[int, int],
) -> None:
    generator, trials = np.random.default_rng(7), 2000
    found = [
        welch(*(estimate(generator.normal(2.0, 0.014, size).tolist()) for size in sizes))
        for _ in range(trials)
    ]
    rate = sum(test is not None and test.p_value < LEVEL for test in found) / trials
    # The standard deviation of the rate is 0.0022.
    assert 0.004 < rate < 0.017


def test_equal_models_are_told_apart_by_windows_in_one_case_of_a_hundred() -> None:
    generator, trials = np.random.default_rng(8), 2000
    losses = generator.normal(2.0, 0.3, (trials, 40)) * 64
    noise = generator.normal(0.0, 0.05, (trials, 40)) * 64
    found = [paired(a, a + b, np.full(40, 64)) for a, b in zip(losses, noise, strict=True)]
    rate = sum(test is not None and test.p_value < LEVEL for test in found) / trials
    assert 0.004 < rate < 0.017
