"""Smoothing and thinning of curves for display."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transformer_playground.runs.curves import debiased_ema, decimate, split_at_gaps

NAN = math.nan
LOSSES = st.floats(-1e6, 1e6) | st.just(NAN) | st.just(math.inf)
# Long enough for several rounds of every kind, with ties, gaps and uneven distances.
CURVES = st.lists(
    st.tuples(st.integers(0, 50), st.sampled_from([-2.0, 0.5, 1.0, 3.0, 7.25, NAN])),
    max_size=120,
).map(lambda points: sorted(points, key=lambda point: point[0]))


def ema_by_the_book(values: list[float], weight: float) -> list[float]:
    smooth, average, count = [], 0.0, 0
    for value in values:
        if not math.isfinite(value):
            smooth.append(NAN)
            continue
        count += 1
        average = weight * average + (1 - weight) * value
        smooth.append(average / (1 - weight**count))
    return smooth


@given(values=st.lists(LOSSES, max_size=300), weight=st.floats(0, 0.999))
def test_the_average_matches_the_formula(values: list[float], weight: float) -> None:
    expected = ema_by_the_book(values, weight)
    scale = max((abs(value) for value in values if math.isfinite(value)), default=1.0)

    np.testing.assert_allclose(debiased_ema(values, weight), expected, rtol=1e-9, atol=1e-9 * scale)


@given(st.lists(st.tuples(LOSSES, st.integers(1, 5)), max_size=60), st.floats(0, 0.999))
def test_the_average_over_means_of_equal_values_is_that_over_the_values(
    runs: list[tuple[float, int]], weight: float
) -> None:
    each = [value for value, count in runs for _ in range(count)]
    ends = np.cumsum([count for _, count in runs], dtype=int) - 1
    means, counts = [value for value, _ in runs], np.array([count for _, count in runs], dtype=int)
    scale = max((abs(value) for value in means if math.isfinite(value)), default=1.0)

    averages = debiased_ema(means, weight, counts)

    expected = debiased_ema(each, weight)[ends]
    np.testing.assert_allclose(averages, expected, rtol=1e-9, atol=1e-9 * scale)


def test_the_average_of_three_values_is_the_one_computed_by_hand() -> None:
    # The plain average is 1, 2.5 and 5.25; its weights sum to 1/2, 3/4 and 7/8.
    np.testing.assert_allclose(debiased_ema([2.0, 4.0, NAN, 8.0], 0.5), [2.0, 10 / 3, NAN, 6.0])


def test_a_weight_of_zero_changes_nothing() -> None:
    np.testing.assert_array_equal(debiased_ema([3.0, NAN, 1.0], 0.0), [3.0, NAN, 1.0])


@pytest.mark.parametrize("weight", [-0.1, 1.0, NAN])
def test_a_weight_outside_zero_to_one_is_rejected(weight: float) -> None:
    with pytest.raises(ValueError, match="weight"):
        debiased_ema([1.0], weight)


@given(points=CURVES, columns=st.integers(2, 20))
@example(points=[(0, NAN)] * 4 + [(1, NAN)], columns=2)
def test_thinning_keeps_extremes_ends_and_order(
    points: list[tuple[int, float]], columns: int
) -> None:
    x, y = [float(point[0]) for point in points], [point[1] for point in points]

    thin_x, thin_y = decimate(x, y, columns)

    finite = [value for value in y if math.isfinite(value)]
    kept = thin_y[np.isfinite(thin_y)]
    assert len(kept) <= 2 * columns
    assert np.all(np.diff(thin_x) >= 0)
    assert {*zip(thin_x.tolist(), np.nan_to_num(thin_y).tolist(), strict=True)} <= {
        *zip(x, np.nan_to_num(y).tolist(), strict=True)
    }
    if finite:
        assert (min(kept), max(kept)) == (min(finite), max(finite))
        assert (kept[0], kept[-1]) == (finite[0], finite[-1])
    if points:
        assert (thin_x[0], thin_x[-1]) == (x[0], x[-1])


@given(points=CURVES, columns=st.integers(2, 20))
def test_thinning_keeps_each_gap_between_two_kept_points(
    points: list[tuple[int, float]], columns: int
) -> None:
    # Unique positions show which points were kept.
    y = [value for _, value in points]
    x = [float(index) for index in range(len(y))]

    thin_x, thin_y = decimate(x, y, columns)

    stayed = [int(place) for place in thin_x[np.isfinite(thin_y)]]
    for first, last in itertools.pairwise(stayed):
        parted = any(math.isnan(value) for value in y[first:last])
        shown = bool(np.isnan(thin_y[(thin_x > first) & (thin_x < last)]).any())
        assert shown == parted


def test_the_lowest_and_highest_point_of_each_column_are_kept_in_order() -> None:
    x = np.arange(1000.0)
    y = np.sin(x)
    y[137], y[141] = 9.0, -9.0  # up before down
    y[737], y[741] = -8.0, 8.0  # down before up

    thin_x, thin_y = decimate(x, y, 11)

    for place in (137, 141, 737, 741):
        assert thin_y[thin_x == place] == y[place]
    for column in range(10):
        inside = (x >= column * 99.9) & (x < (column + 1) * 99.9)
        shown = thin_y[(thin_x >= column * 99.9) & (thin_x < (column + 1) * 99.9)]
        assert (shown.min(), shown.max()) == (y[inside].min(), y[inside].max())


@given(points=CURVES)
def test_a_curve_of_few_points_is_returned_unchanged(points: list[tuple[int, float]]) -> None:
    x, y = [float(point[0]) for point in points], [point[1] for point in points]

    thin_x, thin_y = decimate(x, y, max(2, (len(points) + 1) // 2))

    np.testing.assert_array_equal(thin_x, x)
    np.testing.assert_array_equal(thin_y, y)


def test_a_million_points_with_many_gaps_become_few() -> None:
    y = np.random.default_rng(0).normal(size=1_000_000)
    y[::7] = NAN
    y[-1000:] = math.inf

    thin_x, thin_y = decimate(np.arange(1e6), y, 800)

    assert np.isfinite(thin_y).sum() <= 1600
    assert len(thin_y) <= 3201
    assert thin_x[-1] == 999_999
    assert np.isnan(thin_y[-1])


def test_all_points_at_one_place_keep_their_extremes() -> None:
    _, thin_y = decimate(np.full(100, 3.0), np.arange(100.0), 4)

    assert (thin_y.min(), thin_y.max()) == (0.0, 99.0)


@pytest.mark.parametrize(
    ("x", "y", "columns"), [([0.0], [1.0, 2.0], 8), ([[0.0]], [[1.0]], 8), ([0.0], [1.0], 1)]
)
def test_arrays_that_are_not_a_curve_are_rejected(x: object, y: object, columns: int) -> None:
    with pytest.raises(ValueError, match=r"differ in shape|columns"):
        decimate(np.array(x), np.array(y), columns)


@given(points=CURVES)
def test_the_segments_between_gaps_contain_every_finite_point(
    points: list[tuple[int, float]],
) -> None:
    x, y = [float(index) for index in range(len(points))], [point[1] for point in points]

    stretches = split_at_gaps(x, y)

    places = [int(place) for stretch, _ in stretches for place in stretch]
    assert places == [index for index, value in enumerate(y) if math.isfinite(value)]
    for stretch_x, stretch_y in stretches:
        assert len(stretch_x) > 0
        assert np.all(np.diff(stretch_x) == 1)
        np.testing.assert_array_equal(stretch_y, [y[int(place)] for place in stretch_x])
    ends = [int(stretch[-1]) for stretch, _ in stretches[:-1]]
    assert all(math.isnan(y[end + 1]) for end in ends)
