"""A chart with its keys and its mouse: zoom, pan, crosshair, log axis, smoothing."""

import math

import numpy as np
from textual import events

from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.charts.axes import Viewport
from transformer_playground.tui.charts.braille import DOTS_ACROSS
from transformer_playground.tui.charts.braille_picture import Picture
from transformer_playground.tui.charts.canvas import HIGHEST_SMOOTHING, ChartSurface

SMOOTHINGS = (0.0, 0.6, 0.9, 0.97, HIGHEST_SMOOTHING)
_ZOOM = 0.75
_WHEEL_ZOOM = 0.85
# A drag moves the picture up or down only from here on: hands are not that steady.
_DRAG_ROWS = 2


class Chart(ChartSurface, can_focus=True):
    """Lines over a common x axis, to be looked at closely.

    Keys come from the table of bindings, place "chart". The mouse points with the crosshair, zooms
    with its wheel (with ctrl or shift: from bottom to top) and pans by dragging.
    """

    BINDINGS = bindings_for("chart")

    _is_hovering = False
    _drag: tuple[events.MouseEvent, Viewport, Picture] | None = None

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape is the chart's own only while there is a crosshair to take away."""
        if action == "leave_crosshair":
            return self.crosshair is not None and not self._is_hovering
        return super().check_action(action, parameters)

    def action_zoom(self, times: int) -> None:
        """Zoom in (or out, below zero) about the crosshair, or else the middle."""
        self._zoom_across(_ZOOM**times, self.crosshair)

    def action_zoom_up(self, times: int) -> None:
        """Zoom in (or out, below zero) from bottom to top."""
        self._zoom_up(_ZOOM**times, 0.5)

    def action_pan(self, across: float, up: float) -> None:
        """Move what is on show by shares of its size."""
        full, picture = self.extent(), self.picture()
        if full is None or picture is None:
            return
        viewport = self.viewport
        if across:
            viewport = viewport.panned_across(full, across)
        if up:
            viewport = viewport.panned_up(picture.y, up)
        self.look_at(viewport)

    def action_reset_view(self) -> None:
        """Show everything, and follow new data."""
        self.look_at(Viewport())

    def action_toggle_log(self) -> None:
        """Switch between a linear and a log axis."""
        self.log_y = not self.log_y

    def action_next_smoothing(self) -> None:
        """Smooth more; after the most, not at all."""
        stronger = [weight for weight in SMOOTHINGS if weight > self.smoothing]
        self.smoothing = stronger[0] if stronger else SMOOTHINGS[0]

    def action_toggle_crosshair(self) -> None:
        """Point at the newest point on show, or at nothing."""
        if self.crosshair is None or self._is_hovering:
            self._point_at_newest()
        else:
            self.point_at(None)

    def action_leave_crosshair(self) -> None:
        """Point at nothing."""
        self.point_at(None)

    def action_move_crosshair(self, direction: int) -> None:
        """Go to the next data point that lies at least a dot further right, or left below zero."""
        line, picture = self.leading_line(), self.picture()
        if line is None or picture is None:
            return
        if self.crosshair is None:
            self._point_at_newest()
            return
        self._is_hovering = False
        x = line.shown.x
        dot = picture.x.width / max(1, picture.columns * DOTS_ACROSS - 1)
        if direction > 0:
            index = int(np.searchsorted(x, self.crosshair + dot, side="left"))
            # Sparse points lie further apart than a dot; the next one is meant then, too.
            index = max(index, int(np.searchsorted(x, self.crosshair, side="right")))
        else:
            index = int(np.searchsorted(x, self.crosshair - dot, side="right")) - 1
        target = float(x[min(max(index, 0), len(x) - 1)])
        if (target - self.crosshair) * direction > 0:
            self._show(target)
            self.point_at(target)

    def _point_at_newest(self) -> None:
        line, picture = self.leading_line(), self.picture()
        if line is None or picture is None:
            return
        self._is_hovering = False
        x = line.shown.x
        index = int(np.searchsorted(x, picture.x.high, side="right")) - 1
        self.point_at(float(x[max(0, index)]))

    def _show(self, x: float) -> None:
        """Pan so far that a position comes into view."""
        full, window = self.extent(), self.viewport.x
        if full is None or window is None or window.low <= x <= window.high:
            return
        edge = window.high if x > window.high else window.low
        self.look_at(self.viewport.panned_across(full, (x - edge) / window.width))

    def _zoom_across(self, factor: float, about: float | None) -> None:
        full = self.extent()
        if full is None:
            return
        window = self.viewport.x or full
        if about is None or not window.low <= about <= window.high:
            about = window.at(0.5)
        self.look_at(self.viewport.zoomed_across(full, factor, about))

    def _zoom_up(self, factor: float, share: float) -> None:
        picture = self.picture()
        if picture is not None:
            about = picture.y.at(share)
            self.look_at(self.viewport.zoomed_up(picture.y, factor, about))

    def _place(self, event: events.MouseEvent) -> tuple[float, float] | None:
        """Position across and share of the way up under the mouse; None off the picture."""
        picture, offset = self.picture(), event.get_content_offset(self)
        if picture is None or offset is None:
            return None
        left, top = self.area()
        column, row = offset.x - left, offset.y - top
        if not (0 <= column < picture.columns and 0 <= row < picture.rows):
            return None
        return picture.x_at(column), 1 - (row + 0.5) / picture.rows

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Take hold of the picture."""
        picture = self.picture()
        if event.button == 1 and picture is not None and self._place(event) is not None:
            self._drag = event, self.viewport, picture
            self.capture_mouse()

    def on_mouse_up(self, _: events.MouseUp) -> None:
        """Let go of the picture."""
        self._drag = None
        self.release_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag the picture, or point at what is under the mouse."""
        if self._drag is not None:
            self._drag_to(event)
            return
        place, line = self._place(event), self.leading_line()
        if place is None or line is None:
            self._end_hover()
            return
        reading = line.nearest(place[0])
        self._is_hovering = True
        self.point_at(place[0] if reading is None else reading.x)

    def on_leave(self, _: events.Leave) -> None:
        """Point at nothing once the mouse is gone."""
        self._end_hover()

    def _end_hover(self) -> None:
        if self._is_hovering:
            self._is_hovering = False
            self.point_at(None)

    def _drag_to(self, event: events.MouseMove) -> None:
        full = self.extent()
        if self._drag is None or full is None:
            return
        start, viewport, picture = self._drag
        across = (start.screen_x - event.screen_x) / picture.columns
        rows = event.screen_y - start.screen_y
        moved = viewport.panned_across(full, across)
        if viewport.y is not None or abs(rows) >= _DRAG_ROWS:
            moved = moved.panned_up(picture.y, rows / picture.rows)
        self.look_at(moved)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Zoom in about the mouse."""
        self._wheel(event, _WHEEL_ZOOM)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Zoom out about the mouse."""
        self._wheel(event, 1 / _WHEEL_ZOOM)

    def _wheel(self, event: events.MouseEvent, factor: float) -> None:
        place = self._place(event)
        if place is None or not math.isfinite(place[0]):
            return
        event.stop()
        event.prevent_default()
        if event.ctrl or event.shift:
            self._zoom_up(factor, place[1])
        else:
            self._zoom_across(factor, place[0])
