"""Numbers and durations in few characters, of a width that does not jump."""

import math

# The widest text that `short` makes of a finite number, its sign included.
SHORT_WIDTH = 8
_UNITS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
_LARGEST, _SMALLEST = 1e15, 1e-3
_MOST_DECIMALS = 3


def short(value: float) -> str:
    """A measured value with four or five digits: 1.4790, 12.35k, 3.00e-4.

    At most `SHORT_WIDTH` characters.
    """
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if abs(value) < _LARGEST:
        # Rounded first, so that 999.996 becomes 1.000k and not 1000.00.
        value = float(f"{value:.4g}") if abs(value) >= 1000 else float(f"{value:.5g}")
    size = abs(value)
    if value == 0:
        return "0.0000"
    if size >= _LARGEST or size < _SMALLEST:
        text = _tidy_exponent(f"{value:.2e}")
        return text if len(text) <= SHORT_WIDTH else _tidy_exponent(f"{value:.0e}")
    for unit, letter in _UNITS:
        if size >= unit:
            return f"{value / unit:.{3 - _exponent(value / unit)}f}{letter}"
    return f"{value:.{4 - max(0, _exponent(value))}f}" if size >= 1 else f"{value:.5f}"


def tick_label(value: float, resolution: float) -> str:
    """A round value on an axis: 0.5, 200, 1.2k, 3M, 2e-5.

    Args:
        value: A multiple of `resolution`, but for rounding.
        resolution: Distance to the next value that must read differently.
    """
    size = abs(value)
    if size < resolution / 2 or value == 0:
        return "0"
    fine = _exponent(resolution)
    if size >= _LARGEST or size < _SMALLEST:
        return _tidy_exponent(f"{value:.{min(17, max(0, _exponent(value) - fine))}e}")
    for unit, letter in _UNITS:
        if size >= unit * (1 - 1e-9):
            decimals = max(0, _exponent(unit) - fine)
            if decimals <= _MOST_DECIMALS:
                return f"{value / unit:.{decimals}f}{letter}"
            break
    return f"{value:,.{min(17, max(0, -fine))}f}"


def exact(value: float) -> str:
    """A position: whole numbers with separators up to a billion, others like `short`."""
    if math.isfinite(value) and value == round(value) and abs(value) < 1e10:
        return f"{value:,.0f}"
    return short(value)


def duration(seconds: float, resolution: float = 1.0) -> str:
    """A time span in units no smaller than needed: 45s, 1h30m, 2d; zero units are left out.

    Args:
        seconds: The span.
        resolution: Seconds to the next span that must read differently.
    """
    if not math.isfinite(seconds):
        return short(seconds)
    if resolution < 1:
        return f"{tick_label(seconds, resolution)}s"
    sign, rest = ("-" if seconds < 0 else ""), round(abs(seconds))
    parts = []
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{letter}")
    return sign + "".join(parts) if parts else "0"


def _exponent(value: float) -> int:
    """The power of ten of the first digit; powers of ten that are a hair short count as reached."""
    return math.floor(math.log10(abs(value)) + 1e-9)


def _tidy_exponent(text: str) -> str:
    mantissa, exponent = text.split("e")
    return f"{mantissa}e{int(exponent)}"
