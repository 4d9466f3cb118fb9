"""Scaling laws from points of a known law, and the optimizer that fits them."""

import itertools

import numpy as np
import pytest

from transformer_playground.errors import UsageError
from transformer_playground.scaling.law import LEVEL, Point, fit_law
from transformer_playground.scaling.lbfgs import FloatArray, Rows, minimise

SIZES = (20_000, 50_000, 130_000, 350_000, 1_000_000)
BUDGETS = (250_000, 500_000, 1_000_000)


def known(parameters: float, tokens: float) -> float:
    return float(1.5 + 60 / parameters**0.35 + 400 / tokens**0.45)


def points(*, noise: float = 0.0, seed: int = 0, budgets: tuple[int, ...] = BUDGETS) -> list[Point]:
    generator = np.random.default_rng(seed)
    return [
        Point(size, budget, known(size, budget) * float(np.exp(noise * generator.normal())))
        for size, budget in itertools.product(SIZES, budgets)
    ]


def test_the_law_that_made_the_points_is_found() -> None:
    law = fit_law(points())

    assert law.size is not None
    assert law.tokens is not None
    assert law.irreducible == pytest.approx(1.5, abs=0.02)
    assert law.size.exponent == pytest.approx(0.35, abs=0.002)
    assert law.size.coefficient == pytest.approx(60, rel=0.02)
    assert law.tokens.exponent == pytest.approx(0.45, abs=0.01)
    assert law.predict(4e6, 4e6).loss == pytest.approx(known(4e6, 4e6), rel=1e-3)


def test_one_wild_point_hardly_moves_the_law() -> None:
    wild = points()
    wild[7] = Point(wild[7].parameters, wild[7].tokens, wild[7].loss * 1.3)

    assert fit_law(wild).predict(2e6, 1e6).loss == pytest.approx(known(2e6, 1e6), rel=0.005)


def test_the_band_holds_new_runs_about_as_often_as_it_says() -> None:
    inside = 0
    generator = np.random.default_rng(5)
    for seed in range(12):
        band = fit_law(points(noise=0.004, seed=seed, budgets=BUDGETS[-1:])).predict(2e6, 1e6).band
        assert band is not None
        new = known(2e6, 1e6) * float(np.exp(0.004 * generator.normal()))
        inside += band[0] < new < band[1]
    # Of 12 draws with a probability of 0.9 fewer than 8 are a chance of 1 in 200.
    assert LEVEL == 0.9
    assert inside >= 8


def test_few_budgets_leave_the_tokens_out_and_only_the_largest_budget_counts() -> None:
    law = fit_law(points(budgets=BUDGETS[:2]))

    assert law.tokens is None
    assert {point.tokens for point in law.points} == {500_000}
    assert law.is_for(2_000_000, 500_000)
    assert not law.is_for(2_000_000, 1_000_000)
    assert law.predict(2e6, 5e5).loss == pytest.approx(known(2e6, 5e5), rel=1e-3)


def test_few_sizes_leave_the_parameters_out() -> None:
    law = fit_law([each for each in points() if each.parameters >= 350_000])

    assert law.size is None
    assert {point.parameters for point in law.points} == {1_000_000}


def test_neither_three_sizes_nor_three_budgets_are_no_law() -> None:
    few = [each for each in points(budgets=BUDGETS[:2]) if each.parameters <= 50_000]

    with pytest.raises(UsageError, match="3 sizes or 3 budgets; there are 2 and 2"):
        fit_law(few)


def test_three_budgets_of_which_the_largest_size_has_two_are_no_law() -> None:
    few = [each for each in points() if each.parameters <= 50_000]

    with pytest.raises(UsageError, match="The largest size has been trained with only 2 budgets"):
        fit_law(few[:-1])


def test_fewer_points_than_coefficients_are_no_law() -> None:
    diagonal = [points()[place] for place in (0, 4, 8)]

    with pytest.raises(UsageError, match="has 5 coefficients; there are only 3 points"):
        fit_law(diagonal)


def test_as_many_points_as_coefficients_have_no_band_but_seeds_give_one() -> None:
    three = points(budgets=BUDGETS[-1:])[:3]
    assert fit_law(three).predict(2e6, 1e6).band is None

    seeds = [Point(each.parameters, each.tokens, each.loss, 0.004, 3) for each in three]
    law = fit_law(seeds)
    assert law.degrees == 6
    # Three seeds: the spread of a mean is that of a run divided by √3.
    assert law.error == pytest.approx(0.004 / 3**0.5)
    assert law.predict(2e6, 1e6).band is not None


def test_many_problems_are_minimised_at_once_each_from_its_start() -> None:
    centres = np.array([[1.0, 2.0], [-3.0, 0.5], [0.0, 0.0]])

    def rosenbrock(x: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray]:
        u, v = (x - centres[rows]).T
        value = (1 - u) ** 2 + 100 * (v - u * u) ** 2
        gradient = np.stack([-2 * (1 - u) - 400 * u * (v - u * u), 200 * (v - u * u)], axis=1)
        return value, gradient

    found, values = minimise(rosenbrock, centres - 1.2, steps=500, tolerance=0.0)

    np.testing.assert_allclose(found, centres + 1.0, atol=1e-5)
    assert (values < 1e-10).all()
