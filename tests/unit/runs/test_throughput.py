"""The median that is carried on is that of all rates, or it is said to be lost."""

import random
import statistics

import pytest

from transformer_playground.runs.throughput import Rates


@pytest.mark.parametrize("seed", range(20))
def test_a_median_that_is_carried_on_is_exact_or_lost(seed: int) -> None:
    source = random.Random(seed)
    seen: list[float] = []
    rates = Rates()
    medians = 0
    while len(seen) < 3_000:
        # Few distinct values, so that many are equal to those at the ends of what is kept.
        centre = source.choice([1_000, 1_000, 1_100])
        more = [float(source.randint(centre - 150, centre)) for _ in range(source.randint(1, 90))]
        seen += more
        rates = rates.with_more(more)
        if rates.has_lost_median:
            assert rates.median is None
            rates = Rates().with_more(seen)
        medians += 1
        assert rates.median == statistics.median(seen)
        assert rates.below + len(rates.kept) + rates.above == len(seen)
        assert len(rates.kept) <= 200
    assert medians > 30


def test_a_pace_that_changes_for_good_loses_the_median() -> None:
    rates = Rates().with_more([1.0 + step / 1_000 for step in range(1_000)])
    assert not rates.with_more([50.0] * 150).has_lost_median
    assert rates.with_more([50.0] * 1_500).has_lost_median


def test_what_is_no_number_is_left_out() -> None:
    rates = Rates().with_more([float("nan"), float("inf"), 1e300, 5.0])
    assert rates.median == 5.0
    assert Rates().median is None
    assert not Rates().has_lost_median
