"""Busy time of cores between two readings."""

from collections import namedtuple

import psutil
import pytest

from transformer_playground.system.cores import CoreTimes

FIELDS = namedtuple("FIELDS", ["user", "idle", "iowait", "guest"])


def reading(user: float, idle: float, iowait: float = 0.0, guest: float = 0.0) -> CoreTimes:
    return CoreTimes.of(FIELDS(user, idle, iowait, guest))


def test_waiting_is_idle_and_guests_count_once() -> None:
    earlier, later = reading(1.0, 2.0), reading(user=4.0, idle=7.0, iowait=2.0, guest=1.5)
    assert later.busy_since(earlier) == 3.0
    assert later.share_since(earlier) == 0.3


def test_a_clock_that_stands_still_tells_nothing() -> None:
    assert reading(1.0, 2.0).busy_since(reading(1.0, 2.0)) is None
    assert reading(1.0, 2.0).share_since(reading(2.0, 3.0)) is None


def test_an_idle_time_that_goes_back_counts_as_all_busy() -> None:
    # Linux corrects its sums of idle time now and then.
    assert reading(3.0, 1.5).share_since(reading(1.0, 2.0)) == 1.0


@pytest.mark.parametrize("error", [PermissionError, NotImplementedError, psutil.AccessDenied])
def test_times_that_the_system_refuses_are_unknown(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr("psutil.cpu_times", refuse)
    assert CoreTimes.of_all() is None
