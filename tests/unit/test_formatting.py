"""Quantities as people read and write them."""

import math
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_playground.formatting import (
    VALUE_WIDTH,
    age_text,
    change_text,
    clock_text,
    count_text,
    counted,
    date_text,
    duration_text,
    end_text,
    fitting_text,
    learning_rate_text,
    loss_text,
    milliseconds_text,
    optional_text,
    p_value_text,
    parse_duration,
    parse_number,
    percent_done,
    percent_text,
    perplexity_text,
    position_text,
    power_text,
    rate_text,
    setting_number_text,
    signed_text,
    size_text,
    tick_duration_text,
    tick_text,
    value_text,
)


def test_a_large_relative_change_is_a_ratio() -> None:
    shares = (-1.0, -0.249, 0.0, 0.1234, 2.0, 2.01, 14.662)
    expected = ["-100%", "-24.9%", "+0%", "+12.3%", "+200%", "3.0×", "15.7×"]
    assert [change_text(share) for share in shares] == expected


def test_a_value_too_long_for_its_place_is_shortened() -> None:
    assert fitting_text(0.05, loss_text) == "0.0500"
    assert fitting_text(1234.5678, loss_text) == "1.235k"


def test_an_end_to_come_is_a_time_of_day_with_its_day_if_it_is_far() -> None:
    noon = datetime(2026, 1, 30, 12).timestamp()
    assert end_text(noon + 3_900, noon) == "13:05"
    assert end_text(noon + 86_400 * 2, noon) == "Sun 12:00"
    assert end_text(math.inf, noon) == "–"


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
        (804_096, "804k"),
        (1e99, "1.00e99"),
        (math.inf, "inf"),
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
        (0, "0s"),
        (4.25, "4.2s"),
        (9.96, "10s"),
        (10, "10s"),
        (3_599.6, "1h 00m"),
        (3_725, "1h 02m"),
        (1e99, "1.00e99s"),
        (math.nan, "nans"),
    ],
)
def test_durations_have_at_most_two_units(seconds: float, text: str) -> None:
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
    assert clock_text(1e30) == "--:--:--"
    assert date_text(1e9).endswith(clock_text(1e9))


@pytest.mark.parametrize(
    ("done", "total", "percent"),
    [(0, 3, 0), (1, 3, 33), (29, 100, 29), (999, 1000, 99), (1999, 2000, 99), (5, 5, 100)],
)
def test_progress_is_rounded_down(done: int, total: int, percent: int) -> None:
    assert percent_done(done, total) == percent


@given(st.integers(-5, 10**15), st.integers(1, 10**15))
def test_only_what_is_done_is_at_100_percent(done: int, total: int) -> None:
    percent = percent_done(done, total)
    assert percent is not None
    assert 0 <= percent <= 100
    assert (percent == 100) == (done >= total)


def test_shares_have_one_decimal() -> None:
    shares = [percent_text(share) for share in (0, 0.0123, 0.25, 0.8749, 1)]
    assert shares == ["0%", "1.2%", "25%", "87.5%", "100%"]


def test_a_small_p_value_is_only_called_small() -> None:
    assert [p_value_text(p) for p in (0.0009, 0.001, 0.0742, 1)] == [
        *("< 0.001", "0.001", "0.074", "1"),
    ]


def test_losses_have_four_decimals_and_a_diverged_one_few_digits() -> None:
    assert [loss_text(loss) for loss in (1.23456, 12.5, 0.05)] == ["1.2346", "12.5000", "0.0500"]
    assert [loss_text(loss) for loss in (2.5e9, 1e99, math.inf)] == ["2.500B", "1.00e99", "inf"]
    assert loss_text(math.nan) == "nan"


@given(st.floats(0.1, 99.99))
def test_charts_and_tables_write_the_same_loss(loss: float) -> None:
    assert value_text(loss) == loss_text(loss)


def test_rates_and_step_times_have_units() -> None:
    assert rate_text(5_000) == "5.00k tokens/s"
    assert (milliseconds_text(12.46), milliseconds_text(1_250)) == ("12.5 ms", "1.25 s")
    exact = (1e-2, 3.5e-4, 0.95, 12.0, 0.0, -2e-9, float("nan"))
    assert " ".join(map(power_text, exact)) == "1e-2 3.5e-4 0.95 12 0 -2e-9 nan"
    assert power_text(10**400) == "1e400"
    rough = (0.1, 1e12, 0.00032718281828, 0.30000000000000004, 123456.789, float("inf"))
    assert " ".join(map(setting_number_text, rough)) == "0.1 1e12 3.272e-4 0.3 123500 inf"
    assert [learning_rate_text(rate) for rate in (3e-4, 0.1, 0)] == ["3.00e-4", "1.00e-1", "0"]
    assert [perplexity_text(value) for value in (1234.5678, 2.5e9)] == ["1,234.568", "2.50e9"]


def test_differences_have_a_sign() -> None:
    assert signed_text(-0.5, loss_text) == "-0.5000"
    assert signed_text(90, duration_text) == "+1m 30s"
    assert signed_text(0, loss_text) == "+0.0000"


def test_what_is_not_known_is_left_out_or_replaced() -> None:
    assert optional_text(None, loss_text) == ""
    assert optional_text(None, loss_text, "–") == "–"
    assert optional_text(0.0, loss_text, "–") == "0.0000"


@settings(max_examples=300, deadline=None)
@given(st.floats())
def test_a_value_fits_into_its_width(value: float) -> None:
    assert len(value_text(value)) <= VALUE_WIDTH
    tick_duration_text(value)
    for show in (count_text, duration_text, loss_text, learning_rate_text, percent_text):
        assert show(value)
    if math.isfinite(value):
        assert len(position_text(value)) <= 14


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.479, "1.4790"),
        (12.3456, "12.3456"),
        (123.456, "123.46"),
        (99.99999, "100.00"),
        (999.996, "1.000k"),
        (12_345.6, "12.35k"),
        (3e-4, "3.00e-4"),
        (0.00123, "0.00123"),
        (2.5e9, "2.500B"),
        (-1.479, "-1.4790"),
        (0.0, "0.0000"),
        (math.nan, "nan"),
        (-math.inf, "-inf"),
    ],
)
def test_measured_values_have_few_digits(value: float, text: str) -> None:
    assert value_text(value) == text


def test_positions_and_ticks_read_as_people_write_them() -> None:
    positions = [position_text(value) for value in (1940.0, 1234567.0, 0.5)]
    assert positions == ["1,940", "1,234,567", "0.5000"]
    assert tick_text(1_000_010, 5) == "1,000,010"
    ticks = [tick_duration_text(seconds) for seconds in (5430, 3600, 45, 0, -60, 200_000)]
    assert ticks == ["1h 30m 30s", "1h", "45s", "0", "-1m", "2d 07h 33m 20s"]
    assert tick_duration_text(0.25, 0.05) == "0.25s"


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


def test_one_thing_has_no_plural() -> None:
    assert [counted(number, "line") for number in (0, 1, 9_870)] == [
        "0 lines",
        "1 line",
        "9,870 lines",
    ]
