"""Values of untrusted JSON: the right type, or nothing."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from transformer_playground.jsonvalues import as_int, as_number, as_object, as_text, to_jsonable

HOSTILE: list[Any] = [None, True, False, "1", [], {}, math.nan, math.inf, -math.inf, 10**400, 1e101]


@pytest.mark.parametrize("value", [0, -3, 1.5, 1e-300, 10**90])
def test_a_finite_number_is_kept_as_it_is(value: float) -> None:
    found = as_number(value)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("value", HOSTILE, ids=str)
def test_what_no_run_can_have_measured_is_no_number(value: Any) -> None:
    assert as_number(value) is None


def test_a_whole_number_is_neither_true_nor_a_float() -> None:
    assert as_int(7) == 7
    assert [as_int(value) for value in (True, 1.0, "1", None)] == [None] * 4


def test_text_and_tables_are_taken_by_type() -> None:
    assert (as_text("a"), as_text(b"a"), as_text(None)) == ("a", None, None)
    assert as_object({"a": 1}) == {"a": 1}
    others: list[object] = [None, [], "a", 1]
    assert [as_object(value) for value in others] == [{}] * 4


@dataclass(frozen=True)
class Record:
    path: Path
    values: tuple[float, ...]


def test_plain_values_are_what_every_json_reader_takes() -> None:
    document = to_jsonable({1: Record(Path("a/b"), (1.0, math.nan)), "deep": [[-math.inf]]})
    assert document == {"1": {"path": "a/b", "values": [1.0, None]}, "deep": [[None]]}
    json.dumps(document, allow_nan=False)


def test_what_json_lacks_can_be_named_instead() -> None:
    assert to_jsonable([math.nan, -math.inf, 1.0], str) == ["nan", "-inf", 1.0]


def test_what_is_nested_too_deeply_is_cut_off() -> None:
    deep: Any = 1
    for _ in range(10_000):
        deep = [deep]
    assert "…" in json.dumps(to_jsonable(deep), ensure_ascii=False)
