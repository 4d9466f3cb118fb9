"""Records as JSON objects: what is read is what was written, and nothing of another type."""

from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.runs.records import RecordFormat


@dataclass(frozen=True)
class Inner:
    total: float = 0.0
    words: tuple[str | None, ...] = ()


@dataclass(frozen=True)
class Outer:
    name: str
    count: int | None
    inner: Inner = field(default_factory=Inner)
    other: Inner | None = None
    is_good: bool = False
    table: dict[str, Any] | None = None


FORMAT = RecordFormat(Outer)
inner = st.builds(
    Inner, st.floats(allow_nan=False, allow_infinity=False), st.tuples(st.none() | st.text())
)
outer = st.builds(
    Outer,
    st.text(),
    st.none() | st.integers(-5, 5),
    inner,
    st.none() | inner,
    st.booleans(),
    st.none() | st.just({"any": [1]}),
)


@given(outer)
def test_a_record_comes_back_from_its_values(record: Outer) -> None:
    again = FORMAT.read(orjson.loads(orjson.dumps(FORMAT.values(record))))
    assert again == record
    # Types are kept, not the sign of a zero, which equals its default.
    assert repr(again) == repr(record).replace("-0.0,", "0.0,")
    assert hash(again.inner) == hash(record.inner)


def test_values_equal_to_their_default_are_left_out() -> None:
    assert FORMAT.values(Outer("a", None)) == {"name": "a", "count": None}
    assert FORMAT.values(Outer("a", 0, Inner(1.0))) == {
        "name": "a",
        "count": 0,
        "inner": {"total": 1.0},
    }


@pytest.mark.parametrize(
    "values",
    [
        None,
        [],
        {},
        {"name": "a"},
        {"name": 1, "count": None},
        {"name": "a", "count": True},
        {"name": "a", "count": 1.0},
        {"name": "a", "count": None, "is_good": 1},
        {"name": "a", "count": None, "is_good": None},
        {"name": "a", "count": None, "inner": None},
        {"name": "a", "count": None, "inner": {"total": "1"}},
        {"name": "a", "count": None, "inner": {"words": [1]}},
        {"name": "a", "count": None, "inner": {"words": "text"}},
        {"name": "a", "count": None, "more": 1},
        {"name": "a", "count": None, "table": []},
    ],
)
def test_missing_unknown_and_mistyped_values_are_refused(values: Any) -> None:
    # A valid object of other types, seen before, makes no difference.
    FORMAT.read({"name": "a", "count": 1})
    for _ in range(2):
        with pytest.raises(ValueError, match=r"Outer|Inner|list"):
            FORMAT.read(values)
