"""Number formatting for each quantity, and parsing of numbers and durations.

Counts have three digits and a unit (804k), durations and ages their largest units (1h 02m, 5m),
percentages one decimal (12.3%), losses four. Exact whole numbers, such as steps, use `:,`.
"""

import math
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

_T = TypeVar("_T")

UNKNOWN = "–"
"""Placeholder for an unknown value."""
VALUE_WIDTH = 8
"""Maximum width of `value_text`, including the sign."""

_COUNT_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d{1,3})?)([kmgbt]?)", re.IGNORECASE)
_LARGEST, _SMALLEST = 1e15, 1e-3
_LARGEST_FIXED = 1e6
_MOST_DECIMALS = 3
_LARGEST_CHANGE = 2.0
_SMALLEST_P = 0.001

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+|\d+(?:\.\d+)?", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)", re.IGNORECASE)
# Bounds of tenths of seconds, and of durations in days.
_FEW_SECONDS, _MOST_SECONDS = 9.95, 1e12

_SIZE_STEP = 1024
_SIZE_UNITS = ("KiB", "MiB", "GiB", "TiB")


def optional_text(value: _T | None, show: Callable[[_T], str], missing: str = "") -> str:
    """`show(value)`, or `missing` for None."""
    return missing if value is None else show(value)


def names_text(names: Sequence[str], most: int) -> str:
    """The first `most` names, and how many more there are: a, b and 3 more."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def count_text(value: float) -> str:
    """A count of parameters or tokens, or tokens per second: 950, 13.2k, 804k, 1.54M."""
    if not abs(value) < _LARGEST * 1000:
        return value_text(value)
    for factor, unit in _COUNT_UNITS:
        # From here on the smaller unit would round up to 1000.
        if abs(value) >= factor * 0.9995:
            scaled = value / factor
            digits = 0 if abs(scaled) >= 99.95 else 1 if abs(scaled) >= 9.995 else 2
            return f"{scaled:.{digits}f}{unit}"
    return f"{value:.0f}"


def counted(number: int, thing: str) -> str:
    """A number of things whose plural ends in s: 1 line, 9,870 lines."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def rate_text(tokens_per_second: float) -> str:
    """Speed of training or sampling: 5.00k tokens/s."""
    return f"{count_text(tokens_per_second)} tokens/s"


def size_text(size: int) -> str:
    """Bytes in binary units: 812 B, 9.1 MiB."""
    if size < _SIZE_STEP:
        return f"{size} B"
    power = min((size.bit_length() - 1) // 10, len(_SIZE_UNITS))
    return f"{size / _SIZE_STEP**power:.1f} {_SIZE_UNITS[power - 1]}"


def loss_text(value: float) -> str:
    """A loss, or another mean per token or byte, with four decimals: 1.4790."""
    return f"{value:.4f}" if abs(value) < _LARGEST_FIXED else value_text(value)


def perplexity_text(value: float) -> str:
    """A perplexity: 1,234.568, 2.50e9."""
    return f"{value:,.3f}" if value < _LARGEST_FIXED else _tidy_exponent(f"{value:.2e}")


def learning_rate_text(value: float) -> str:
    """A learning rate with three digits: 3.00e-4."""
    return _tidy_exponent(f"{value:.2e}") if value and math.isfinite(value) else f"{value:g}"


def power_text(value: float) -> str:
    """A number with all its digits and the shorter of both forms: 1e-2, 3.5e-4, 0.95, 12."""
    # A whole number may be larger than any float.
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value:g}"
    plain = repr(value).removesuffix(".0")
    power = _tidy_exponent(f"{Decimal(plain).normalize():e}")
    return power if len(power) <= len(plain) else plain


def setting_number_text(value: float) -> str:
    """A number of a setting in about `VALUE_WIDTH` characters: 1e-2, 1e12, 3.272e-4.

    All its digits where they have room, else four.
    """
    text = power_text(value)
    return text if len(text) <= VALUE_WIDTH else power_text(float(f"{value:.3e}"))


def percent_text(share: float) -> str:
    """A fraction as a percentage with one decimal: 12.3%, 87%."""
    return f"{100 * share:.1f}".removesuffix(".0") + "%"


def p_value_text(p_value: float) -> str:
    """A p-value with two digits: 0.074, < 0.001."""
    return f"< {_SMALLEST_P}" if p_value < _SMALLEST_P else f"{p_value:.2g}"


def percent_done(done: int | None, total: int | None) -> int | None:
    """Progress in whole percent, rounded down: never 100 before the end; None if unknown."""
    if done is None or not total:
        return None
    return min(max(100 * done // total, 0), 100)


def change_text(share: float) -> str:
    """A relative change: -24.9%, +100%; the ratio of new to old value beyond +200%: 15.7×."""
    return f"{1 + share:.1f}×" if share > _LARGEST_CHANGE else signed_text(share, percent_text)


def fitting_text(value: float, show: Callable[[float], str]) -> str:
    """`show(value)`, or `value_text(value)` if that is too long for `VALUE_WIDTH`."""
    text = show(value)
    return text if len(text) <= VALUE_WIDTH else value_text(value)


def signed_text(difference: float, show: Callable[[float], str]) -> str:
    """A difference with its sign: +0.0123, -1m 30s."""
    return ("-" if difference < 0 else "+") + show(abs(difference))


def duration_text(seconds: float) -> str:
    """A duration in its largest two units: 1.5s, 12s, 1m 57s, 3h 05m, 2d 04h."""
    if not abs(seconds) < _MOST_SECONDS:
        return f"{value_text(seconds)}s"
    if 0 < seconds < _FEW_SECONDS and not float(seconds).is_integer():
        return f"{seconds:.1f}s"
    return " ".join(_time_parts(max(round(seconds), 0))[:2]) or "0s"


def milliseconds_text(milliseconds: float) -> str:
    """A time of a step: 12.5 ms, 1.25 s."""
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms"
    return f"{milliseconds / 1000:.2f} s"


def age_text(seconds: float) -> str:
    """How long ago, in one unit: 12s, 5m, 3h, 2d."""
    for unit in "dhm":
        if seconds >= _SECONDS[unit]:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def date_text(timestamp: float) -> str:
    """Unix time in local time: 2026-01-31 09:05:00; empty if out of range."""
    return _local_time(timestamp, "%Y-%m-%d %H:%M:%S")


def clock_text(timestamp: float) -> str:
    """Local time of day: 09:05:00; --:--:-- if out of range."""
    return _local_time(timestamp, "%H:%M:%S") or "--:--:--"


def moment_text(timestamp: float, now: float) -> str:
    """Local time of day of a moment in the past, with the day if it was another: Fri 09:05:00."""
    is_today = _local_time(timestamp, "%x") == _local_time(now, "%x")
    return clock_text(timestamp) if is_today else _local_time(timestamp, "%a %H:%M:%S")


def end_text(timestamp: float, now: float) -> str:
    """Local time of day of an end to come, with the day if it is not within a day: Fri 09:05."""
    form = "%H:%M" if timestamp - now < _SECONDS["d"] else "%a %H:%M"
    return _local_time(timestamp, form) or UNKNOWN


def left_text(seconds: float, now: float | None) -> str:
    """A remaining time with the time of day of its end: 1h 05m · 13:05.

    Args:
        now: Unix time; None leaves out the end.
    """
    left = duration_text(seconds)
    return left if now is None else f"{left} · {end_text(now + seconds, now)}"


def value_text(value: float) -> str:
    """Any measured value in at most `VALUE_WIDTH` characters: 1.4790, 12.35k, 3.00e-4."""
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    exact = value
    if abs(value) < _LARGEST:
        # Rounded first, so that 999.996 becomes 1.000k and not 1000.00.
        digits = 4 if abs(value) >= 1000 else 5 if abs(value) >= 100 or abs(value) < 1 else 6
        value = float(f"{value:.{digits}g}")
    size = abs(value)
    if value == 0:
        return "0.0000"
    if size >= _LARGEST or size < _SMALLEST:
        text = _tidy_exponent(f"{value:.2e}")
        return text if len(text) <= VALUE_WIDTH else _tidy_exponent(f"{value:.0e}")
    for unit, letter in _COUNT_UNITS:
        if size >= unit:
            return f"{value / unit:.{3 - _exponent(value / unit)}f}{letter}"
    # Four decimals in the range of losses, as in `loss_text`, without rounding twice.
    return f"{exact:.{2 if size >= 100 else 4 if size >= 0.1 else 5}f}"


def position_text(value: float) -> str:
    """A position on an axis: whole numbers in full up to ten digits, others like `value_text`."""
    if math.isfinite(value) and value == round(value) and abs(value) < 1e10:
        return f"{value:,.0f}"
    return value_text(value)


def tick_text(value: float, resolution: float) -> str:
    """An axis tick label: 0.5, 200, 1.2k, 3M, 2e-5.

    `resolution` is the smallest difference that the label must show; `value` is a multiple of it.
    """
    size = abs(value)
    if size < resolution / 2 or value == 0:
        return "0"
    fine = _exponent(resolution)
    if size >= _LARGEST or size < _SMALLEST:
        return _tidy_exponent(f"{value:.{min(17, max(0, _exponent(value) - fine))}e}")
    for unit, letter in _COUNT_UNITS:
        if size >= unit * (1 - 1e-9):
            decimals = max(0, _exponent(unit) - fine)
            if decimals <= _MOST_DECIMALS:
                return f"{value / unit:.{decimals}f}{letter}"
            break
    return f"{value:,.{min(17, max(0, -fine))}f}"


def tick_duration_text(seconds: float, resolution: float = 1.0) -> str:
    """An axis tick label for a time: 45s, 1h, 1h 30m, 1h 00m 30s.

    `resolution` is the smallest difference that the label must show; `seconds` is a multiple of it.
    """
    if not math.isfinite(seconds):
        return value_text(seconds)
    if resolution < 1:
        return f"{tick_text(seconds, resolution)}s"
    parts = _time_parts(round(abs(seconds)))
    while len(parts) > 1 and parts[-1].startswith("00"):
        parts.pop()
    return ("-" if seconds < 0 and parts else "") + (" ".join(parts) or "0")


def parse_number(text: str) -> float | None:
    """A finite number with an optional unit (1e6, 10k, 2M, 1.5B), or None."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    value = float(match[1]) * _FACTORS[match[2].lower()]
    return value if math.isfinite(value) else None


def parse_duration(text: str) -> float | None:
    """Seconds of a duration (90, 5m, 1h30m, 3d, 2w), or None."""
    if not _DURATION.fullmatch(text):
        return None
    parts = [(float(match[1]), match[2].lower() or "s") for match in _PART.finditer(text)]
    seconds = sum(value * _SECONDS[unit] for value, unit in parts)
    return seconds if math.isfinite(seconds) else None


def _time_parts(seconds: int) -> list[str]:
    """Days, hours, minutes and seconds without leading zero parts: 1h, 02m, 05s."""
    parts: list[str] = []
    for unit in "dhms":
        count, seconds = divmod(seconds, int(_SECONDS[unit]))
        if count or parts:
            parts.append(f"{count:02}{unit}" if parts else f"{count}{unit}")
    return parts


def _local_time(timestamp: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(timestamp).astimezone().strftime(form)
    except (ValueError, OverflowError, OSError):
        return ""


def _exponent(value: float) -> int:
    """The decimal exponent, tolerant of values slightly below a power of ten."""
    return math.floor(math.log10(abs(value)) + 1e-9)


def _tidy_exponent(text: str) -> str:
    mantissa, exponent = text.split("e")
    return f"{mantissa}e{int(exponent)}"
