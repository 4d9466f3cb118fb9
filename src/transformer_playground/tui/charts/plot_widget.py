"""Plot widget: braille lines with axes and legend, without keys and mouse."""

import math
from collections.abc import Sequence
from typing import ClassVar

from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.axes import Kind, Span, Viewport
from transformer_playground.tui.charts.drawing import ChartDrawing
from transformer_playground.tui.charts.modes import MAX_SMOOTHING, ChartMode
from transformer_playground.tui.charts.plot import LEFT_OUT_NOTE, Plot
from transformer_playground.tui.charts.series import AxisMark, ChartLine, PreparedLine
from transformer_playground.tui.charts.strip_widget import StripWidget
from transformer_playground.tui.charts.strips import Palette

PARTS = frozenset(f"chart--{name}" for name in ("text", "muted", "grid", "crosshair", "nonfinite"))
"""Component classes of every widget that shows charts."""
# Separator and corners beside the text in the border.
_FRAME_CELLS = 9
_EMPTY = "Waiting for the first logged step"


def palette_of(widget: Widget) -> Palette:
    """The styles of a widget with the component classes `PARTS`."""
    style = widget.get_component_rich_style
    return Palette(
        text=style("chart--text"),
        muted=style("chart--muted"),
        grid=style("chart--grid"),
        crosshair=style("chart--crosshair"),
        nonfinite=style("chart--nonfinite"),
        background=widget.background_colors[1],
    )


class PlotWidget(StripWidget):
    """A chart of any size.

    Attributes:
        log_y: Draw y as its logarithm; values that are not positive are dropped and counted.
        smoothing: Weight of the debiased moving average, from 0 (none) to 0.99; the measured line
            stays visible beneath it.
        x_label: Name of the x axis.
        x_kind: "seconds" labels x as durations.
        left_out: See `ChartDrawing`.
        title: Title in the border.
        note: Text in the border where there is space for it.
    """

    class CrosshairMoved(Message):
        """The crosshair moved to a position of the x axis; None = it is hidden."""

        def __init__(self, x: float | None) -> None:
            super().__init__()
            self.x = x

    COMPONENT_CLASSES: ClassVar[set[str]] = set(PARTS)

    log_y: reactive[bool] = reactive(False)
    smoothing: reactive[float] = reactive(0.0)
    x_label: reactive[str] = reactive("step")
    x_kind: reactive[Kind] = reactive("linear")
    left_out: reactive[float] = reactive(0.0)
    title: reactive[str] = reactive("")
    note: reactive[str] = reactive("")

    def __init__(
        self,
        *,
        empty: str = _EMPTY,
        id: str | None = None,  # noqa: A002 - the toolkit's name for it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._drawing = ChartDrawing(empty)

    @property
    def viewport(self) -> Viewport:
        return self._drawing.viewport

    @property
    def crosshair(self) -> float | None:
        return self._drawing.crosshair

    @property
    def shows_all(self) -> bool:
        """Whether the y axis reaches all points, the `left_out` ones included."""
        return self._drawing.shows_all

    def set_empty(self, text: str = _EMPTY) -> None:
        """Say something else in place of the plot while there are no points."""
        if text != self._drawing.empty:
            self._drawing.empty = text
            self._redraw()

    def set_lines(self, lines: Sequence[ChartLine], marks: Sequence[AxisMark] = ()) -> None:
        """Replace the lines, and the events on the x axis."""
        self._drawing.set_lines(lines)
        self._drawing.marks = marks
        self._redraw()

    def set_viewport(self, viewport: Viewport, *, shows_all: bool | None = None) -> None:
        self._drawing.viewport = viewport
        if shows_all is not None:
            self._drawing.shows_all = shows_all
        self._show_state()
        self._redraw()

    def reset_view(self) -> None:
        """Follow the data, as at first."""
        self.set_viewport(Viewport(), shows_all=False)

    def set_crosshair(self, x: float | None) -> None:
        """Move the crosshair to a position of the x axis, None removes it."""
        if x != self.crosshair:
            self._drawing.crosshair = x
            self.redraw()
            self.post_message(self.CrosshairMoved(x))

    def extent(self) -> Span | None:
        return self._drawing.extent()

    def plot(self) -> Plot | None:
        """The plotting area, None without data or space."""
        return self._drawing.plot(self.size, palette_of(self))

    def plot_offset(self) -> tuple[int, int]:
        return self._drawing.plot_offset()

    def leading_line(self) -> PreparedLine | None:
        """The line that the crosshair follows."""
        return self._drawing.leading_line()

    def validate_smoothing(self, weight: float) -> float:
        return min(MAX_SMOOTHING, max(0.0, weight)) if math.isfinite(weight) else 0.0

    def watch_log_y(self, log_y: bool) -> None:
        self._drawing.log_y = log_y
        self._drawing.prepare_again()
        self.set_viewport(Viewport(self.viewport.x, None))

    def watch_smoothing(self, smoothing: float) -> None:
        self._drawing.smoothing = smoothing
        self._drawing.prepare_again()
        self.set_viewport(self.viewport)

    def watch_x_label(self, label: str) -> None:
        self._drawing.x_label = label
        self._redraw()

    def watch_x_kind(self, kind: Kind) -> None:
        """Reset crosshair and zoom: their positions belong to the old axis."""
        self._drawing.x_kind, self._drawing.crosshair = kind, None
        self.set_viewport(Viewport())

    def watch_left_out(self, share: float) -> None:
        self._drawing.left_out = share
        self._redraw()

    def watch_title(self, title: str) -> None:
        self.border_title = Content(visible_line(title)) if title else None

    def watch_note(self) -> None:
        self._show_state()

    def _redraw(self) -> None:
        self._drawing.redraw()
        self.redraw()

    def draw(self) -> list[Strip]:
        self.call_later(self._show_state)
        return self._drawing.strips(self.size, palette_of(self))

    def _show_state(self) -> None:
        """Say in the border what the chart does not show as it was measured."""
        parts = [
            ChartMode(self.log_y, self.smoothing).text,
            "" if self.viewport.follows else "zoomed",
            LEFT_OUT_NOTE if self._drawing.leaves_out else "",
        ]
        state = " · ".join(part for part in parts if part)
        if self.note and len(self.note) + len(state) + _FRAME_CELLS <= self.size.width:
            state = " · ".join(part for part in (visible_line(self.note), state) if part)
        text = Content(state)
        if text.plain != (self.border_subtitle or ""):
            self.border_subtitle = text
