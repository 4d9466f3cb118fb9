"""Bars, shades and quoted tokens of the text output."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from transformer_playground.formatting import UNKNOWN
from transformer_playground.terminal import visible_line

WIDTH = 80
"""Cells of a line of output."""

_HEIGHTS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"
_SHADES = " ░▒▓█"
_NATS_PER_BIT = math.log(2)


def quoted(text: str, most: int = 14) -> str:
    """A token's text in quotes, in one line and at most `most` cells."""
    line = visible_line(text)
    if cell_len(line) > most:
        line = set_cell_size(line, most - 1) + "…"
    return f"“{line}”"


def named(token: Mapping[str, Any], most: int = 14) -> str:
    """A token of a document: its text, or its id if it has none."""
    return quoted(token["text"], most) if token["text"] else f"#{token['token']}"


def tail(text: str, width: int) -> str:
    """The end of a text in one line of at most `width` cells."""
    line = visible_line(text)
    if cell_len(line) <= width:
        return line
    while cell_len(line) > width - 1:
        line = line[1:]
    return "…" + line


def heights(values: Iterable[float | None], top: float) -> str:
    """One block for each value, from 0 to `top`; a space for None."""
    return "".join(" " if value is None else height(value, top) for value in values)


def height(value: float, top: float) -> str:
    """A block for a value between 0 and `top`."""
    if not math.isfinite(value) or top <= 0:
        return "×" if not math.isfinite(value) else _HEIGHTS[0]
    return _HEIGHTS[min(max(int(value / top * len(_HEIGHTS)), 0), len(_HEIGHTS) - 1)]


def bar(value: float, top: float, width: int) -> str:
    """A horizontal bar of at most `width` cells."""
    if not math.isfinite(value) or top <= 0:
        return ""
    eighths = round(min(max(value / top, 0.0), 1.0) * width * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).rstrip()


def shade(share: float) -> str:
    """A shade for a share between 0 and 1; × beyond, where a patch reverses or overshoots."""
    if not -0.5 <= share <= 1.5:
        return "×"
    return _SHADES[min(max(round(share * (len(_SHADES) - 1)), 0), len(_SHADES) - 1)]


def bits(nats: float | None, decimals: int = 2) -> str:
    """Nats as bits."""
    return UNKNOWN if nats is None else f"{nats / _NATS_PER_BIT:.{decimals}f}"


def percent(share: float | None) -> str:
    """A probability in whole percent, or with more digits below one."""
    if share is None:
        return UNKNOWN
    if share >= 0.095:
        return f"{100 * share:.0f}%"
    return f"{100 * share:.1f}%" if share >= 0.001 else "<0.1%"


def under_text(texts: Sequence[str], marks: Sequence[str], width: int = WIDTH - 2) -> list[str]:
    """Lines of a text, each with a line of marks below: one mark over the width of each token."""
    lines: list[str] = []
    upper = lower = ""
    for text, mark in zip(texts, marks, strict=True):
        shown = visible_line(text)
        if cell_len(shown) > width:
            shown = set_cell_size(shown, width - 1) + "…"
        cells = cell_len(shown)
        if cell_len(upper) + cells > width:
            lines += [f"  {upper}", f"  {lower.rstrip()}"]
            upper = lower = ""
        upper += shown
        lower += mark * cells
    return [*lines, f"  {upper}", f"  {lower.rstrip()}"] if upper else lines
