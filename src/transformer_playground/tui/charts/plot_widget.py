"""Plot widget: braille lines with axes and legend, without keys and mouse."""

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
from transformer_playground.tui.charts.plot import (
    NONFINITE_MARK,
    Plot,
    draw_plot,
    extent,
    with_crosshair,
)
from transformer_playground.tui.charts.series import ChartLine, PreparedLine
from transformer_playground.tui.charts.strips import (
    LABEL_WIDTH,
    Layout,
    Legend,
    Palette,
    axis_strips,
    compute_layout,
    legend_entry,
    max_legend_rows,
    plot_strips,
)

MAX_SMOOTHING = 0.99
_EMPTY = "Waiting for the first logged step"


class PlotWidget(Widget):
    """Lines over a common x axis.

    Without zoom the axes follow the data. Drawing happens when the screen renders the rows: a
    hidden chart computes nothing, and many changes between two frames cost one drawing.

    Attributes:
        log_y: Draw y as its logarithm; values that are not positive are dropped and counted.
        smoothing: Weight of the debiased moving average, from 0 (none) to 0.99; the measured line
            stays visible beneath it.
        x_label: Name of the x axis.
        x_kind: "seconds" labels x as durations.
        title: Title in the border.
        frames_drawn: How often the chart was drawn.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"chart--{name}" for name in ("text", "muted", "grid", "crosshair", "nonfinite")
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
        self.viewport = Viewport()
        self.crosshair: float | None = None
        self._label_width = LABEL_WIDTH
        self._drawn: tuple[Layout, Plot] | None = None
        self._strips: list[Strip] | None = None
        self._strips_size = Size(0, 0)

    def set_lines(self, lines: Sequence[ChartLine]) -> None:
        """Replace the lines; the last of several with the same key wins."""
        self._lines = {line.key: line for line in lines}
        self._redraw()

    def set_viewport(self, viewport: Viewport) -> None:
        self.viewport = viewport
        state = [
            "log" if self.log_y else "",
            f"smooth {self.smoothing:.2f}" if self.smoothing else "",
            "" if viewport.follows else "zoomed",
        ]
        self.border_subtitle = Content(" · ".join(part for part in state if part))
        self._redraw()

    def set_crosshair(self, x: float | None) -> None:
        """Move the crosshair to a position of the x axis, None removes it."""
        if x != self.crosshair:
            self.crosshair, self._strips = x, None
            self.refresh()

    def extent(self) -> Span | None:
        return extent(self._prepare())

    def plot(self) -> Plot | None:
        """The plotting area, None without data or space."""
        lines = self._prepare()
        full = extent(lines)
        if full is None or not self.size.width or not self.size.height:
            return None
        return self._layout_and_plot(lines, full, self._legend(lines, self._palette()).rows)[1]

    def plot_offset(self) -> tuple[int, int]:
        layout = self._drawn[0] if self._drawn else None
        return (layout.gutter, layout.legend) if layout else (0, 0)

    def leading_line(self) -> PreparedLine | None:
        """The line that the crosshair follows: one on top, else the one with the most points."""
        lines = [line for line in self._prepare() if len(line.shown.x)]
        return max(lines, key=lambda line: (line.line.on_top, len(line.shown.x)), default=None)

    def validate_smoothing(self, weight: float) -> float:
        return min(MAX_SMOOTHING, max(0.0, weight)) if math.isfinite(weight) else 0.0

    def watch_log_y(self) -> None:
        self._prepared.clear()
        self.set_viewport(Viewport(self.viewport.x, None))

    def watch_smoothing(self) -> None:
        self._prepared.clear()
        self.set_viewport(self.viewport)

    def watch_x_kind(self) -> None:
        """Reset crosshair and zoom: their positions belong to the old axis."""
        self.crosshair = None
        self.set_viewport(Viewport())

    def watch_title(self, title: str) -> None:
        self.border_title = Content(visible_line(title)) if title else None

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips = None

    def _redraw(self) -> None:
        self._drawn = self._strips = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
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
        layout, plot = self._layout_and_plot(lines, full, legend.rows)
        drawn, at = _bottom_up(lines), self.crosshair
        if at is not None:
            plot = with_crosshair(plot, drawn, at, log=self.log_y)
        return [
            *legend.strips(layout.legend),
            *plot_strips(plot, layout, palette.of_owners(drawn), palette.muted),
            *axis_strips(
                plot,
                layout,
                palette,
                kind=self.x_kind,
                label=visible_line(self.x_label),
                at=at,
            ),
        ]

    def _prepare(self) -> list[PreparedLine]:
        """The lines with their derived data, which is kept for lines without new data."""
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

    def _layout_and_plot(
        self, lines: Sequence[PreparedLine], full: Span, legend_rows: int
    ) -> tuple[Layout, Plot]:
        """Layout and plot, cached while only the crosshair moves."""
        width, height = self.size
        layout = compute_layout(
            width, height, legend_rows=legend_rows, label_width=self._label_width
        )
        if self._drawn is not None and self._drawn[0] == layout:
            return self._drawn
        plot = draw_plot(
            _bottom_up(lines),
            self.viewport.x or full,
            self.viewport.y,
            layout.columns,
            layout.rows,
            x_kind=self.x_kind,
            y_kind="log" if self.log_y else "linear",
        )
        widest = max((len(tick.label) for tick in plot.y_ticks), default=0)
        if layout.gutter and widest > self._label_width:
            # The axis keeps the width of the widest label, so that it does not jump.
            self._label_width = widest
            wider = compute_layout(width, height, legend_rows=legend_rows, label_width=widest)
            if wider != layout:
                return self._layout_and_plot(lines, full, legend_rows)
        self._drawn = layout, plot
        return self._drawn

    def _legend(self, lines: Sequence[PreparedLine], palette: Palette) -> Legend:
        entries = [
            legend_entry(line, self.crosshair, palette.line(line, faint=line.line.style == "dim"))
            for line in lines
            if line.line.in_legend
        ]
        dropped = sum(line.dropped_count for line in lines)
        notes = [(f"{dropped:,} ≤ 0 not shown", palette.muted)] if dropped else []
        if any(len(line.nonfinite) for line in lines):
            notes.append((f"{NONFINITE_MARK} not a number", palette.nonfinite))
        width, height = self.size
        rows = max_legend_rows(height)
        return Legend(entries, notes, width, rows, palette.text, palette.muted)

    def _placeholder(self, lines: Sequence[PreparedLine], palette: Palette) -> list[Strip]:
        width, height = self.size
        text = self._empty
        if any(line.dropped_count for line in lines):
            text = "no positive values for a log axis"
        elif any(len(line.nonfinite) for line in lines):
            text = "no finite values"
        rows = [Strip.blank(width)] * height
        if height and width:
            line = Content(visible_line(text)).truncate(width, ellipsis=True).plain
            strip = Strip([Segment(line.center(width), palette.muted)])
            rows[height // 2] = strip.adjust_cell_length(width)
        return rows

    def _palette(self) -> Palette:
        style = self.get_component_rich_style
        return Palette(
            text=style("chart--text"),
            muted=style("chart--muted"),
            grid=style("chart--grid"),
            crosshair=style("chart--crosshair"),
            nonfinite=style("chart--nonfinite"),
            background=self.background_colors[1],
        )


def _bottom_up(lines: Sequence[PreparedLine]) -> list[PreparedLine]:
    """Lines in drawing order: those on top last."""
    return sorted(lines, key=lambda line: line.line.on_top)
