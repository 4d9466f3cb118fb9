"""Quantities as people read and write them."""

import pytest

from transformer_playground.runs.units import (
    age_text,
    count_text,
    date_text,
    duration_text,
    parse_duration,
    parse_number,
    size_text,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (999.4, "999"),
        (999.9, "1.00k"),
        (1_234, "1.23k"),
        (9_999, "10.0k"),
        (13_150, "13.2k"),
        (99_960, "100k"),
        (795_904, "796k"),
        (999_499, "999k"),
        (999_600, "1.00M"),
        (1_536_000, "1.54M"),
        (-2_500, "-2.50k"),
        (7.2e9, "7.20B"),
        (3e15, "3000T"),
    ],
)
def test_counts_have_few_digits(value: float, text: str) -> None:
    assert count_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0s"),
        (12.4, "12s"),
        (59.6, "1m 00s"),
        (117, "1m 57s"),
        (11_100, "3h 05m"),
        (187_200, "2d 04h"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_ages_have_one_unit() -> None:
    ages = [age_text(seconds) for seconds in (-3, 59, 300, 7_200, 864_000)]
    assert ages == ["0s", "59s", "5m", "2h", "10d"]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (9_583_599, "9.1 MiB"),
        (1 << 30, "1.0 GiB"),
        (1 << 52, "4096.0 TiB"),
    ],
)
def test_sizes_are_binary(size: int, text: str) -> None:
    assert size_text(size) == text


def test_a_moment_beyond_all_calendars_is_empty() -> None:
    assert date_text(1e30) == ""
    assert date_text(0.0).startswith(("1970", "1969"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("-1.5", -1.5),
        (".5", 0.5),
        ("1e6", 1e6),
        ("1E-3", 1e-3),
        ("10k", 1e4),
        ("2M", 2e6),
        ("1.5b", 1.5e9),
        ("3G", 3e9),
        ("1T", 1e12),
    ],
)
def test_numbers_may_have_a_suffix(text: str, value: float) -> None:
    assert parse_number(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "k", "1kk", "nan", "inf", "1e999", "0x10", "1_000", "1 k"])
def test_what_is_no_number_is_none(text: str) -> None:
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("5m", 300),
        ("2h", 7_200),
        ("3d", 259_200),
        ("1h30m", 5_400),
        ("1.5H", 5_400),
        ("2w", 1_209_600),
    ],
)
def test_durations_are_parsed(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5x", "-5m", "5m3", "1e3", "five", "9" * 400])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert parse_duration(text) is None
