"""Interactive chart: zoom, pan, crosshair, log axis and smoothing by keys and mouse."""

import math

import numpy as np
from textual import events

from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.charts.axes import Viewport
from transformer_playground.tui.charts.braille import DOTS_ACROSS
from transformer_playground.tui.charts.modes import ChartMode
from transformer_playground.tui.charts.plot import Plot
from transformer_playground.tui.charts.plot_widget import PlotWidget

_ZOOM = 0.75
_WHEEL_ZOOM = 0.85
# A shorter drag does not move the plot up or down, to ignore small hand movements.
_MIN_DRAG_ROWS = 2


class Chart(PlotWidget, can_focus=True):
    """Plot with keys and mouse.

    The mouse moves the crosshair, its wheel zooms x (with ctrl or shift: y), and dragging pans.
    """

    BINDINGS = bindings_for("chart")

    _is_hovering = False
    _drag: tuple[events.MouseEvent, Viewport, Plot] | None = None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape belongs to the chart only while it has a crosshair."""
        if action == "leave_crosshair":
            return self.crosshair is not None and not self._is_hovering
        return super().check_action(action, parameters)

    def action_zoom(self, times: int) -> None:
        """Zoom x in, or out for a negative number, about the crosshair or else the centre."""
        self._zoom_x(_ZOOM**times, self.crosshair)

    def action_zoom_up(self, times: int) -> None:
        self._zoom_y(_ZOOM**times, 0.5)

    def action_pan(self, across: float, up: float) -> None:
        full, plot = self.extent(), self.plot()
        if full is None or plot is None:
            return
        viewport = self.viewport
        if across:
            viewport = viewport.panned_x(full, across)
        if up:
            viewport = viewport.panned_y(plot.y, up)
        self.set_viewport(viewport)

    def action_show_all(self) -> None:
        """Show all points; again, leave out the start as the chart does by itself."""
        is_shown = self.viewport.follows and self.shows_all
        self.set_viewport(Viewport(), shows_all=not is_shown)

    def action_toggle_log(self) -> None:
        self.log_y = not self.log_y

    def action_next_smoothing(self) -> None:
        self.smoothing = ChartMode(smoothing=self.smoothing).smoother.smoothing

    def action_toggle_crosshair(self) -> None:
        """Show the crosshair at the newest visible point, or hide it."""
        if self.crosshair is None or self._is_hovering:
            self._set_crosshair_newest()
        else:
            self.set_crosshair(None)

    def action_leave_crosshair(self) -> None:
        self.set_crosshair(None)

    def action_move_crosshair(self, direction: int) -> None:
        """Move to the next data point at least one dot further right, or left for -1."""
        line, plot = self.leading_line(), self.plot()
        if line is None or plot is None:
            return
        if self.crosshair is None:
            self._set_crosshair_newest()
            return
        self._is_hovering = False
        dot = plot.x.width / max(1, plot.columns * DOTS_ACROSS - 1)
        target = line.next_x(self.crosshair, direction, dot)
        if (target - self.crosshair) * direction > 0:
            self._show(target)
            self.set_crosshair(target)

    def _set_crosshair_newest(self) -> None:
        line, plot = self.leading_line(), self.plot()
        if line is None or plot is None:
            return
        self._is_hovering = False
        x = line.shown.x
        index = int(np.searchsorted(x, plot.x.high, side="right")) - 1
        self.set_crosshair(float(x[max(0, index)]))

    def _show(self, x: float) -> None:
        full, window = self.extent(), self.viewport.x
        if full is None or window is None or window.low <= x <= window.high:
            return
        edge = window.high if x > window.high else window.low
        self.set_viewport(self.viewport.panned_x(full, (x - edge) / window.width))

    def _zoom_x(self, factor: float, about: float | None) -> None:
        full = self.extent()
        if full is None:
            return
        window = self.viewport.x or full
        if about is None or not window.low <= about <= window.high:
            about = window.at(0.5)
        self.set_viewport(self.viewport.zoomed_x(full, factor, about))

    def _zoom_y(self, factor: float, share: float) -> None:
        plot = self.plot()
        if plot is not None:
            about = plot.y.at(share)
            self.set_viewport(self.viewport.zoomed_y(plot.y, factor, about))

    def _place(self, event: events.MouseEvent) -> tuple[float, float] | None:
        """X and relative height under the mouse, None outside the plot."""
        plot, offset = self.plot(), event.get_content_offset(self)
        if plot is None or offset is None:
            return None
        left, top = self.plot_offset()
        column, row = offset.x - left, offset.y - top
        if not (0 <= column < plot.columns and 0 <= row < plot.rows):
            return None
        return plot.x_at(column), 1 - (row + 0.5) / plot.rows

    def on_mouse_down(self, event: events.MouseDown) -> None:
        plot = self.plot()
        if event.button == 1 and plot is not None and self._place(event) is not None:
            self._drag = event, self.viewport, plot
            self.capture_mouse()

    def on_mouse_up(self, _: events.MouseUp) -> None:
        self._drag = None
        self.release_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._drag is not None:
            self._drag_to(event)
            return
        place, line = self._place(event), self.leading_line()
        if place is None or line is None:
            self._end_hover()
            return
        reading = line.nearest(place[0])
        self._is_hovering = True
        self.set_crosshair(place[0] if reading is None else reading.x)

    def on_leave(self, _: events.Leave) -> None:
        self._end_hover()

    def _end_hover(self) -> None:
        if self._is_hovering:
            self._is_hovering = False
            self.set_crosshair(None)

    def _drag_to(self, event: events.MouseMove) -> None:
        full = self.extent()
        if self._drag is None or full is None:
            return
        start, viewport, plot = self._drag
        across = (start.screen_x - event.screen_x) / plot.columns
        rows = event.screen_y - start.screen_y
        moved = viewport.panned_x(full, across)
        if viewport.y is not None or abs(rows) >= _MIN_DRAG_ROWS:
            moved = moved.panned_y(plot.y, rows / plot.rows)
        self.set_viewport(moved)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._wheel(event, _WHEEL_ZOOM)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._wheel(event, 1 / _WHEEL_ZOOM)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        place = self._place(event)
        if place is None or not math.isfinite(place[0]):
            return
        event.stop()
        event.prevent_default()
        if event.ctrl or event.shift:
            self._zoom_y(factor, place[1])
        else:
            self._zoom_x(factor, place[0])
