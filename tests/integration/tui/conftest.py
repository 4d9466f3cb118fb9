"""Pilots wait for the console to come to rest, but not long: something always ticks in it."""

from functools import partial

import pytest
from textual._wait import wait_for_idle

# Textual's own second would make up most of the time these tests take.
_LONGEST_REST = 0.1
# It waits at least once before each key and once after, by its own measure for 20 milliseconds.
_SHORTEST_REST = 0.005


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    short = partial(wait_for_idle, max_sleep=_LONGEST_REST)
    for place in ("pilot", "app"):
        monkeypatch.setattr(f"textual.{place}.wait_for_idle", short)
    monkeypatch.setattr("textual._wait.SLEEP_GRANULARITY", _SHORTEST_REST)
