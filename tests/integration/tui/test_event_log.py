"""The event log: it follows its end until the user scrolls up, and then keeps its place."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from transformer_playground.tui.live.panes import EventLog
from transformer_playground.tui.live.stats import LogLine

ROWS = 8
MOST = 30


class LogApp(App[None]):
    CSS = f"""
    EventLog {{ height: {ROWS}; scrollbar-size-vertical: 1; }}
    EventLog.-low {{ height: {ROWS - 3}; }}
    """

    def compose(self) -> ComposeResult:
        yield EventLog()


Steps = Callable[[EventLog, Pilot[Any]], Awaitable[None]]


def with_log(steps: Steps) -> None:
    async def drive() -> None:
        app = LogApp()
        async with app.run_test(size=(40, 24)) as pilot:
            await steps(app.query_one(EventLog), pilot)

    asyncio.run(drive())


async def fill(log: EventLog, pilot: Pilot[Any], end: int) -> None:
    """Show the lines up to number `end`, as many as a log keeps."""
    long = "and more words than fit into one line of the log"
    lines = [LogLine(0.0, step, "warning", f"line {step} {long}") for step in range(end)]
    log.set_lines(tuple(lines[-MOST:]))
    await pilot.pause()


def visible_steps(log: EventLog) -> list[int]:
    strips = [log.render_line(row).text for row in range(log.scrollable_content_region.height)]
    return [int(text.split("line ")[1].split()[0]) for text in strips if "line " in text]


def test_the_last_line_stays_visible_whatever_the_number_of_lines() -> None:
    async def steps(log: EventLog, pilot: Pilot[Any]) -> None:
        for end in range(1, 3 * MOST):
            await fill(log, pilot, end)
            assert visible_steps(log)[-1] == end - 1
            assert len(visible_steps(log)) == min(end, log.scrollable_content_region.height)
            assert not log.show_horizontal_scrollbar

    with_log(steps)


@pytest.mark.parametrize("end", [20, 29, 45])
def test_a_reader_who_has_scrolled_up_keeps_the_place(end: int) -> None:
    async def steps(log: EventLog, pilot: Pilot[Any]) -> None:
        await fill(log, pilot, end)
        log.scroll_to(y=log.scroll_y - 4, animate=False)
        await pilot.pause()
        top = visible_steps(log)[0]
        for more in range(1, 6):
            await fill(log, pilot, end + more)
            assert visible_steps(log)[0] == top
        log.add_class("-low")
        await pilot.pause()
        assert visible_steps(log)[0] == top
        log.scroll_end(animate=False)
        await pilot.pause()
        await fill(log, pilot, end + 8)
        assert visible_steps(log)[-1] == end + 7

    with_log(steps)


def test_a_smaller_log_still_follows_its_end() -> None:
    async def steps(log: EventLog, pilot: Pilot[Any]) -> None:
        await fill(log, pilot, 20)
        log.add_class("-low")
        await pilot.pause()
        assert visible_steps(log)[-1] == 19

    with_log(steps)


def test_the_log_of_another_run_begins_at_its_end() -> None:
    async def steps(log: EventLog, pilot: Pilot[Any]) -> None:
        await fill(log, pilot, 20)
        log.scroll_home(animate=False)
        await pilot.pause()
        log.set_lines(tuple(LogLine(0.0, step, "status", f"line {step}") for step in range(15)))
        await pilot.pause()
        assert visible_steps(log)[-1] == 14

    with_log(steps)
