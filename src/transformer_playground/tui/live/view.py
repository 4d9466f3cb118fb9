"""Live view: curves of the chosen runs, and numbers, samples and log of one of them."""

import time
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.types import CSSPathType
from textual.widget import Widget
from textual.widgets import Static

from transformer_playground.runs.lineage import Lineage, lineages
from transformer_playground.runs.metrics import AXES, Axis
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.charts.chart import Chart
from transformer_playground.tui.charts.grid import GridCell, GridLook
from transformer_playground.tui.charts.modes import ChartMode
from transformer_playground.tui.charts.series import AXIS_TITLES, AxisMark
from transformer_playground.tui.core.job_queue import Update
from transformer_playground.tui.core.workspace import run_in_focus, runs_to_show
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.live.chart_series import chart_lines, small_line
from transformer_playground.tui.live.controls import LiveControls
from transformer_playground.tui.live.follower import FocusedRun, LiveFrame, ViewRequest
from transformer_playground.tui.live.marks import MARK_GLYPHS, marks_text
from transformer_playground.tui.live.panes import EventLog, SamplesPane, StatsPane
from transformer_playground.tui.live.polling import TICK_SECONDS, FilePoller
from transformer_playground.tui.live.quantities import (
    BESIDE,
    QUANTITIES,
    Quantity,
    quantities_in,
    remember_quantity,
    remembered_quantity,
)
from transformer_playground.tui.live.run_styles import run_styles
from transformer_playground.tui.live.stats import RunStats
from transformer_playground.tui.live.values_screen import ValuesScreen

# Drawing the chart costs most: at every second tick, together with the numbers of a poll. A little
# less than two ticks, because a poll does not always take equally long.
_CHART_SECONDS = 1.6 * TICK_SECONDS


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
        self._title = ""
        self._is_dirty = self._is_chart_stale = self._shows_age = False
        # Time of the monotonic clock.
        self._next_chart = 0.0
        # The shown runs that have a folder, and their names, which a removed one has no longer.
        self._listed: dict[str, str] = {}
        self._could_control = False

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
        self.poller = FilePoller(self, self.chart_request, self._show_frame)
        self._quantity = remembered_quantity(self.context.settings, self.NAME)
        self._x = next(x for x in (remembered("live", "x", "step"), "step") if x in AXES)
        chart = self._chart
        self.shows_ngram = remembered("live", "ngram", True)
        chart.log_y = remembered("live", "log", False)
        chart.smoothing = remembered("live", "smoothing", 0.0)
        self.query_one("#live").set_class(remembered("live", "log_in_front", False), "-log")
        self.watch(chart, "log_y", partial(self._remember, "log"), init=False)
        self.watch(chart, "smoothing", self._smoothing_changed, init=False)
        self._tick_timer = self.set_interval(TICK_SECONDS, self._tick, pause=True)
        self.context.training_changed.subscribe(self, self._training_changed)
        self.app.theme_changed_signal.subscribe(self, lambda _: self.draw_lines())

    @property
    def _chart(self) -> Chart:
        return self.query_one("#live-chart", Chart)

    def _remember(self, name: str, value: Any) -> None:
        self.context.settings.remember("live", name, value)

    def on_screen_suspend(self) -> None:
        self._tick_timer.pause()
        self.poller.rest()

    def refresh_view(self) -> None:
        """Update the runs to show, and poll them if they changed."""
        self._tick_timer.resume()
        self._is_dirty = True
        self._notify_removed()
        shown = self._runs_to_show()
        self.query_one("#live").display = bool(shown)
        self._show_empty(is_empty=not shown)
        self._run_ids = shown
        if self.poller.frame is None:
            self._chart.set_empty("Reading the runs …")
        self._listed = {
            run_id: self.context.name_of(run_id)
            for run_id in shown
            if run_id in self.context.snapshot.runs
        }
        if self.chart_request() != self.poller.requested or self.poller.has_rested:
            self.poller.poll_now()
        else:
            # Names and colours may have changed.
            self.draw_lines()

    def _fit_below(self) -> None:
        """Give the chart the lines of the samples where these are alone and there are none."""
        pane, frame = self.query_one("#live-below"), self.poller.frame
        focus = frame.focus if frame else None
        has_ended = focus is not None and not focus.samples and self._has_ended(focus.run_id)
        is_alone = not (self.has_class("-wide") or self.has_class("-broad"))
        is_log = self.query_one("#live").has_class("-log")
        pane.set_class(has_ended and is_alone and not is_log, "-bare")

    def _has_ended(self, run_id: str) -> bool:
        row = self.context.snapshot.runs.get(run_id)
        return row is not None and row.state != "running"

    def _runs_to_show(self) -> tuple[str, ...]:
        return runs_to_show(self.context.workspace, [*self.context.snapshot.runs])

    @property
    def focus_run(self) -> str | None:
        return run_in_focus(self._run_ids, self.context.workspace)

    def _notify_removed(self) -> None:
        for run_id, name in self._listed.items():
            if run_id not in self.context.snapshot.runs:
                text = f"{name}: its folder was removed."
                self.notify(text, severity="warning", markup=False)

    def _show_empty(self, *, is_empty: bool) -> None:
        empty = self.query_one("#live-empty", Static)
        empty.display = is_empty
        if is_empty:
            key = self.key_hint("everywhere.new")
            empty.update(Content(f"No run to follow yet.\n\nPress {key} to train one."))

    def chart_request(self) -> ViewRequest:
        beside = BESIDE if self.query_one(StatsPane).shows_charts else ()
        focus = self.focus_run
        return ViewRequest(
            self._run_ids, focus, self._quantity, self._x, beside, self._lineages(focus)
        )

    def _lineages(self, run_id: str | None) -> tuple[Lineage, ...]:
        """What the run in focus continues, unless the chart shows it."""
        branches = [run_id] if run_id else []
        return lineages(branches, self.context.snapshot.runs, self._run_ids)

    def _show_frame(self, frame: LiveFrame, last: LiveFrame | None) -> None:
        before = last.request if last else None
        request, chart = frame.request, self._chart
        with self.app.batch_update():
            if before is None or (before.x, before.quantity) != (request.x, request.quantity):
                chart.reset_view()
                chart.set_crosshair(None)
            if before != request:
                chart.x_kind = "seconds" if request.x == "time" else "linear"
                chart.left_out = request.quantity.left_out
                self.draw_lines()
            else:
                self._is_chart_stale = True
                self._draw_stale_chart()
            self._show_focus(frame)

    def on_resize(self) -> None:
        if self.poller.frame is not None and self.chart_request() != self.poller.requested:
            self.poller.poll_now()
        self._fit_below()
        self.draw_lines()

    def on_chart_crosshair_moved(self, event: Chart.CrosshairMoved) -> None:
        self.query_one(StatsPane).set_crosshair(event.x)

    def _chart_title(self, frame: LiveFrame) -> str:
        names = [self.context.name_of(run.run_id) for run in frame.runs]
        runs = names[0] if len(names) == 1 else f"{len(names)} runs"
        origin = "".join(
            f" · from {parents[0].text(self.context.name_of)}"
            for _, parents in frame.request.lineages
        )
        return f"{frame.request.quantity.title} · {runs}{origin}"

    def draw_lines(self) -> None:
        frame, chart = self.poller.frame, self._chart
        if frame is None:
            return
        styles = run_styles(self, frame.request.runs, on_top=frame.request.focus)
        marks = frame.focus.marks if frame.focus else ()
        chart.x_label, chart.note = AXIS_TITLES[frame.request.x], marks_text(marks)
        chart.title = self._chart_title(frame)
        if all(self._has_ended(run.run_id) for run in frame.runs):
            chart.set_empty("No logged steps")
        else:
            chart.set_empty()
        chart.set_lines(
            chart_lines(
                frame,
                styles,
                is_smoothed=chart.smoothing > 0,
                has_baseline=self.shows_ngram,
            ),
            [AxisMark(mark.x, MARK_GLYPHS[mark.kind]) for mark in marks],
        )
        self._is_chart_stale = False
        self._next_chart = time.monotonic() + _CHART_SECONDS
        if frame.focus is not None:
            self._draw_small_charts(frame, frame.focus)

    def _draw_small_charts(self, frame: LiveFrame, focus: FocusedRun) -> None:
        style = run_styles(self, (focus.run_id,))[focus.run_id]
        chart = self._chart
        cells, mode = [], ChartMode(smoothing=chart.smoothing)
        for quantity, curves in zip(frame.request.beside, focus.beside, strict=True):
            found = [
                small_line(focus.run_id, spec, curve, quantity, style)
                for spec, curve in zip(quantity.curves, curves, strict=True)
                if len(curve.x)
            ]
            if found:
                cells.append(GridCell(quantity.id, quantity.title, found, quantity.left_out, mode))
        look = GridLook(x_kind=chart.x_kind, has_x_axis=False)
        self.query_one(StatsPane).show_charts(cells, look)

    def _draw_stale_chart(self) -> None:
        if self._is_chart_stale and time.monotonic() >= self._next_chart:
            self.draw_lines()

    def _show_focus(self, frame: LiveFrame) -> None:
        focus, numbers = frame.focus, self.query_one(StatsPane)
        samples, log = self.query_one(SamplesPane), self.query_one(EventLog)
        if focus is None:
            numbers.clear()
            samples.set_samples(())
            log.set_lines(())
            return
        name = self.context.name_of(focus.run_id)
        if name != self._title:
            # Setting a title redraws its whole pane.
            self._title = name
            numbers.border_title = Content(name)
            log.border_title = Content(f"events · {name}")
        samples.set_samples(focus.samples, has_ended=self._has_ended(focus.run_id))
        log.set_lines(focus.log)
        self._fit_below()
        self._show_numbers()

    def _training_changed(self, updates: list[Update]) -> None:
        if not self.is_current:
            return
        self._is_dirty = True
        if self._runs_to_show() != self._run_ids or self.chart_request() != self.poller.requested:
            # Another run trains now.
            self.refresh_view()
        if any(update.job.run_id in self._run_ids for update in updates):
            self.poller.wake()

    def _tick(self) -> None:
        polls = self.poller.count
        self.poller.tick()
        # The result of a poll shows the numbers itself, unless it takes longer than a tick.
        if (self._is_dirty or self._shows_age) and self.poller.count == polls:
            self._show_numbers()
        self._draw_stale_chart()

    def _show_numbers(self) -> None:
        self._is_dirty = False
        frame = self.poller.frame
        focus = frame.focus if frame else None
        is_known = focus is not None and focus.run_id == self.focus_run
        stats = focus.stats if focus is not None and is_known else RunStats()
        activity = self.activity(stats, frame.writer if frame and is_known else None)
        self._shows_age = bool(activity.trainer)
        self.query_one(StatsPane).show(stats, activity)
        self.show_notes(activity, frame)
        if self.can_control != self._could_control:
            # The key bar has other keys.
            self._could_control = self.can_control
            self.refresh_bindings()

    def _smoothing_changed(self, smoothing: float) -> None:
        self._remember("smoothing", smoothing)
        self.draw_lines()

    def action_quantity(self) -> None:
        """Choose from all numbers of the rows."""
        frame = self.poller.frame
        known = {each.id: each for each in quantities_in(frame.keys if frame else ()) or QUANTITIES}
        options = [(name, Content(each.title)) for name, each in known.items()]
        pick = PickScreen("Quantity", options, self._quantity.id)
        self.app.push_screen(pick, lambda name: self._choose_quantity(known.get(name or "")))

    def _choose_quantity(self, quantity: Quantity | None) -> None:
        if quantity is not None:
            self._quantity = quantity
            remember_quantity(self.context.settings, self.NAME, quantity)
            self.poller.poll_now()

    def action_last_values(self) -> None:
        """List all quantities of the shown runs."""
        if self._run_ids:
            screen = ValuesScreen(self._run_ids, run_styles(self, self._run_ids))
            self.app.push_screen(screen, self._choose_quantity)

    def action_axis(self) -> None:
        self._x = AXES[(AXES.index(self._x) + 1) % len(AXES)]
        self._remember("x", self._x)
        self.poller.poll_now()

    def action_focus_run(self, by: int) -> None:
        run_id = self.focus_run
        if run_id is not None and len(self._run_ids) > 1:
            place = (self._run_ids.index(run_id) + by) % len(self._run_ids)
            self.context.workspace.opened = self._run_ids[place]
            self.query_one(SamplesPane).follow()
            self.poller.poll_now()

    def action_scrub(self, by: int) -> None:
        self._bring_to_front(is_log=False)
        self.query_one(SamplesPane).scrub(by)

    def action_other_pane(self) -> None:
        self._bring_to_front(is_log=not self.query_one("#live").has_class("-log"))

    def _bring_to_front(self, *, is_log: bool) -> None:
        self.query_one("#live").set_class(is_log, "-log")
        self._remember("log_in_front", is_log)
        self._fit_below()

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
