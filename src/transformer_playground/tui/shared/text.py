"""Text helpers of the console: states with glyph and colour role, bars, titles, shortening."""

import re
from collections.abc import Mapping
from typing import Literal

from rich.cells import cell_len, set_cell_size

from transformer_playground.runs.fields import GLYPHS
from transformer_playground.terminal import visible_line

Role = Literal["title", "label", "value", "muted", "live", "good", "bad", "warn", "accent"]
"""Meaning of a colour; each widget maps it to a style."""

# States of runs, and of jobs that have no run yet.
_STATE_GLYPHS = {**GLYPHS, "paused": "‖", "queued": "◌", "preparing": "◌", "starting": "◌"}
STATE_ROLES: Mapping[str, Role] = {
    "running": "live",
    "paused": "live",
    "preparing": "live",
    "starting": "live",
    "failed": "bad",
    "broken": "bad",
    "interrupted": "warn",
    "finished": "good",
}
# Symbols that `visible_line` shows for control characters -> the characters.
_SYMBOLS = {0x2400 + code: chr(code) for code in range(0x20)} | {0x2421: "\x7f"}
_FULL, _HALF, _EMPTY = "━", "╸", "─"
_LEAST_SAVED = 3
LINE_BREAK = "⏎"
"""Shown for a line break within a line."""
# The longest number that is read: Python refuses to convert a very long one.
_MOST_DIGITS = 12
_WHOLE_NUMBER = re.compile(r"\d+|\d{1,3}([,._ ])\d{3}(?:\1\d{3})*")


def one_line(text: str) -> str:
    """Text as one line that is safe to print, with ⏎ for each line break."""
    return visible_line(text.replace("\n", LINE_BREAK).replace("\t", " "))


def replace_symbols(typed: str) -> str:
    """Replace symbols by the control characters they stand for, such as ␊ by a line break."""
    return typed.translate(_SYMBOLS)


def typed_number(typed: str) -> int | None:
    """A whole number of at most 12 digits, which may have separators of thousands; else None."""
    text = typed.strip()
    digits = re.sub(r"\D", "", text)
    if len(digits) > _MOST_DIGITS or not _WHOLE_NUMBER.fullmatch(text):
        return None
    return int(digits)


def state_glyph(state: str) -> str:
    """Symbol of a state of a run or job."""
    return _STATE_GLYPHS.get(state, "?")


def state_text(state: str) -> str:
    """Glyph and name of a state, safe to print."""
    return visible_line(f"{state_glyph(state)} {state}")


def progress_bar(percent: int, width: int) -> tuple[str, str]:
    """The full and the empty part of a progress bar of `width` cells."""
    halves = percent * 2 * width // 100
    full = _FULL * (halves // 2) + _HALF * (halves % 2)
    return full, _EMPTY * (width - len(full))


def title_lines(title: str, width: int) -> tuple[str, ...]:
    """A title in two lines, broken after a word, if it does not fit and two are clearly shorter."""
    if cell_len(title) <= width:
        return (title,)
    breaks = [place + 1 for place, char in enumerate(title[:-1]) if char in "_ ./" and place]
    if not breaks:
        return (title,)
    widths = {
        place: max(cell_len(title[:place].rstrip()), cell_len(title[place:])) for place in breaks
    }
    best = min(breaks, key=widths.__getitem__)
    if widths[best] + _LEAST_SAVED > cell_len(title):
        return (title,)
    return title[:best].rstrip(), title[best:]


def shorten(text: str, width: int) -> str:
    """At most `width` cells; the end of a longer text is cut off."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def shorten_middle(text: str, width: int) -> str:
    """At most `width` cells; a longer text loses its middle, because names differ at their ends."""
    if cell_len(text) <= width:
        return text
    head = set_cell_size(text, max(0, width - 1) // 2).rstrip()
    return head + shorten_start(text, width - cell_len(head))


def shorten_name(name: str, width: int) -> str:
    """At most `width` cells; a longer name of several words loses the last ones."""
    if cell_len(name) <= width:
        return name
    words = name.removesuffix(" …").split(" ")
    while len(words) > 1:
        words.pop()
        text = " ".join(words) + " …"
        if cell_len(text) <= width:
            return text
    return shorten_middle(words[0], width)


def shorten_start(text: str, width: int) -> str:
    """At most `width` cells; the start of a longer text is cut off."""
    if cell_len(text) <= width:
        return text
    if width < 1:
        return ""
    tail = text[max(0, len(text) - width + 1) :]
    while cell_len(tail) >= width:
        tail = tail[1:]
    return f"…{tail}"
