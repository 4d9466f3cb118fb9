"""Panes next to the chart of the live view: metrics, samples and event log of one run."""

import time
from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget
from textual.widgets import Static

from transformer_playground.formatting import clock_text
from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.grid import ChartGrid, GridCell, GridLook, shape_that_fits
from transformer_playground.tui.charts.strip_widget import refresh_rows
from transformer_playground.tui.live.follower import SampleText
from transformer_playground.tui.live.stats import (
    LogKind,
    LogLine,
    RunActivity,
    RunStats,
    Tone,
    best_text,
    percent_of,
    stats_line,
    stats_table,
    step_text,
    time_text,
)
from transformer_playground.tui.shared.text import progress_bar, shorten, state_text

_BAR_WIDTH = 10
_MUTED = "$text-muted"
_TONES: dict[Tone, str] = {
    "plain": "$foreground",
    "warning": "$warning",
    "error": "bold $error",
}
_STATE_STYLES = {"running": "bold $accent", "failed": "bold $error", "finished": "$success"}
_NO_SAMPLES, _NO_SAMPLES_YET = "No samples", "No samples yet"
_NO_EVENTS = "No events yet"
_LOG_GLYPHS: dict[LogKind, str] = {
    "evaluation": "●",
    "checkpoint": "◆",
    "warning": "!",
    "status": "▸",
    "error": "✗",
}


class NumberLines(Widget):
    """Lines of text, of which only those that changed are drawn again."""

    def __init__(self, id: str) -> None:  # noqa: A002 - the toolkit's name for it
        super().__init__(id=id)
        self._lines: tuple[Content, ...] = ()

    def set_lines(self, lines: Sequence[Content]) -> None:
        before, self._lines = self._lines, tuple(lines)
        if len(before) != len(lines):
            # All panes are laid out again only then.
            self.refresh(layout=True)
        else:
            refresh_rows(
                self, (not old.is_same(new) for old, new in zip(before, lines, strict=True))
            )

    def render(self) -> Content:
        return Content("\n").join(self._lines)

    def render_line(self, y: int) -> Strip:
        width, style = self.size.width, self.visual_style
        if y >= len(self._lines) or not width:
            return Strip.blank(width, style.rich_style)
        return Visual.to_strips(self, self._lines[y], width, 1, style)[0]


class StatsPane(Container):
    """Numbers of a run and small charts: two lines of text, or where they fit a table and charts.

    Attributes:
        shows_charts: Whether the small charts are shown.
    """

    def __init__(self) -> None:
        super().__init__(id="live-numbers")
        self._shown: tuple[RunStats, RunActivity, str] | None = None

    def compose(self) -> ComposeResult:
        """Both forms of the numbers, of which the stylesheet shows one, and the charts."""
        yield NumberLines("live-lines")
        yield NumberLines("live-table")
        yield ChartGrid(id="live-small")

    def on_resize(self) -> None:
        self._draw()

    @property
    def shows_charts(self) -> bool:
        return bool(self.query_one("#live-small").display)

    def show(self, stats: RunStats, activity: RunActivity) -> None:
        # The age of the newest row is shown to the second.
        age = stats_line(stats, activity, time.time())[-1][1]
        if self._shown != (stats, activity, age):
            self._shown = stats, activity, age
            self._draw()

    def show_charts(self, cells: Sequence[GridCell], look: GridLook) -> None:
        """Show the small charts, as many as fit."""
        charts = self.query_one(ChartGrid)
        charts.set_cells(cells, shape_that_fits(len(cells), charts.size, (len(cells), 1)), look)

    def set_crosshair(self, x: float | None) -> None:
        self.query_one(ChartGrid).set_crosshair(x)

    def clear(self) -> None:
        self._shown = None
        self.query_one(ChartGrid).set_cells((), (1, 1), GridLook())
        for lines in self.query(NumberLines):
            lines.set_lines(())

    def _draw(self) -> None:
        if self._shown is None:
            return
        stats, activity, _ = self._shown
        table = self.query_one("#live-table", NumberLines)
        if table.display:
            table.set_lines(_as_table(stats, activity, max(10, self.content_size.width)))
        else:
            self.query_one("#live-lines", NumberLines).set_lines(_as_lines(stats, activity))


def _state(activity: RunActivity) -> Content:
    style = _STATE_STYLES.get(activity.state, "$foreground")
    return Content.styled(state_text(activity.state) if activity.state else "", style)


def _bar(stats: RunStats, activity: RunActivity, width: int) -> Content:
    percent = percent_of(stats)
    if percent is None:
        return Content("")
    full, empty = progress_bar(percent, width)
    colour = "$accent" if activity.is_running else "$primary"
    return Content.assemble((full, colour), (empty, "$line"), f" {percent:3}%")


def _as_lines(stats: RunStats, activity: RunActivity) -> list[Content]:
    label, left = time_text(stats, activity, time.time())
    first = Content.assemble(
        _state(activity),
        "  ",
        _bar(stats, activity, _BAR_WIDTH),
        "  ",
        step_text(stats),
        (f"  {label} ", _MUTED),
        left,
        ("  best ", _MUTED),
        best_text(stats),
    )
    cells = [
        Content.assemble((f"{name} " if name else "", _MUTED), (visible_line(value), _TONES[tone]))
        for name, value, tone in stats_line(stats, activity, time.time())
    ]
    return [first, Content("  ").join(cells)]


def _as_table(stats: RunStats, activity: RunActivity, width: int) -> list[Content]:
    rows = [_state(activity), _bar(stats, activity, width - 5)]
    for label, value, tone in stats_table(stats, activity, time.time()):
        shown = Content(visible_line(value)).truncate(max(1, width - len(label) - 1), ellipsis=True)
        gap = " " * max(1, width - len(label) - shown.cell_length)
        rows.append(Content.assemble((label, _MUTED), gap, (shown.plain, _TONES[tone])))
    return rows


class SamplesPane(VerticalScroll):
    """Samples of one step; follows the newest step until the user goes to an earlier one."""

    def __init__(self) -> None:
        super().__init__(id="live-samples", classes="pane")
        self._steps: tuple[tuple[int, tuple[SampleText, ...]], ...] = ()
        self._samples: tuple[SampleText, ...] | None = None
        self._at: int | None = None
        self._drawn: tuple[tuple[SampleText, ...], bool] | None = None
        self._has_ended = False

    def compose(self) -> ComposeResult:
        yield Static(_NO_SAMPLES_YET, id="live-sample-text", markup=False)

    def on_mount(self) -> None:
        self._show()

    def set_samples(self, samples: tuple[SampleText, ...], *, has_ended: bool = False) -> None:
        """Show the samples of a run.

        Args:
            samples: All of them.
            has_ended: Whether there will be no more.
        """
        if samples is self._samples and has_ended == self._has_ended:
            return
        self._samples, self._has_ended = samples, has_ended
        # A step can have several samples, because the user can request more.
        ordered = sorted(samples, key=lambda each: each.step)
        self._steps = tuple(
            (step, tuple(texts)) for step, texts in groupby(ordered, key=lambda each: each.step)
        )
        self._show()

    def follow(self) -> None:
        self._at = None

    def scrub(self, by: int) -> None:
        """Go `by` steps with samples forward or back; the last one follows new samples."""
        if not self._steps:
            return
        target = min(max(0, self._index + by), len(self._steps) - 1)
        self._at = None if target == len(self._steps) - 1 else self._steps[target][0]
        self._show()

    @property
    def _index(self) -> int:
        known = [step for step, _ in self._steps]
        return known.index(self._at) if self._at in known else len(known) - 1

    def _show(self) -> None:
        if not self._steps:
            self.border_title = "samples"
            self._draw(())
            return
        index = self._index
        step, texts = self._steps[index]
        is_last = index == len(self._steps) - 1
        place = "newest" if is_last else f"{index + 1} of {len(self._steps)}"
        self.border_title = Content(f"samples · step {step:,} · {place}")
        self._draw(texts)

    def _draw(self, texts: tuple[SampleText, ...]) -> None:
        if self._drawn == (texts, self._has_ended):
            return
        self._drawn = texts, self._has_ended
        parts = [_sample(each) for each in texts]
        none = Content(_NO_SAMPLES if self._has_ended else _NO_SAMPLES_YET)
        text = Content.assemble(("\n╌╌╌\n", _MUTED)).join(parts) if parts else none
        self.query_one("#live-sample-text", Static).update(text)
        self.scroll_home(animate=False)


def _sample(sample: SampleText) -> Content:
    """Prompt and text without the empty lines at the start that many samples have."""
    prompt = sample.prompt.lstrip("\n")
    text = sample.text if prompt else sample.text.lstrip("\n")
    return Content.assemble((prompt, _MUTED), text)


def _dropped_count(before: Sequence[LogLine], now: Sequence[LogLine]) -> int:
    """How many lines were dropped at the start when new ones were added at the end."""
    for count in range(len(before)):
        if before[count:] == now[: len(before) - count]:
            return count
    return len(before)


class EventLog(ScrollView, can_focus=True):
    """Events of a run, one line each; follows the end only while the view is at the end."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"log--{name}" for name in ("muted", "text", "warning", "error")
    }

    def __init__(self) -> None:
        super().__init__(id="live-log", classes="pane")
        # Lines are cut to the width; a horizontal scroll bar would cover the last one.
        self.styles.overflow_x = "hidden"
        self.border_title = Content("events")
        self.lines: tuple[LogLine, ...] = ()
        self._step_width = 1
        self._is_at_end = True

    def set_lines(self, lines: tuple[LogLine, ...]) -> None:
        if lines == self.lines:
            return
        dropped = _dropped_count(self.lines, lines)
        if dropped == len(self.lines):
            # The log of another run.
            self._is_at_end = True
        self.lines = lines
        self._step_width = max((len(f"{line.step:,}") for line in lines), default=1)
        self._place(dropped)
        self.refresh()

    def on_resize(self) -> None:
        self._place()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._is_at_end = new_value >= self.max_scroll_y

    def _place(self, dropped: int = 0) -> None:
        """Go to the end, or keep the lines in view if the user has scrolled up."""
        is_at_end, top = self._is_at_end, self.scroll_y
        self.virtual_size = Size(self.scrollable_content_region.width, len(self.lines))
        if is_at_end:
            self.scroll_end(animate=False, force=True, immediate=True, x_axis=False)
        elif dropped:
            self.scroll_to(y=max(0, top - dropped), animate=False, force=True, immediate=True)
        self._is_at_end = is_at_end

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        row = y + self.scroll_offset.y
        if row < len(self.lines):
            strip = Strip(self._segments(self.lines[row], width))
        elif row == 0:
            strip = Strip([Segment(_NO_EVENTS, self.get_component_rich_style("log--muted"))])
        else:
            strip = Strip([])
        return strip.crop_extend(0, width, self.rich_style)

    def _segments(self, line: LogLine, width: int) -> list[Segment]:
        head = f"{clock_text(line.time)} {f'{line.step:,}'.rjust(self._step_width)} "
        text = shorten(f"{_LOG_GLYPHS[line.kind]} {line.text}", max(1, width - len(head)))
        tone = line.kind if line.kind in ("warning", "error") else "text"
        return [
            Segment(head, self.get_component_rich_style("log--muted")),
            Segment(text, self.get_component_rich_style(f"log--{tone}")),
        ]
