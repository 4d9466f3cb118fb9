"""Means, standard errors and differences against numbers worked out by hand and scipy."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from transformer_playground.comparison.columns import Delta, delta
from transformer_playground.comparison.estimates import Estimate, estimate, group_by_seed

# Far enough apart for scipy, which warns where values are nearly identical.
losses = st.lists(
    st.integers(100, 20_000).map(lambda count: count / 1000), min_size=2, max_size=6, unique=True
)


def test_the_standard_error_is_the_sample_deviation_over_the_root_of_n() -> None:
    # Deviations -1, 0, 1: variance (1 + 0 + 1) / 2 = 1.
    assert estimate([1.0, 2.0, 3.0]) == Estimate(2.0, 1.0 / math.sqrt(3), 3)


def test_one_value_has_no_standard_error_and_none_has_no_mean() -> None:
    assert estimate([2.5]) == Estimate(2.5, None, 1)
    assert estimate([]) == Estimate(None, None, 0)


def test_runs_without_a_value_count_for_nothing() -> None:
    assert estimate([None, 4.0, None, 2.0]) == Estimate(3.0, 1.0, 2)


def test_a_difference_is_absolute_and_in_percent_of_the_first() -> None:
    assert delta(Estimate(2.0, None, 1), Estimate(1.5, None, 1)) == Delta(-0.5, -25.0, None)
    assert delta(Estimate(-2.0, None, 1), Estimate(-1.0, None, 1)) == Delta(1.0, 50.0, None)


@pytest.mark.parametrize("tiny", [0.0, 5e-324])
def test_a_difference_from_nothing_has_no_percentage(tiny: float) -> None:
    found = delta(Estimate(tiny, None, 1), Estimate(1.0, None, 1))
    assert found == Delta(1.0, None, None)


def test_there_is_no_difference_where_a_value_is_missing() -> None:
    assert delta(estimate([None]), estimate([1.0])) is None
    assert delta(estimate([1.0]), estimate([None])) is None


def test_the_error_of_a_difference_is_welchs() -> None:
    # s1² = 1 with n = 3; s2² = 2 with n = 2: sqrt(1/3 + 1).
    found = delta(estimate([1.0, 2.0, 3.0]), estimate([5.0, 7.0]))
    assert found is not None
    assert found.difference == 4.0
    assert found.standard_error == pytest.approx(math.sqrt(4 / 3))


def test_one_run_against_a_group_claims_no_error() -> None:
    found = delta(estimate([1.0]), estimate([5.0, 7.0]))
    assert found == Delta(5.0, 500.0, None)


@settings(max_examples=30, deadline=None)
@given(losses, losses)
def test_errors_are_those_of_scipy(first: list[float], other: list[float]) -> None:
    left, right = estimate(first), estimate(other)
    assert left.standard_error == pytest.approx(stats.sem(first), abs=1e-12)
    found = delta(left, right)
    assert found is not None
    assert found.standard_error == pytest.approx(welch_error(first, other), abs=1e-9)


def welch_error(first: list[float], other: list[float]) -> float:
    """The standard error inside scipy's Welch test."""
    result = stats.ttest_ind(other, first, equal_var=False)
    error: Any = result._standard_error
    return float(error)


def grouped(*items: tuple[str | None, int | None]) -> list[list[tuple[str | None, int | None]]]:
    return group_by_seed(items, lambda item: item[0], lambda item: item[1])


def test_equal_configurations_with_other_seeds_stand_together_in_order() -> None:
    assert grouped(("a", 1), ("b", 1), ("a", 2), ("b", 2)) == [
        [("a", 1), ("a", 2)],
        [("b", 1), ("b", 2)],
    ]


def test_a_repeated_seed_is_no_second_measurement() -> None:
    assert grouped(("a", 1), ("a", 1), ("a", 2)) == [[("a", 1), ("a", 2)], [("a", 1)]]


def test_what_has_no_seed_or_no_final_state_stands_alone() -> None:
    assert grouped(("a", None), ("a", 1), (None, 2), (None, 3), ("a", 2)) == [
        [("a", None)],
        [("a", 1), ("a", 2)],
        [(None, 2)],
        [(None, 3)],
    ]
