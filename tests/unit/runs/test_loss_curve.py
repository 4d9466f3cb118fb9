"""The short curve of validation losses that lists show."""

import math

from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.runs.loss_curve import MOST_POINTS, LossCurve


@given(st.lists(st.floats()), st.data())
def test_a_curve_that_grew_equals_one_made_at_once(
    losses: list[float], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(losses)))
    whole = LossCurve().with_more(losses)
    assert LossCurve().with_more(losses[:cut]).with_more(losses[cut:]) == whole
    assert len(whole.losses) <= MOST_POINTS


def test_points_are_evenly_spaced_from_the_first() -> None:
    assert LossCurve().with_more(range(MOST_POINTS)).losses == tuple(range(MOST_POINTS))
    assert LossCurve().with_more(range(MOST_POINTS + 1)).losses == tuple(range(0, 21, 2))
    assert LossCurve().with_more(range(100)).losses == tuple(range(0, 100, 8))


def test_a_loss_that_is_not_finite_is_a_gap() -> None:
    curve = LossCurve().with_more([2.123456, math.nan, math.inf, -math.inf])
    assert curve.losses == (2.123, None, None, None)
