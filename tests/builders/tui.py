"""The console, driven by a pilot over a tiny project."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from textual.message import Message
from textual.pilot import Pilot

from builders.commands import PATIENCE_SECONDS, Project
from transformer_playground.tui.app import Console

Steps = Callable[[Console, Pilot[Any]], Awaitable[None]]


def with_console(
    project: Project,
    steps: Steps,
    size: tuple[int, int] = (80, 24),
    *,
    hook: Callable[[Message], None] | None = None,
) -> None:
    """Open the console over a project and let `steps` use it; faults of the console are raised.

    Args:
        project: The folder it opens.
        steps: What the user does.
        size: Columns and rows.
        hook: Called with each message before it is handled.
    """

    async def drive() -> None:
        folders = (project.root / name for name in ("experiments", "runs", "sweeps"))
        console = Console(*folders)
        test = console.run_test(size=size, notifications=True, message_hook=hook)
        async with test as pilot:
            await steps(console, pilot)

    asyncio.run(drive())


async def until(
    pilot: Pilot[Any], condition: Callable[[], object], patience: float = PATIENCE_SECONDS
) -> None:
    """Let the console work until `condition` holds, and do what it has to do then.

    A dialog takes keys only once it is mounted, a moment after it is the screen.

    Raises:
        TimeoutError: It never did.
    """
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience:.0f} s for {condition}")
        await pilot.pause(0.02)
    if not pilot.app._exit:
        await pilot.pause(0)


def shown(console: Console) -> str:
    """The text on the screen, line by line."""
    strips = console.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)
