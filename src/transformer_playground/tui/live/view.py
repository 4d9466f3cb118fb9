"""The live view: curves of the chosen runs, the numbers of one of them, its samples and log."""

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

from transformer_playground.runs.series import Axis
from transformer_playground.terminal import visible_line
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.charts.chart import Chart
from transformer_playground.tui.core.job_queue import Update
from transformer_playground.tui.live.chart_series import (
    AXIS_TITLES,
    Paint,
    chart_lines,
    run_in_focus,
    runs_to_show,
)
from transformer_playground.tui.live.controls import LiveControls
from transformer_playground.tui.live.event_log import EventLog
from transformer_playground.tui.live.follower import LiveFrame, RunFollowers, ViewRequest
from transformer_playground.tui.live.samples_pane import SamplesFeed
from transformer_playground.tui.live.state import (
    AXES,
    QUANTITIES,
    Quantity,
    RunStats,
    quantity_named,
)
from transformer_playground.tui.live.stats_pane import LiveNumbers
from transformer_playground.tui.themes import PLAIN, SERIES

# Files are polled so often where training here says that they have grown, else between so often
# and so seldom; drawing the chart costs most.
_TICK_SECONDS = 0.25
_CHART_SECONDS = 0.5
_SHORTEST_WAIT = 0.5
_LONGEST_WAIT = 2.0
_SLOWER = 1.5
# Polling may take this share of a core.
_LARGEST_SHARE = 0.05
_FAINT = 0.5
_TALL = 30


class LiveView(LiveControls):
    """Follows runs as they train, here or elsewhere."""

    NAME = "live"
    CSS_PATH: ClassVar[CSSPathType | None] = ["../charts/charts.tcss", "live.tcss"]
    BINDINGS = bindings_for("live")
    AUTO_FOCUS: ClassVar[str | None] = "#live-chart"

    def __init__(self) -> None:
        super().__init__()
        self._quantity: Quantity = QUANTITIES[0]
        self._x: Axis = "step"
        self._shown: tuple[str, ...] = ()
        self._wanted: str | None = None
        self._titled: str | None = None
        self._frame: LiveFrame | None = None
        self._is_looking = self._is_woken = self._is_dirty = self._is_chart_old = False
        self._wait = _SHORTEST_WAIT
        # By the monotonic clock; a poll that is asked for waits for the first, others for the next.
        self._rest_until = self._next_look = self._next_chart = 0.0
        self._listed: set[str] = set()
        self.looks = 0

    def compose_body(self) -> ComposeResult:
        """Chart, numbers, and below them samples and log."""
        yield Static(id="live-empty", markup=False)
        with Container(id="live"):
            yield Chart(id="live-chart", classes="pane")
            yield LiveNumbers()
            with Container(id="live-below"):
                yield SamplesFeed()
                yield EventLog()
        yield Static(id="live-word", markup=False)

    def on_mount(self) -> None:
        """Take over what the settings remember, and follow training."""
        remembered = self.context.settings.remembered
        self._followers = RunFollowers(self.context.runs_dir)
        self._quantity = quantity_named(remembered("live", "quantity", "loss"))
        self._x = next(x for x in (remembered("live", "x", "step"), "step") if x in AXES)
        chart = self._chart
        chart.log_y = remembered("live", "log", False)
        chart.smoothing = remembered("live", "smoothing", 0.0)
        self.query_one("#live").set_class(remembered("live", "log_in_front", False), "-log")
        self.watch(chart, "log_y", partial(self._remember, "log"), init=False)
        self.watch(chart, "smoothing", self._smoothing_changed, init=False)
        self._tick_timer = self.set_interval(_TICK_SECONDS, self._tick, pause=True)
        self.context.training_changed.subscribe(self, self._training_changed)

    @property
    def _chart(self) -> Chart:
        return self.query_one("#live-chart", Chart)

    def _remember(self, name: str, value: Any) -> None:
        self.context.settings.remember("live", name, value)

    # Coming on show, and leaving

    def on_screen_suspend(self) -> None:
        """Nothing is done for a view that nobody sees."""
        self._tick_timer.pause()
        self._next_look = 0.0

    def refresh_view(self) -> None:
        """See which runs to show, and look at them if they are others than before."""
        self._tick_timer.resume()
        self._is_dirty = True
        self._leave_gone()
        shown = runs_to_show(self.context.workspace, self._training, [*self.context.snapshot.runs])
        self.query_one("#live").display = bool(shown)
        self._show_empty(is_empty=not shown)
        if shown != self._shown or not self._next_look:
            self._shown = shown
            self._look_now()

    @property
    def _training(self) -> str | None:
        job = self.context.training.active
        return job.run_id if job else None

    @property
    def focus_run(self) -> str | None:
        """The run whose numbers, samples and log are shown."""
        current = self.context.workspace.current
        return run_in_focus(self._shown, self._wanted, current, self._training)

    def _leave_gone(self) -> None:
        """Say which of the runs on show have vanished."""
        known = set(self.context.snapshot.runs)
        for run_id in self._listed - known:
            if run_id in self._shown:
                self.say_gone(run_id)
        self._listed = known

    def _show_empty(self, *, is_empty: bool) -> None:
        empty = self.query_one("#live-empty", Static)
        empty.display = is_empty
        if is_empty:
            key = self.key_hint("everywhere.new")
            empty.update(Content(f"No run to follow yet.\n\n{key} trains one."))

    # Reading files

    def _look_now(self) -> None:
        self._wait = _SHORTEST_WAIT
        self._look()

    def _look(self) -> None:
        if self._is_looking or not self.is_current:
            return
        self._is_looking, self._is_woken = True, False
        self.looks += 1
        look = partial(self._look_in_thread, self.chart_request())
        self.run_worker(look, group="followers", thread=True, exit_on_error=False)

    def chart_request(self) -> ViewRequest:
        """What the chart is to show."""
        return ViewRequest(self._shown, self.focus_run, self._quantity, self._x)

    def _look_in_thread(self, request: ViewRequest) -> None:
        frame = self._followers.poll(request)
        self.app.call_from_thread(self._take, frame)

    def _take(self, frame: LiveFrame) -> None:
        self._is_looking = False
        if not self.is_current:
            return
        if frame.changed or self._frame is None or self._frame.request != frame.request:
            self._wait = _SHORTEST_WAIT
            self._show_frame(frame)
        else:
            self._wait = min(_LONGEST_WAIT, self._wait * _SLOWER)
        now = time.monotonic()
        self._rest_until = now + frame.spent / _LARGEST_SHARE
        self._next_look = max(now + self._wait, self._rest_until)
        if frame.request != self.chart_request():
            self._look()

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
                self._is_chart_old = True
                self._draw_old_chart()
            self._show_focus(frame)

    def on_resize(self) -> None:
        """The legend may have room for more names, or for fewer."""
        self._draw_lines()

    def _chart_title(self, frame: LiveFrame) -> str:
        names = [run.run_id for run in frame.runs]
        whose = names[0] if len(names) == 1 else f"{len(names)} runs"
        return f"{frame.request.quantity.title} · {whose}"

    def _draw_lines(self) -> None:
        if self._frame is None:
            return
        smoothed = self._chart.smoothing > 0
        lines = chart_lines(
            self._frame,
            self._paints,
            is_smoothed=smoothed,
            has_room=self.size.height >= _TALL,
        )
        self._chart.set_lines(lines)
        self._is_chart_old = False
        self._next_chart = time.monotonic() + _CHART_SECONDS

    def _draw_old_chart(self) -> None:
        if self._is_chart_old and time.monotonic() >= self._next_chart:
            self._draw_lines()

    @property
    def _paints(self) -> dict[str, Paint]:
        workspace, theme = self.context.workspace, self.app.current_theme
        background = Color.parse(theme.background or "#000000")
        runs = self._frame.request.runs if self._frame else ()
        paints = {}
        for run_id in runs:
            slot = workspace.slot(run_id)
            # A run that is shown because none is chosen has no slot, and no need of one.
            slot = 0 if slot is None and len(runs) == 1 else slot
            series = PLAIN if slot is None else SERIES[slot]
            colour = series.colour(dark=theme.dark)
            faint = Color.parse(colour).blend(background, _FAINT).hex
            paints[run_id] = Paint(series.glyph, colour, faint, run_id == workspace.baseline)
        return paints

    def _show_focus(self, frame: LiveFrame) -> None:
        focus, numbers = frame.focus, self.query_one(LiveNumbers)
        feed, log = self.query_one(SamplesFeed), self.query_one(EventLog)
        if focus is None:
            numbers.clear()
            feed.take(())
            log.set_lines(())
            return
        if focus.run_id != self._titled:
            # A title that is set is drawn anew, with all that it is the title of.
            self._titled = focus.run_id
            numbers.border_title = Content(visible_line(focus.run_id))
            log.border_title = Content(f"log · {visible_line(focus.run_id)}")
        numbers.take(focus)
        feed.take(focus.samples)
        log.set_lines(focus.log)
        self._show_numbers()

    # What training says

    def _training_changed(self, updates: list[Update]) -> None:
        if not self.is_current:
            return
        if self.focus_run is None:
            self.refresh_view()
            return
        self._is_dirty = True
        self._is_woken |= any(update.job.run_id in self._shown for update in updates)

    def _tick(self) -> None:
        now = time.monotonic()
        if now >= self._next_look or (self._is_woken and now >= self._rest_until):
            self._look()
        if self._is_dirty:
            self._is_dirty = False
            self._show_numbers()
        self._draw_old_chart()

    def _show_numbers(self) -> None:
        focus = self._frame.focus if self._frame else None
        is_known = focus is not None and focus.run_id == self.focus_run
        stats = focus.stats if focus is not None and is_known else RunStats()
        activity = self.activity(stats)
        self.query_one(LiveNumbers).show(stats, activity)
        self.show_word(activity, self._frame)

    # Keys

    def _smoothing_changed(self, smoothing: float) -> None:
        self._remember("smoothing", smoothing)
        self._draw_lines()

    def action_quantity(self) -> None:
        """Show the next quantity."""
        place = (QUANTITIES.index(self._quantity) + 1) % len(QUANTITIES)
        self._quantity = QUANTITIES[place]
        self._remember("quantity", self._quantity.key)
        self._look_now()

    def action_axis(self) -> None:
        """Draw along the next axis."""
        self._x = AXES[(AXES.index(self._x) + 1) % len(AXES)]
        self._remember("x", self._x)
        self._look_now()

    def action_focus_run(self, by: int) -> None:
        """Show the numbers of the next run in the chart."""
        run_id = self.focus_run
        if run_id is not None and len(self._shown) > 1:
            place = (self._shown.index(run_id) + by) % len(self._shown)
            self._wanted = self._shown[place]
            self.query_one(SamplesFeed).follow()
            self._look_now()

    def action_scrub(self, by: int) -> None:
        """Show samples of an earlier step, or a later one."""
        self._bring_to_front(is_log=False)
        self.query_one(SamplesFeed).scrub(by)

    def action_other_pane(self) -> None:
        """Put the log in front of the samples, or the other way round."""
        self._bring_to_front(is_log=not self.query_one("#live").has_class("-log"))

    def _bring_to_front(self, *, is_log: bool) -> None:
        self.query_one("#live").set_class(is_log, "-log")
        self._remember("log_in_front", is_log)

    def action_maximise(self) -> None:
        """Give the focused pane all the room, or take it back."""
        live = self.query_one("#live")
        panes: list[Widget] = [self._chart, self.query_one(SamplesFeed), self.query_one(EventLog)]
        is_large = live.has_class("-max")
        live.set_class(not is_large, "-max")
        largest = next((pane for pane in panes if pane.has_focus), panes[0])
        for pane in panes:
            pane.set_class(not is_large and pane is largest, "-largest")
        self.query_one("#live-below").set_class(
            not is_large and largest is not self._chart, "-largest"
        )

    def action_out(self) -> None:
        """Leave the large pane."""
        if self.query_one("#live").has_class("-max"):
            self.action_maximise()
