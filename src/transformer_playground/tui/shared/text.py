"""Text helpers of the console: states of runs with glyph and colour role, and shortening."""

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


def state_glyph(state: str) -> str:
    """Symbol of a state of a run or job."""
    return _STATE_GLYPHS.get(state, "?")


def state_text(state: str) -> str:
    """Glyph and name of a state, safe to print."""
    return visible_line(f"{state_glyph(state)} {state}")


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
