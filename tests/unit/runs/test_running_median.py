"""The running median is that of all numbers, or reported as unknown."""

import random
import statistics

import pytest

from transformer_playground.jsonvalues import LARGEST
from transformer_playground.runs.metrics import RunningMedian


@pytest.mark.parametrize("seed", range(20))
def test_a_running_median_is_exact_or_unknown(seed: int) -> None:
    source = random.Random(seed)
    seen: list[float] = []
    running = RunningMedian()
    medians = 0
    while len(seen) < 3_000:
        # Few distinct values, so that many equal those at the ends of the stored window.
        centre = source.choice([1_000, 1_000, 1_100])
        more = [float(source.randint(centre - 150, centre)) for _ in range(source.randint(1, 90))]
        seen += more
        running = running.with_more(more)
        if running.has_lost_median:
            assert running.median is None
            running = RunningMedian().with_more(seen)
        medians += 1
        assert running.median == statistics.median(seen)
        assert running.below + len(running.kept) + running.above == len(seen)
        assert len(running.kept) <= 200
    assert medians > 30


def test_a_lasting_change_of_speed_makes_the_median_unknown() -> None:
    running = RunningMedian().with_more([1.0 + step / 1_000 for step in range(1_000)])
    assert not running.with_more([50.0] * 150).has_lost_median
    assert running.with_more([50.0] * 1_500).has_lost_median


def test_values_that_are_not_numbers_are_left_out() -> None:
    running = RunningMedian().with_more([float("nan"), float("inf"), 1e300, 5.0])
    assert running.median == 5.0
    assert RunningMedian().median is None
    assert not RunningMedian().has_lost_median


def test_the_values_around_the_median_are_kept() -> None:
    running = RunningMedian().with_more(range(1, 1002))
    assert (running.below, len(running.kept), running.above) == (400, 200, 401)
    assert (running.kept[0], running.kept[-1], running.median) == (401.0, 600.0, 501.0)
    more = running.with_more([0.0, 401.0, 600.0, 2000.0])
    assert more.below + len(more.kept) + more.above == 1005
    assert more.median == 501.0


def test_the_median_of_an_even_number_of_values_is_the_mean_of_two() -> None:
    assert RunningMedian().with_more([4.0, 1.0]).median == 2.5
    assert RunningMedian().with_more([]) == RunningMedian()


@pytest.mark.parametrize(
    ("below", "above", "median"),
    [(3, 0, None), (2, 0, None), (1, 0, 5.0), (0, 1, 6.0), (0, 3, None)],
)
def test_a_median_just_beside_the_kept_values_is_unknown(
    below: int, above: int, median: float | None
) -> None:
    assert RunningMedian(below, (5.0, 6.0), above).median == median


def test_values_inside_the_kept_ones_are_kept_and_others_only_counted() -> None:
    running = RunningMedian(5, (1.0, 3.0, 5.0), 5)
    assert running.with_more([2.0, 4.0]) == RunningMedian(5, (1.0, 2.0, 3.0, 4.0, 5.0), 5)
    assert running.with_more([0.0, 6.0]) == RunningMedian(6, (1.0, 3.0, 5.0), 6)


def test_the_kept_values_are_the_middle_ones_in_whatever_order_they_came() -> None:
    values = [float(value) for value in range(5000)]
    random.Random(1).shuffle(values)
    running = RunningMedian().with_more(values)
    assert running == RunningMedian(2400, tuple(map(float, range(2400, 2600))), 2400)


def test_the_largest_number_of_all_is_left_out_like_infinity() -> None:
    assert RunningMedian().with_more([LARGEST, -LARGEST]) == RunningMedian()


@pytest.mark.parametrize("seed", range(10))
def test_in_whatever_order_values_come_those_around_the_median_are_kept(seed: int) -> None:
    values = [float(value) for value in range(1_001)]
    random.Random(seed).shuffle(values)
    running = RunningMedian().with_more(values)
    assert running.kept == tuple(float(value) for value in range(400, 600))
