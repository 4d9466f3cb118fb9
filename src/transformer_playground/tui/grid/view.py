"""Grid view: many small charts with one cursor, of all runs or of all quantities of one run."""

import time
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.types import CSSPathType
from textual.widgets import Static

from transformer_playground.runs.lineage import lineages
from transformer_playground.runs.metrics import AXES, Axis
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.charts.chart import SMOOTHINGS
from transformer_playground.tui.charts.grid import ChartGrid, GridCell, GridLook
from transformer_playground.tui.charts.plot import LEFT_OUT_NOTE
from transformer_playground.tui.charts.series import AXIS_TITLES
from transformer_playground.tui.core.job_queue import Update
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.grid.cells import quantity_cells, run_cells
from transformer_playground.tui.grid.grid_state import MOST_RUNS, GridState, count_text
from transformer_playground.tui.live.chart_series import RunStyle
from transformer_playground.tui.live.follower import LiveFrame, ViewRequest
from transformer_playground.tui.live.polling import TICK_SECONDS, FilePoller
from transformer_playground.tui.live.quantities import (
    QUANTITIES,
    Quantity,
    quantities_in,
    remember_quantity,
    remembered_quantity,
)
from transformer_playground.tui.live.run_styles import run_styles
from transformer_playground.tui.shared.view import View
from transformer_playground.tui.themes import PLAIN, SERIES

_REDRAW_SECONDS = 0.5
_NO_RUNS = "No runs to draw yet.\n\nPress {} to train one."


class GridView(View):
    """Charts by run or by quantity."""

    NAME = "grid"
    CSS_PATH: ClassVar[CSSPathType | None] = ["../charts/charts.tcss", "grid.tcss"]
    BINDINGS = bindings_for("grid")

    def __init__(self) -> None:
        super().__init__()
        self.state = GridState()
        self._quantity: Quantity = QUANTITIES[0]
        self._x: Axis = "step"
        self._look = GridLook(shares_y=True)
        # The run whose quantities are shown; None = that under the cursor of the table.
        self._run: str | None = None
        self._quantities: tuple[Quantity, ...] = ()
        self._is_stale = False
        # Time of the monotonic clock.
        self._next_drawing = 0.0

    def compose_body(self) -> ComposeResult:
        yield Static(id="grid-empty", markup=False)
        yield ChartGrid(id="grid-charts", classes="pane")

    def on_mount(self) -> None:
        remembered = self.context.settings.remembered
        self.poller = FilePoller(self, self.request, self._show_frame)
        self._quantity = remembered_quantity(self.context.settings, self.NAME)
        self._x = next(x for x in (remembered("grid", "x", "step"), "step") if x in AXES)
        self._look.log_y = remembered("grid", "log", False)
        self._tick_timer = self.set_interval(TICK_SECONDS, self._tick, pause=True)
        self.context.training_changed.subscribe(self, self._training_changed)
        self.app.theme_changed_signal.subscribe(self, lambda _: self._draw())

    @property
    def charts(self) -> ChartGrid:
        return self.query_one(ChartGrid)

    def on_screen_suspend(self) -> None:
        self._tick_timer.pause()
        self.poller.rest()

    def refresh_view(self) -> None:
        """Update the runs to show, and poll them if they changed."""
        self._tick_timer.resume()
        runs = self.runs()
        self.charts.display = bool(runs)
        empty = self.query_one("#grid-empty", Static)
        empty.display = not runs
        if not runs:
            empty.update(Content(_NO_RUNS.format(self.key_hint("everywhere.new"))))
        elif self.request() != self.poller.requested or self.poller.has_rested:
            self.poller.poll_now()
        else:
            self._draw()

    def runs(self) -> tuple[str, ...]:
        """The first of the selected runs, or the newest of all without a selection."""
        return tuple(self._wanted_runs()[:MOST_RUNS])

    def _wanted_runs(self) -> list[str]:
        workspace = self.context.workspace
        return workspace.chosen() if workspace.selected else [*self.context.snapshot.runs]

    @property
    def _focus(self) -> str | None:
        """The run of the selected chart, or whose quantities are shown."""
        runs = self.runs()
        if not runs:
            return None
        if self.state.mode == "runs":
            return runs[self.state.index(runs)]
        wanted = (self._run, self.context.workspace.training, self.context.workspace.current)
        return next((run_id for run_id in wanted if run_id in runs), runs[0])

    def _keys(self) -> tuple[str, ...]:
        """What has a chart, on all pages."""
        if self.state.mode == "runs":
            return self.runs()
        return tuple(quantity.id for quantity in self._quantities)

    def request(self) -> ViewRequest:
        focus, baseline = self._focus, self.context.workspace.baseline
        if self.state.mode == "quantities":
            own = (focus,) if focus else ()
            before = lineages(own, self.context.snapshot.runs)
            return ViewRequest(own, focus, self._quantity, self._x, self._quantities, before)
        runs = self.runs()
        # The baseline is drawn behind each chart anyway.
        before = lineages(runs, self.context.snapshot.runs, (baseline,))
        if baseline is not None and baseline not in runs:
            runs = (*runs, baseline)
        return ViewRequest(runs, focus, self._quantity, self._x, lineages=before)

    def _show_frame(self, frame: LiveFrame, _: LiveFrame | None) -> None:
        if frame.focus is not None:
            # The next poll reads those that were found now.
            self._quantities = quantities_in(frame.focus.keys)
        self._is_stale = True
        self._draw_stale()

    def _draw_stale(self) -> None:
        if self._is_stale and time.monotonic() >= self._next_drawing:
            self._draw()

    def on_resize(self) -> None:
        self._draw()

    def _draw(self) -> None:
        frame = self.poller.frame
        if frame is None:
            return
        self._is_stale = False
        self._next_drawing = time.monotonic() + _REDRAW_SECONDS
        keys, charts = self._keys(), self.charts
        size = charts.size
        shape = self.state.shape(len(keys), size.width, size.height)
        shown = self.state.on_page(keys, shape[0] * shape[1])
        is_by_run = self.state.mode == "runs"
        look = replace(
            self._look, x_kind="seconds" if self._x == "time" else "linear", shares_y=is_by_run
        )
        selected = keys[self.state.index(keys)] if keys else None
        charts.set_cells(self._cells(frame, shown), shape, look, selected)
        charts.border_title = Content(self._title(frame, len(shown), len(keys)))
        page, pages = self.state.page(keys, shape[0] * shape[1])
        charts.border_subtitle = Content(f"page {page + 1} of {pages}" if pages > 1 else "")

    def _cells(self, frame: LiveFrame, shown: tuple[str, ...]) -> list[GridCell]:
        baseline = self.context.workspace.baseline
        if self.state.mode == "quantities":
            focus = frame.focus
            if focus is None:
                return []
            return quantity_cells(frame, shown, run_styles(self, (focus.run_id,))[focus.run_id])
        styles = run_styles(self, dict.fromkeys((*shown, *([baseline] if baseline else ()))))
        own = {run_id: self._with_colour(style) for run_id, style in styles.items()}
        return run_cells(frame, shown, own, baseline)

    @staticmethod
    def _with_colour(style: RunStyle) -> RunStyle:
        """A run without a glyph of its own is drawn in the colour of text: it is alone here."""
        if style.glyph != PLAIN.glyph:
            return style
        return replace(style, colour=style.plain, glyph=SERIES[0].glyph)

    def _title(self, frame: LiveFrame, shown: int, total: int) -> str:
        context = self.context
        axis = "" if self._x == "step" else f"by {AXIS_TITLES[self._x]}"
        start = LEFT_OUT_NOTE if self.charts.leaves_out else ""
        if self.state.mode == "quantities":
            run_id = frame.focus.run_id if frame.focus else ""
            origins = [
                f"faint: {parents[0].text(context.name_of)}"
                for _, parents in frame.request.lineages
            ]
            name = context.name_of(run_id) if run_id else ""
            parts = ["by quantity", name, axis, start, *origins]
        else:
            count = count_text(shown, len(self._wanted_runs()))
            baseline = context.workspace.baseline
            faint = [f"baseline {context.name_of(baseline)}"] if baseline else []
            faint += ["runs before branches"] if frame.before else []
            behind = f"faint: {' and '.join(faint)}" if faint else ""
            parts = ["by run", frame.request.quantity.title, count, axis, start, behind]
        return " · ".join(part for part in parts if part)

    def _training_changed(self, updates: list[Update]) -> None:
        if self.is_current and any(update.job.run_id in self.runs() for update in updates):
            self.poller.wake()

    def _tick(self) -> None:
        self.poller.tick()
        self._draw_stale()

    def _change(self, state: GridState) -> None:
        """Show another state; what it needs is read first if it is not at hand."""
        self.state = state
        if self.request() != self.poller.requested:
            self.poller.poll_now()
        self._draw()

    def on_chart_grid_selected(self, event: ChartGrid.Selected) -> None:
        self._change(replace(self.state, selected=event.key))

    def action_move(self, across: int, down: int) -> None:
        """Move the crosshair if there is one, else go to another chart."""
        if across and self.charts.crosshair is not None:
            self.charts.move_crosshair(across)
            return
        keys = self._keys()
        columns = self.state.shape(len(keys), *self.charts.size)[1]
        self._change(self.state.moved(keys, across + down * columns))

    def action_page(self, by: int) -> None:
        keys = self._keys()
        rows, columns = self.state.shape(len(keys), *self.charts.size)
        self._change(self.state.moved(keys, by * rows * columns))

    def action_end(self, by: int) -> None:
        keys = self._keys()
        self._change(self.state.moved(keys, by * len(keys)))

    def action_group(self) -> None:
        self._run = self._focus
        state = self.state.toggled()
        # Back at the run whose quantities were shown.
        self._change(replace(state, selected=self._run if state.mode == "runs" else None))

    def action_focus_run(self, by: int) -> None:
        """The next run: its chart, or its quantities."""
        if self.state.mode == "runs":
            self._change(self.state.moved(self.runs(), by))
            return
        runs = self.runs()
        if runs:
            place = runs.index(self._focus) if self._focus in runs else 0
            self._run = runs[(place + by) % len(runs)]
            self._change(self.state)

    def action_size(self, by: int) -> None:
        self._change(self.state.resized(by))

    def action_maximise(self) -> None:
        self._change(replace(self.state, is_large=not self.state.is_large))

    def action_crosshair(self) -> None:
        self.charts.toggle_crosshair()

    def action_show_all(self) -> None:
        self._look.shows_all = not self._look.shows_all
        self._draw()

    def action_log(self) -> None:
        self._look.log_y = not self._look.log_y
        self.context.settings.remember("grid", "log", self._look.log_y)
        self._draw()

    def action_smoothing(self) -> None:
        stronger = [weight for weight in SMOOTHINGS if weight > self._look.smoothing]
        self._look.smoothing = stronger[0] if stronger else SMOOTHINGS[0]
        self._draw()

    def action_axis(self) -> None:
        self._x = AXES[(AXES.index(self._x) + 1) % len(AXES)]
        self.context.settings.remember("grid", "x", self._x)
        self.charts.set_crosshair(None)
        self.poller.poll_now()

    def action_quantity(self) -> None:
        """Choose what the charts of runs show."""
        known = {each.id: each for each in self._quantities or QUANTITIES}
        options = [(name, Content(each.title)) for name, each in known.items()]
        pick = PickScreen("Quantity", options, self._quantity.id)
        self.app.push_screen(pick, lambda name: self._choose_quantity(known.get(name or "")))

    def _choose_quantity(self, quantity: Quantity | None) -> None:
        if quantity is None:
            return
        self._quantity = quantity
        remember_quantity(self.context.settings, self.NAME, quantity)
        if self.state.mode == "quantities":
            self._run = self._focus
            self.state = replace(self.state.toggled(), selected=self._run)
        self.charts.set_crosshair(None)
        self.poller.poll_now()

    def action_pin(self) -> None:
        """Draw this run behind the others, or no longer."""
        focus = self._focus
        if focus is not None:
            self.context.workspace.toggle_baseline(focus)
            self.context.publish_workspace()

    def action_open(self) -> None:
        focus = self._focus
        if focus is not None:
            self.context.publish_workspace(current=focus)
            self.context.workspace.opened = focus
            self.app.switch_mode("live")

    def action_out(self) -> None:
        """Hide the crosshair, else restore the size, else go back to the charts of runs."""
        if self.charts.crosshair is not None:
            self.charts.set_crosshair(None)
        elif self.state.is_large:
            self.action_maximise()
        elif self.state.mode == "quantities":
            self.action_group()
