"""Numbers of untrusted rows, however many are converted at once."""

import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_playground.runs.column_buffer import numbers

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.floats(),
    st.integers(-(10**99), 10**99),
    st.lists(st.integers(), max_size=2),
    st.sampled_from([10**101, -(10**120), 10**400, 1e100, -1e99]),
)


@settings(max_examples=60)
@given(st.lists(VALUES, max_size=20))
def test_few_values_are_converted_like_many(values: list[Any]) -> None:
    many = numbers([*values, *range(100)])
    few = numbers(values)
    assert few.dtype == many.dtype == np.float64
    np.testing.assert_array_equal(few, many[: len(values)])


def test_only_plausible_numbers_are_kept() -> None:
    kept = numbers([1, 2.5, True, None, "3", math.inf, math.nan, 10**400, -(10**99)])
    np.testing.assert_array_equal(kept, [1, 2.5, *[math.nan] * 6, -1e99])
