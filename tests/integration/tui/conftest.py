"""Pilots wait for the console to come to rest by what it has left to do, not by the clock."""

import asyncio
from typing import Any, cast

import pytest
from textual._context import active_app

_TURN = 0.005
# Something always ticks in the console; it is never busy for so long.
_LONGEST_REST = 1.0


async def rest(min_sleep: float = 0.0, max_sleep: float = _LONGEST_REST) -> None:
    """Give the console time until it has nothing to do but wait.

    Textual's own rests end when the process computes little, which takes them 20 milliseconds
    before and after each key, and is mistaken where other programs keep the processor busy.
    """
    loop = cast("Any", asyncio.get_running_loop())
    ends = loop.time() + max_sleep
    await asyncio.sleep(max(min_sleep, _TURN))
    while (loop._ready or _has_to_draw()) and loop.time() < ends:
        await asyncio.sleep(_TURN)


def _has_to_draw() -> bool:
    """Whether the screen waits for its next update, of which Textual does 60 a second."""
    app = active_app.get(None)
    if app is None or not app._screen_stack:
        return False
    screen = app.screen
    return bool(
        screen._layout_required
        or screen._scroll_required
        or screen._repaint_required
        or screen._dirty_widgets
        or screen._callbacks
    )


@pytest.fixture(autouse=True)
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("pilot", "app"):
        monkeypatch.setattr(f"textual.{place}.wait_for_idle", rest)
