"""Live view: curves of the chosen runs, and numbers, samples and log of one of them."""

import time
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.color import Color
from textual.containers import Container
from textual.content import Content
from textual.types import CSSPathType
from textual.widget import Widget
from textual.widgets import Static

from transformer_playground.runs.metrics import AXES, Axis
from transformer_playground.terminal import visible_line
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.charts.chart import Chart
from transformer_playground.tui.charts.series import AXIS_TITLES
from transformer_playground.tui.contrast import dimmed
from transformer_playground.tui.core.job_queue import Update
from transformer_playground.tui.live.chart_series import (
    RunStyle,
    chart_lines,
    run_in_focus,
    runs_to_show,
)
from transformer_playground.tui.live.controls import LiveControls
from transformer_playground.tui.live.follower import LiveFrame, RunFollowers, ViewRequest
from transformer_playground.tui.live.panes import EventLog, SamplesPane, StatsPane
from transformer_playground.tui.live.quantities import QUANTITIES, Quantity, find_quantity
from transformer_playground.tui.live.stats import RunStats
from transformer_playground.tui.themes import series_of

# Updates of a run that trains here trigger a poll at the next tick. Otherwise the wait between
# polls grows from _MIN_WAIT to _MAX_WAIT while nothing changes. Drawing the chart costs most.
_TICK_SECONDS = 0.25
_CHART_SECONDS = 0.5
_MIN_WAIT = 0.5
_MAX_WAIT = 2.0
_WAIT_FACTOR = 1.5
# Maximum share of one core for polling.
_MAX_LOAD = 0.05
_FAINT = 0.5
_TALL = 30


class LiveView(LiveControls):
    """Follows runs during training, by this console or by another process."""

    NAME = "live"
    CSS_PATH: ClassVar[CSSPathType | None] = ["../charts/charts.tcss", "live.tcss"]
    BINDINGS = bindings_for("live")
    AUTO_FOCUS: ClassVar[str | None] = "#live-chart"

    def __init__(self) -> None:
        super().__init__()
        self._quantity: Quantity = QUANTITIES[0]
        self._x: Axis = "step"
        self._run_ids: tuple[str, ...] = ()
        self._titled_run: str | None = None
        self._frame: LiveFrame | None = None
        self._requested: ViewRequest | None = None
        self._is_polling = self._is_woken = self._is_dirty = self._is_chart_stale = False
        self._wait = _MIN_WAIT
        # Times of the monotonic clock. An early poll waits for _rest_until, others for _next_poll.
        self._rest_until = self._next_poll = self._next_chart = 0.0
        self._listed: set[str] = set()
        self.poll_count = 0

    def compose_body(self) -> ComposeResult:
        yield Static(id="live-empty", markup=False)
        with Container(id="live"):
            yield Chart(id="live-chart", classes="pane")
            yield StatsPane()
            with Container(id="live-below"):
                yield SamplesPane()
                yield EventLog()
        yield Static(id="live-notes", markup=False)

    def on_mount(self) -> None:
        remembered = self.context.settings.remembered
        self._followers = RunFollowers(self.context.runs_dir)
        self._quantity = find_quantity(remembered("live", "quantity", "loss"))
        self._x = next(x for x in (remembered("live", "x", "step"), "step") if x in AXES)
        chart = self._chart
        chart.log_y = remembered("live", "log", False)
        chart.smoothing = remembered("live", "smoothing", 0.0)
        self.query_one("#live").set_class(remembered("live", "log_in_front", False), "-log")
        self.watch(chart, "log_y", partial(self._remember, "log"), init=False)
        self.watch(chart, "smoothing", self._smoothing_changed, init=False)
        self._tick_timer = self.set_interval(_TICK_SECONDS, self._tick, pause=True)
        self.context.training_changed.subscribe(self, self._training_changed)
        self.app.theme_changed_signal.subscribe(self, lambda _: self._draw_lines())

    @property
    def _chart(self) -> Chart:
        return self.query_one("#live-chart", Chart)

    def _remember(self, name: str, value: Any) -> None:
        self.context.settings.remember("live", name, value)

    def on_screen_suspend(self) -> None:
        self._tick_timer.pause()
        self._next_poll = 0.0

    def refresh_view(self) -> None:
        """Update the runs to show, and poll them if they changed."""
        self._tick_timer.resume()
        self._is_dirty = True
        self._notify_removed()
        shown = self._runs_to_show()
        self.query_one("#live").display = bool(shown)
        self._show_empty(is_empty=not shown)
        self._run_ids = shown
        if self.chart_request() != self._requested or not self._next_poll:
            self._poll_now()

    def _runs_to_show(self) -> tuple[str, ...]:
        return runs_to_show(self.context.workspace, [*self.context.snapshot.runs])

    @property
    def focus_run(self) -> str | None:
        return run_in_focus(self._run_ids, self.context.workspace)

    def _notify_removed(self) -> None:
        known = set(self.context.snapshot.runs)
        for run_id in (self._listed - known) & set(self._run_ids):
            text = f"{visible_line(run_id)}: its folder was removed."
            self.notify(text, severity="warning", markup=False)
        self._listed = known

    def _show_empty(self, *, is_empty: bool) -> None:
        empty = self.query_one("#live-empty", Static)
        empty.display = is_empty
        if is_empty:
            key = self.key_hint("everywhere.new")
            empty.update(Content(f"No run to follow yet.\n\nPress {key} to train one."))

    def _poll_now(self) -> None:
        self._wait = _MIN_WAIT
        self._poll()

    def _poll(self) -> None:
        if self._is_polling or not self.is_current:
            return
        self._is_polling, self._is_woken = True, False
        self.poll_count += 1
        self._requested = self.chart_request()
        poll = partial(self._poll_in_thread, self._requested)
        self.run_worker(poll, group="followers", thread=True, exit_on_error=False)

    def chart_request(self) -> ViewRequest:
        return ViewRequest(self._run_ids, self.focus_run, self._quantity, self._x)

    def _poll_in_thread(self, request: ViewRequest) -> None:
        frame = self._followers.poll(request)
        self.app.call_from_thread(self._on_frame, frame)

    def _on_frame(self, frame: LiveFrame) -> None:
        self._is_polling = False
        if not self.is_current:
            return
        if frame.changed or self._frame is None or self._frame.request != frame.request:
            self._wait = _MIN_WAIT
            self._show_frame(frame)
        else:
            self._wait = min(_MAX_WAIT, self._wait * _WAIT_FACTOR)
        now = time.monotonic()
        self._rest_until = now + frame.spent / _MAX_LOAD
        self._next_poll = max(now + self._wait, self._rest_until)
        if frame.request != self.chart_request():
            self._poll()

    def _show_frame(self, frame: LiveFrame) -> None:
        before = self._frame.request if self._frame else None
        request, chart = frame.request, self._chart
        self._frame = frame
        with self.app.batch_update():
            if before is None or (before.x, before.quantity) != (request.x, request.quantity):
                chart.action_reset_view()
                chart.set_crosshair(None)
            if before != request:
                chart.x_label = AXIS_TITLES[request.x]
                chart.x_kind = "seconds" if request.x == "time" else "linear"
                chart.title = self._chart_title(frame)
                self._draw_lines()
            else:
                self._is_chart_stale = True
                self._draw_stale_chart()
            self._show_focus(frame)

    def on_resize(self) -> None:
        self._draw_lines()

    def _chart_title(self, frame: LiveFrame) -> str:
        names = [run.run_id for run in frame.runs]
        runs = names[0] if len(names) == 1 else f"{len(names)} runs"
        return f"{frame.request.quantity.title} · {runs}"

    def _draw_lines(self) -> None:
        if self._frame is None:
            return
        lines = chart_lines(
            self._frame,
            self._styles,
            is_smoothed=self._chart.smoothing > 0,
            is_tall=self.size.height >= _TALL,
        )
        self._chart.set_lines(lines)
        self._is_chart_stale = False
        self._next_chart = time.monotonic() + _CHART_SECONDS

    def _draw_stale_chart(self) -> None:
        if self._is_chart_stale and time.monotonic() >= self._next_chart:
            self._draw_lines()

    @property
    def _styles(self) -> dict[str, RunStyle]:
        workspace, theme = self.context.workspace, self.app.current_theme
        background = Color.parse(theme.background or "#000000")
        runs = self._frame.request.runs if self._frame else ()
        styles = {}
        for run_id in runs:
            slot = workspace.slot(run_id)
            # A run that is shown because none is chosen has no slot.
            slot = 0 if slot is None and len(runs) == 1 else slot
            series = series_of(slot)
            colour = series.colour(dark=theme.dark)
            faint = dimmed(Color.parse(colour), background, _FAINT).hex
            styles[run_id] = RunStyle(series.glyph, colour, faint, run_id == workspace.baseline)
        return styles

    def _show_focus(self, frame: LiveFrame) -> None:
        focus, numbers = frame.focus, self.query_one(StatsPane)
        samples, log = self.query_one(SamplesPane), self.query_one(EventLog)
        if focus is None:
            numbers.clear()
            samples.set_samples(())
            log.set_lines(())
            return
        if focus.run_id != self._titled_run:
            # Setting a title redraws its whole pane.
            self._titled_run = focus.run_id
            numbers.border_title = Content(visible_line(focus.run_id))
            log.border_title = Content(f"log · {visible_line(focus.run_id)}")
        numbers.update_sparklines(focus)
        samples.set_samples(focus.samples)
        log.set_lines(focus.log)
        self._show_numbers()

    def _training_changed(self, updates: list[Update]) -> None:
        if not self.is_current:
            return
        self._is_dirty = True
        if self._runs_to_show() != self._run_ids or self.chart_request() != self._requested:
            # Another run trains now.
            self.refresh_view()
        self._is_woken |= any(update.job.run_id in self._run_ids for update in updates)

    def _tick(self) -> None:
        now = time.monotonic()
        if now >= self._next_poll or (self._is_woken and now >= self._rest_until):
            self._poll()
        if self._is_dirty:
            self._is_dirty = False
            self._show_numbers()
        self._draw_stale_chart()

    def _show_numbers(self) -> None:
        focus = self._frame.focus if self._frame else None
        is_known = focus is not None and focus.run_id == self.focus_run
        stats = focus.stats if focus is not None and is_known else RunStats()
        activity = self.activity(stats)
        self.query_one(StatsPane).show(stats, activity)
        self.show_notes(activity, self._frame)

    def _smoothing_changed(self, smoothing: float) -> None:
        self._remember("smoothing", smoothing)
        self._draw_lines()

    def action_quantity(self) -> None:
        place = (QUANTITIES.index(self._quantity) + 1) % len(QUANTITIES)
        self._quantity = QUANTITIES[place]
        self._remember("quantity", self._quantity.key)
        self._poll_now()

    def action_axis(self) -> None:
        self._x = AXES[(AXES.index(self._x) + 1) % len(AXES)]
        self._remember("x", self._x)
        self._poll_now()

    def action_focus_run(self, by: int) -> None:
        run_id = self.focus_run
        if run_id is not None and len(self._run_ids) > 1:
            place = (self._run_ids.index(run_id) + by) % len(self._run_ids)
            self.context.workspace.opened = self._run_ids[place]
            self.query_one(SamplesPane).follow()
            self._poll_now()

    def action_scrub(self, by: int) -> None:
        self._bring_to_front(is_log=False)
        self.query_one(SamplesPane).scrub(by)

    def action_other_pane(self) -> None:
        self._bring_to_front(is_log=not self.query_one("#live").has_class("-log"))

    def _bring_to_front(self, *, is_log: bool) -> None:
        self.query_one("#live").set_class(is_log, "-log")
        self._remember("log_in_front", is_log)

    def action_maximise(self) -> None:
        live = self.query_one("#live")
        panes: list[Widget] = [self._chart, self.query_one(SamplesPane), self.query_one(EventLog)]
        is_large = live.has_class("-max")
        live.set_class(not is_large, "-max")
        largest = next((pane for pane in panes if pane.has_focus), panes[0])
        for pane in panes:
            pane.set_class(not is_large and pane is largest, "-largest")
        self.query_one("#live-below").set_class(
            not is_large and largest is not self._chart, "-largest"
        )

    def action_out(self) -> None:
        if self.query_one("#live").has_class("-max"):
            self.action_maximise()
