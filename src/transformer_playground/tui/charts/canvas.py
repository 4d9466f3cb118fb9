"""Lines drawn in braille with axes and legend: what a chart shows, without its keys and mouse."""

import math
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.axes import Kind, Span, Viewport
from transformer_playground.tui.charts.braille_picture import (
    BROKEN_MARK,
    LABEL_WIDTH,
    Layout,
    Picture,
    arrange,
    draw_picture,
    extent,
    most_legend_lines,
    with_crosshair,
)
from transformer_playground.tui.charts.legend import Legend, entry
from transformer_playground.tui.charts.painter import Palette, axis_strips, plot_strips
from transformer_playground.tui.charts.series import ChartLine, PreparedLine

HIGHEST_SMOOTHING = 0.99
_EMPTY = "nothing to draw yet"


class ChartSurface(Widget):
    """Lines over a common x axis.

    While nothing is zoomed the axes follow the data. Drawing happens when the screen asks for the
    chart's rows: a chart that is not on show computes nothing, and many changes between two frames
    cost one drawing.

    Attributes:
        log_y: Draw y as its logarithm; values that are not positive are left out, and counted.
        smoothing: Weight of the debiased moving average, from 0 (none) to 0.99; the measured line
            stays visible beneath it.
        x_label: Name of the x axis.
        x_kind: "seconds" labels x as durations.
        title: Shown in the frame, if the chart has one.
        frames_drawn: How often the chart was drawn.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "chart--text",
        "chart--muted",
        "chart--grid",
        "chart--crosshair",
        "chart--broken",
    }

    log_y: reactive[bool] = reactive(False)
    smoothing: reactive[float] = reactive(0.0)
    x_label: reactive[str] = reactive("step")
    x_kind: reactive[Kind] = reactive("linear")
    title: reactive[str] = reactive("")

    def __init__(
        self,
        *,
        empty: str = _EMPTY,
        id: str | None = None,  # noqa: A002 - the toolkit's name for it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.frames_drawn = 0
        self._empty = empty
        self._lines: dict[str, ChartLine] = {}
        self._prepared: dict[str, PreparedLine] = {}
        self._viewport = Viewport()
        self._crosshair: float | None = None
        self._label_width = LABEL_WIDTH
        self._drawn: tuple[Layout, Picture] | None = None
        self._strips: list[Strip] | None = None
        self._strips_size = Size(0, 0)

    def set_lines(self, lines: Sequence[ChartLine]) -> None:
        """Show these lines instead of those before; of lines with the same key the last counts."""
        self._lines = {line.key: line for line in lines}
        self._redraw()

    @property
    def viewport(self) -> Viewport:
        """What is on show."""
        return self._viewport

    @property
    def crosshair(self) -> float | None:
        """Where the crosshair stands on the x axis, None while there is none."""
        return self._crosshair

    def look_at(self, viewport: Viewport) -> None:
        """Show another part of the data."""
        self._viewport = viewport
        state = [
            "log" if self.log_y else "",
            f"smooth {self.smoothing:.2f}" if self.smoothing else "",
            "" if viewport.follows else "zoomed",
        ]
        self.border_subtitle = Content(" · ".join(part for part in state if part))
        self._redraw()

    def point_at(self, x: float | None) -> None:
        """Put the crosshair on a position of the x axis, or take it away."""
        if x != self._crosshair:
            self._crosshair, self._strips = x, None
            self.refresh()

    def extent(self) -> Span | None:
        """All positions across at which there is something; None if there is nothing."""
        return extent(self._prepare())

    def picture(self) -> Picture | None:
        """What the plotting area shows now; None while there is nothing to draw, or no room."""
        lines = self._prepare()
        full = extent(lines)
        if full is None or not self.size.width or not self.size.height:
            return None
        return self._picture(lines, full, self._legend(lines, self._palette()).lines)[1]

    def area(self) -> tuple[int, int]:
        """Column and row at which the plotting area begins."""
        layout = self._drawn[0] if self._drawn else None
        return (layout.gutter, layout.legend) if layout else (0, 0)

    def leading_line(self) -> PreparedLine | None:
        """The line whose points the crosshair follows: a topmost one, else the one with most."""
        lines = [line for line in self._prepare() if len(line.shown.x)]
        return max(lines, key=lambda line: (line.line.on_top, len(line.shown.x)), default=None)

    def validate_smoothing(self, weight: float) -> float:
        """Between 0 and 0.99."""
        return min(HIGHEST_SMOOTHING, max(0.0, weight)) if math.isfinite(weight) else 0.0

    def watch_log_y(self) -> None:
        """The y axis begins anew."""
        self._prepared.clear()
        self.look_at(Viewport(self._viewport.x, None))

    def watch_smoothing(self) -> None:
        """Lines are smoothed anew."""
        self._prepared.clear()
        self.look_at(self._viewport)

    def watch_x_kind(self) -> None:
        """Another axis: positions of before mean nothing on it."""
        self._crosshair = None
        self.look_at(Viewport())

    def watch_title(self, title: str) -> None:
        """Put it into the frame."""
        self.border_title = Content(visible_line(title)) if title else None

    def notify_style_update(self) -> None:
        """Colours may have changed."""
        super().notify_style_update()
        self._strips = None

    def _redraw(self) -> None:
        self._drawn = self._strips = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One row, drawn with all others when the first of them is asked for."""
        if self._strips is None or self._strips_size != self.size:
            base = self.rich_style
            self._strips = [strip.apply_style(base) for strip in self._draw()]
            self._strips_size = self.size
            self.frames_drawn += 1
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width)

    def _draw(self) -> list[Strip]:
        width, height = self.size
        palette = self._palette()
        lines = self._prepare()
        full = extent(lines)
        if full is None or not width or not height:
            return self._placeholder(lines, palette)
        legend = self._legend(lines, palette)
        layout, picture = self._picture(lines, full, legend.lines)
        drawn, at = _bottom_up(lines), self._crosshair
        if at is not None:
            picture = with_crosshair(picture, drawn, at, log=self.log_y)
        return [
            *legend.strips(layout.legend),
            *plot_strips(picture, layout, palette.of_owners(drawn), palette.muted),
            *axis_strips(
                picture,
                layout,
                palette,
                kind=self.x_kind,
                label=visible_line(self.x_label),
                at=at,
            ),
        ]

    def _prepare(self) -> list[PreparedLine]:
        """The lines with what was computed of them; what has not changed is kept."""
        kept: dict[str, PreparedLine] = {}
        for key, line in self._lines.items():
            known = self._prepared.get(key)
            if known is not None and known.line.has_data_of(line):
                known.line = line
                kept[key] = known
            else:
                kept[key] = PreparedLine(line, log=self.log_y, smoothing=self.smoothing)
        self._prepared = kept
        return list(kept.values())

    def _picture(
        self, lines: Sequence[PreparedLine], full: Span, legend_lines: int
    ) -> tuple[Layout, Picture]:
        """The plotting area; kept while only the crosshair moves."""
        width, height = self.size
        layout = arrange(width, height, legend_lines=legend_lines, label_width=self._label_width)
        if self._drawn is not None and self._drawn[0] == layout:
            return self._drawn
        picture = draw_picture(
            _bottom_up(lines),
            self._viewport.x or full,
            self._viewport.y,
            layout.columns,
            layout.rows,
            x_kind=self.x_kind,
            y_kind="log" if self.log_y else "linear",
        )
        widest = max((len(tick.label) for tick in picture.y_ticks), default=0)
        if layout.gutter and widest > self._label_width:
            # The axis keeps the wider labels' room, so that it does not jump back and forth.
            self._label_width = widest
            wider = arrange(width, height, legend_lines=legend_lines, label_width=widest)
            if wider != layout:
                return self._picture(lines, full, legend_lines)
        self._drawn = layout, picture
        return self._drawn

    def _legend(self, lines: Sequence[PreparedLine], palette: Palette) -> Legend:
        entries = [
            entry(line, self._crosshair, palette.line(line, faint=line.line.style == "dim"))
            for line in lines
            if line.line.in_legend
        ]
        left_out, broken = (
            sum(line.left_out for line in lines),
            any(len(line.broken) for line in lines),
        )
        notes = [(f"{left_out:,} ≤ 0 left out", palette.muted)] if left_out else []
        if broken:
            notes.append((f"{BROKEN_MARK} not a number", palette.broken))
        width, height = self.size
        rows = most_legend_lines(height)
        return Legend(entries, notes, width, rows, palette.text, palette.muted)

    def _placeholder(self, lines: Sequence[PreparedLine], palette: Palette) -> list[Strip]:
        width, height = self.size
        text = self._empty
        if any(line.left_out for line in lines):
            text = "no positive values for a log axis"
        elif any(len(line.broken) for line in lines):
            text = "no finite values"
        rows = [Strip.blank(width)] * height
        if height and width:
            line = Content(visible_line(text)).truncate(width, ellipsis=True).plain
            rows[height // 2] = Strip(
                [Segment(line.center(width), palette.muted)]
            ).adjust_cell_length(width)
        return rows

    def _palette(self) -> Palette:
        style = self.get_component_rich_style
        return Palette(
            text=style("chart--text"),
            muted=style("chart--muted"),
            grid=style("chart--grid"),
            crosshair=style("chart--crosshair"),
            broken=style("chart--broken"),
            background=self.background_colors[1],
        )


def _bottom_up(lines: Sequence[PreparedLine]) -> list[PreparedLine]:
    """Lines in the order of drawing: those on top last."""
    return sorted(lines, key=lambda line: line.line.on_top)
