"""Quantities as people read and write them: counts, sizes, durations."""

import math
import re
from datetime import datetime

_COUNT_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_FACTORS = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d{1,3})?)([kmgbt]?)", re.IGNORECASE)

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+|\d+(?:\.\d+)?", re.IGNORECASE)
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)", re.IGNORECASE)

_SIZE_STEP = 1024
_SIZE_UNITS = ("KiB", "MiB", "GiB", "TiB")


def count_text(value: float) -> str:
    """A count in at most four digits and a unit: 950, 13.2k, 796k, 1.54M."""
    for factor, unit in _COUNT_UNITS:
        # Beyond this the smaller unit would round up to 1000 of itself.
        if abs(value) >= factor * 0.9995:
            scaled = value / factor
            digits = 0 if abs(scaled) >= 99.95 else 1 if abs(scaled) >= 9.995 else 2
            return f"{scaled:.{digits}f}{unit}"
    return f"{value:.0f}"


def duration_text(seconds: float) -> str:
    """A duration in its largest two units: 12s, 1m 57s, 3h 05m, 2d 04h."""
    whole = max(round(seconds), 0)
    for large, small in (("d", "h"), ("h", "m"), ("m", "s")):
        size, part = int(_SECONDS[large]), int(_SECONDS[small])
        if whole >= size:
            return f"{whole // size}{large} {whole % size // part:02}{small}"
    return f"{whole}s"


def age_text(seconds: float) -> str:
    """How long ago, in one unit: 12s, 5m, 3h, 2d."""
    for unit in "dhm":
        if seconds >= _SECONDS[unit]:
            return f"{seconds / _SECONDS[unit]:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def size_text(size: int) -> str:
    """Bytes in binary units: 812 B, 9.1 MiB."""
    if size < _SIZE_STEP:
        return f"{size} B"
    power = min((size.bit_length() - 1) // 10, len(_SIZE_UNITS))
    return f"{size / _SIZE_STEP**power:.1f} {_SIZE_UNITS[power - 1]}"


def date_text(timestamp: float) -> str:
    """Seconds since 1970 in local time: 2026-01-31 09:05:00; empty beyond all calendars."""
    try:
        return datetime.fromtimestamp(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return ""


def parse_number(text: str) -> float | None:
    """A number as people write it (1e6, 10k, 2M, 1.5B), or None; never an infinity or NaN."""
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
