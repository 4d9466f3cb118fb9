"""Grid view: many small charts with one cursor, of each run or of each quantity of the runs."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.types import CSSPathType
from textual.widgets import Static

from transformer_playground.runs.lineage import lineages
from transformer_playground.runs.metrics import AXES, Axis
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.charts.grid import ChartGrid, GridCell, GridLook
from transformer_playground.tui.charts.modes import ChartMode, ChartModes
from transformer_playground.tui.charts.plot import LEFT_OUT_NOTE
from transformer_playground.tui.charts.series import AXIS_TITLES
from transformer_playground.tui.core.job_queue import Update
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.grid.cells import quantity_cells, run_cells
from transformer_playground.tui.grid.grid_state import ORDERS, GridState, count_text
from transformer_playground.tui.grid.shown_runs import ShownRuns
from transformer_playground.tui.live.chart_series import RunStyle
from transformer_playground.tui.live.follower import LiveFrame, ViewRequest
from transformer_playground.tui.live.polling import TICK_SECONDS, FilePoller
from transformer_playground.tui.live.quantities import (
    QUANTITIES,
    Quantity,
    quantities_in,
    remember_quantity,
    remembered_log_charts,
    remembered_quantity,
)
from transformer_playground.tui.live.run_styles import run_styles
from transformer_playground.tui.live.values_screen import ValuesScreen
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
        self.modes = ChartModes()
        self._quantity: Quantity = QUANTITIES[0]
        self._x: Axis = "step"
        self._quantities: tuple[Quantity, ...] = ()
        self._is_stale = False
        # Time of the monotonic clock.
        self._next_drawing = 0.0

    def compose_body(self) -> ComposeResult:
        yield Static(id="grid-empty", markup=False)
        yield ChartGrid(id="grid-charts", classes="pane")

    def on_mount(self) -> None:
        remembered = self.context.settings.remembered
        self.shown_runs = ShownRuns(self.context)
        self.poller = FilePoller(self, self.request, self._show_frame)
        self._quantity = remembered_quantity(self.context.settings, self.NAME)
        self._x = next(x for x in (remembered("grid", "x", "step"), "step") if x in AXES)
        self.modes = ChartModes(remembered_log_charts(self.context.settings, self.NAME))
        order = next(each for each in (remembered("grid", "order", ""), *ORDERS) if each in ORDERS)
        self.state = replace(self.state, order=order)
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

    def key_label(self, action: str, label: str) -> str:
        """What a key leads to from here."""
        if action == "group" and self.state.mode == "quantities":
            return "by run"
        return "to Live" if action == "open" and self.state.is_large else label

    def runs(self) -> tuple[str, ...]:
        """The runs of the charts or curves, in their order."""
        return self.shown_runs.shown(self.state)

    @property
    def run_shown(self) -> str | None:
        return self.shown_runs.focus(self.state)

    def _keys(self) -> tuple[str, ...]:
        """What has a chart, on all pages."""
        if self.state.mode == "runs":
            return self.runs()
        return tuple(quantity.id for quantity in self._quantities)

    @property
    def _quantity_in_focus(self) -> Quantity:
        """The quantity of the selected chart."""
        if self.state.mode == "quantities" and self._quantities:
            return self._quantities[self.state.index(self._keys())]
        return self._quantity

    def request(self) -> ViewRequest:
        focus, runs = self.run_shown, self.runs()
        baseline, known = self.context.workspace.baseline, self.context.snapshot.runs
        if self.state.mode == "quantities":
            before = lineages([focus] if focus else [], known, runs)
            return ViewRequest(
                runs, focus, self._quantity, self._x, self._quantities, before, has_all_beside=True
            )
        # The baseline is drawn behind each chart anyway.
        before = lineages(runs, known, (baseline,))
        if baseline is not None and baseline not in runs:
            runs = (*runs, baseline)
        return ViewRequest(runs, focus, self._quantity, self._x, lineages=before)

    def _show_frame(self, frame: LiveFrame, _: LiveFrame | None) -> None:
        # The next poll reads those that were found now.
        self._quantities = quantities_in(frame.keys)
        self._is_stale = True
        self._draw_stale()

    def _draw_stale(self) -> None:
        if self._is_stale and time.monotonic() >= self._next_drawing:
            self._draw()

    def on_resize(self) -> None:
        # The charts have their new size only then.
        self.call_after_refresh(self._draw)

    def _draw(self) -> None:
        frame = self.poller.frame
        if frame is None:
            return
        self._is_stale = False
        self._next_drawing = time.monotonic() + _REDRAW_SECONDS
        keys, charts = self._keys(), self.charts
        look, shape = self._look(frame), self._shape(len(keys))
        shown = self.state.on_page(keys, shape[0] * shape[1])
        selected = keys[self.state.index(keys)] if keys else None
        charts.set_cells(self._cells(frame, shown), shape, look, selected)
        charts.border_title = Content(self._title(frame, len(shown)))
        page, pages = self.state.page(keys, shape[0] * shape[1])
        turn = self.key_hint("grid.page_down")
        charts.border_subtitle = Content(
            f"page {page + 1} of {pages} · {turn}" if pages > 1 else ""
        )

    def _look(self, frame: LiveFrame) -> GridLook:
        is_by_run = self.state.mode == "runs"
        return GridLook(
            x_kind="seconds" if self._x == "time" else "linear",
            shares_y=is_by_run,
            legend=0 if is_by_run else len(frame.runs),
        )

    def _shape(self, count: int) -> tuple[int, int]:
        """Rows and columns of the page."""
        size, frame = self.charts.size, self.poller.frame
        legend = self.charts.legend_rows(self._look(frame)) if frame and count > 1 else 0
        return self.state.shape(count, size.width, size.height - legend)

    def _cells(self, frame: LiveFrame, shown: tuple[str, ...]) -> list[GridCell]:
        baseline = self.context.workspace.baseline
        if self.state.mode == "quantities":
            ids = [run.run_id for run in frame.runs]
            styles = run_styles(self, ids, on_top=frame.request.focus)
            return quantity_cells(frame, shown, styles, self.modes)
        styles = run_styles(self, dict.fromkeys((*shown, *([baseline] if baseline else ()))))
        own = {run_id: self._with_colour(style) for run_id, style in styles.items()}
        return run_cells(frame, shown, own, baseline, self.modes.of(frame.request.quantity.id))

    @staticmethod
    def _with_colour(style: RunStyle) -> RunStyle:
        """A run without a glyph of its own is drawn in the colour of text: it is alone here."""
        if style.glyph != PLAIN.glyph:
            return style
        return replace(style, colour=style.plain, glyph=SERIES[0].glyph)

    def _title(self, frame: LiveFrame, shown: int) -> str:
        context, request = self.context, frame.request
        axis = "" if self._x == "step" else f"by {AXIS_TITLES[self._x]}"
        start = LEFT_OUT_NOTE if self.charts.leaves_out else ""
        is_selection = self.shown_runs.is_selection
        order = self.state.order_text(is_selection=is_selection) if len(frame.runs) > 1 else ""
        wanted = len(self.shown_runs.wanted(self.state))
        if self.state.mode == "quantities":
            name = context.name_of(request.focus) if request.focus else ""
            count = count_text(len(frame.runs), wanted)
            runs = [count, f"in front: {name}", order] if len(frame.runs) > 1 else [name]
            origins = [
                f"faint: {parents[0].text(context.name_of)}" for _, parents in request.lineages
            ]
            parts = ["by quantity", *runs, axis, start, *origins]
        else:
            count = count_text(shown, wanted)
            baseline = context.workspace.baseline
            faint = [f"baseline {context.name_of(baseline)}"] if baseline else []
            faint += ["runs before branches"] if frame.before else []
            behind = f"faint: {' and '.join(faint)}" if faint else ""
            mode = self.modes.of(request.quantity.id).text
            parts = ["by run", request.quantity.title, mode, count, order, axis, start, behind]
        return " · ".join(part for part in parts if part)

    def _training_changed(self, updates: list[Update]) -> None:
        if self.is_current and any(update.job.run_id in self.runs() for update in updates):
            self.poller.wake()

    def _tick(self) -> None:
        self.poller.tick()
        self._draw_stale()

    def _change(self, state: GridState) -> None:
        """Show another state; what it needs is read first if it is not at hand."""
        self._set_state(state)
        if self.request() != self.poller.requested:
            self.poller.poll_now()
        self._draw()

    def _set_state(self, state: GridState) -> None:
        before, self.state = self.state, state
        if (state.mode, state.is_large) != (before.mode, before.is_large):
            # Keys are called otherwise.
            self.refresh_bindings()

    def on_chart_grid_selected(self, event: ChartGrid.Selected) -> None:
        self._change(replace(self.state, selected=event.key))

    def action_move(self, across: int, down: int) -> None:
        """Move the crosshair if there is one, else go to another chart."""
        if across and self.charts.crosshair is not None:
            self.charts.move_crosshair(across)
            return
        keys = self._keys()
        columns = self._shape(len(keys))[1]
        self._change(self.state.moved(keys, across + down * columns))

    def action_page(self, by: int) -> None:
        keys = self._keys()
        rows, columns = self._shape(len(keys))
        self._change(self.state.moved(keys, by * rows * columns))

    def action_end(self, by: int) -> None:
        keys = self._keys()
        self._change(self.state.moved(keys, by * len(keys)))

    def action_group(self) -> None:
        """By quantity of the run whose chart is selected, or back at the chart of the run."""
        focus, state = self.run_shown, self.state.toggled()
        self._set_state(replace(state, selected=focus if state.mode == "runs" else None))
        if focus is not None and state.mode == "quantities":
            self.shown_runs.choose(focus)
        self._change(self.state)

    def action_focus_run(self, by: int) -> None:
        """The next run: its chart, or its quantities, in front of those of the others."""
        if self.state.mode == "runs":
            self._change(self.state.moved(self.runs(), by))
            return
        self.shown_runs.choose_next(self.state, by)
        self._change(self.state)

    def action_sort(self) -> None:
        self._change(self.state.reordered())
        self.context.settings.remember("grid", "order", self.state.order)

    def action_mark_all(self) -> None:
        self.shown_runs.select_all(self.state)

    def action_unmark(self) -> None:
        self.shown_runs.unselect_all(self.state)

    def action_size(self, by: int) -> None:
        self._change(self.state.resized(by))

    def action_maximise(self) -> None:
        self._change(replace(self.state, is_large=not self.state.is_large))

    def action_crosshair(self) -> None:
        self.charts.toggle_crosshair()

    def action_show_all(self) -> None:
        self._change_mode(lambda mode: replace(mode, shows_all=not mode.shows_all))

    def action_log(self) -> None:
        self._change_mode(lambda mode: replace(mode, log_y=not mode.log_y))
        self.context.settings.remember("grid", "log_charts", self.modes.logarithmic)

    def action_smoothing(self) -> None:
        self._change_mode(lambda mode: mode.smoother)

    def _change_mode(self, change: Callable[[ChartMode], ChartMode]) -> None:
        """Draw the quantity of the selected chart in another way, in all of its charts."""
        self.modes.change(self._quantity_in_focus.id, change)
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
        pick = PickScreen("Quantity", options, self._quantity_in_focus.id)
        self.app.push_screen(pick, lambda name: self._choose_quantity(known.get(name or "")))

    def _choose_quantity(self, quantity: Quantity | None) -> None:
        if quantity is None:
            return
        self._quantity = quantity
        remember_quantity(self.context.settings, self.NAME, quantity)
        self.charts.set_crosshair(None)
        if self.state.mode == "quantities":
            self._change(replace(self.state.toggled(), selected=self.run_shown))
        self.poller.poll_now()

    def action_last_values(self) -> None:
        """List all quantities of the run in focus, or of the selected ones."""
        focus = self.run_shown
        if focus is None:
            return
        runs = self.runs() if self.shown_runs.is_selection else (focus,)
        screen = ValuesScreen(runs, run_styles(self, runs))
        self.app.push_screen(screen, self._go_to)

    def _go_to(self, quantity: Quantity | None) -> None:
        """By quantity its chart, else the charts of runs show it."""
        if quantity is not None and self.state.mode == "quantities":
            self._change(replace(self.state, selected=quantity.id))
        else:
            self._choose_quantity(quantity)

    def action_pin(self) -> None:
        """Draw this run behind the others, or no longer."""
        focus = self.run_shown
        if focus is not None:
            self.context.workspace.toggle_baseline(focus)
            self.context.publish_workspace()

    def action_open(self) -> None:
        """Enlarge the chart; open the run of a large one in Live."""
        focus = self.run_shown
        if not self.state.is_large:
            self.action_maximise()
        elif focus is not None:
            self.context.publish_workspace(current=focus, opened=True)
            self.app.switch_mode("live")

    def action_out(self) -> None:
        """Hide the crosshair, else restore the size, else go back to the charts of runs."""
        if self.charts.crosshair is not None:
            self.charts.set_crosshair(None)
        elif self.state.is_large:
            self.action_maximise()
        elif self.state.mode == "quantities":
            self.action_group()
