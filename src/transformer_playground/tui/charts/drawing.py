"""Drawing of a chart as strips of any size: its lines, their derived data, and what is visible.

One widget shows one drawing (`PlotWidget`) or many (`ChartGrid`).
"""

from collections.abc import Sequence

from rich.segment import Segment
from textual.content import Content
from textual.geometry import Size
from textual.strip import Strip

from transformer_playground.terminal import visible_line
from transformer_playground.tui.charts.axes import Kind, Span, Viewport
from transformer_playground.tui.charts.axis_strips import axis_strips
from transformer_playground.tui.charts.ends import EndLabels, end_labels
from transformer_playground.tui.charts.modes import ChartMode
from transformer_playground.tui.charts.plot import (
    NONFINITE_MARK,
    Plot,
    draw_plot,
    extent,
    fitted_y,
    with_crosshair,
)
from transformer_playground.tui.charts.series import (
    AxisMark,
    Bucket,
    ChartLine,
    PreparedLine,
    ranked,
)
from transformer_playground.tui.charts.strips import (
    LABEL_WIDTH,
    Layout,
    Legend,
    Palette,
    compute_layout,
    legend_entry,
    max_legend_rows,
    plot_strips,
)


class ChartDrawing:
    """Lines over a common x axis.

    Without zoom the axes follow the data. What is derived from the lines is kept until `redraw`.

    Attributes:
        empty: Text in place of the plot while there are no points.
        has_legend: Whether names and values are shown, above the plot or at the ends of the lines.
        x_label: Name of the x axis; empty leaves it out.
        crosshair: Position of the crosshair on the x axis; None hides it.
        has_x_axis: Whether the x axis is drawn where it fits.
        left_out: Share of the x axis, at its start, that the y axis need not reach: the first
            steps of training would take most of it. Nor need it reach single extreme points then.
        shows_all: Whether the y axis reaches all points nevertheless.
        marks: Events on the x axis.
    """

    def __init__(self, empty: str, *, has_legend: bool = True) -> None:
        self.empty, self.has_legend = empty, has_legend
        self.log_y, self.smoothing = False, 0.0
        self.x_label = "step"
        self.x_kind: Kind = "linear"
        self.viewport = Viewport()
        self.crosshair: float | None = None
        self.has_x_axis = True
        self.left_out, self.shows_all = 0.0, False
        self.marks: Sequence[AxisMark] = ()
        self._lines: dict[str, ChartLine] = {}
        self._prepared: dict[str, PreparedLine] = {}
        self._label_width = LABEL_WIDTH
        self._drawn: tuple[Layout, Plot] | None = None

    def set_lines(self, lines: Sequence[ChartLine]) -> None:
        """Replace the lines; the last of several with the same key wins."""
        before, self._lines = self._lines, {line.key: line for line in lines}
        if list(before) != list(self._lines) or not all(
            before[key].has_dots_of(line) for key, line in self._lines.items()
        ):
            self.redraw()

    def redraw(self) -> None:
        """Forget the plot: something but the crosshair has changed."""
        self._drawn = None

    def prepare_again(self) -> None:
        """Forget what is derived from the lines: log axis or smoothing have changed."""
        self._prepared.clear()
        self.redraw()

    def set_mode(self, mode: ChartMode) -> None:
        """Draw the values in another way; `shows_all` is up to who chooses the axes."""
        if (self.log_y, self.smoothing) != (mode.log_y, mode.smoothing):
            self.log_y, self.smoothing = mode.log_y, mode.smoothing
            self.prepare_again()

    def extent(self) -> Span | None:
        """The range of x that has data."""
        return extent(self.prepared())

    def prepared(self) -> list[PreparedLine]:
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

    def leading_line(self) -> PreparedLine | None:
        """The line that the crosshair follows: one on top, else the one with the most points."""
        lines = [line for line in self.prepared() if len(line.shown.x)]
        return max(lines, key=lambda line: (line.line.on_top, len(line.shown.x)), default=None)

    @property
    def leaves_out(self) -> bool:
        """Whether points at the start lie outside of the y axis."""
        if self.shows_all or not self.left_out or not self.viewport.follows:
            return False
        lines = self.prepared()
        return fitted_y(lines, self.left_out) != fitted_y(lines, 0.0)

    def plot(self, size: Size, palette: Palette) -> Plot | None:
        """The plotting area, None without data or space."""
        lines = self.prepared()
        full = extent(lines)
        if full is None or not size.width or not size.height:
            return None
        legend, ends = self._names(lines, size, palette)
        return self._layout_and_plot(lines, full, size, legend.rows if legend else 0, ends)[1]

    def plot_offset(self) -> tuple[int, int]:
        """Column and row of the plotting area as drawn last."""
        layout = self._drawn[0] if self._drawn else None
        return (layout.gutter, layout.legend) if layout else (0, 0)

    def strips(self, size: Size, palette: Palette) -> list[Strip]:
        """The chart in this size."""
        lines = self.prepared()
        full = extent(lines)
        if full is None or not size.width or not size.height:
            return self._placeholder(lines, size, palette)
        legend, ends = self._names(lines, size, palette)
        rows = legend.rows if legend else 0
        layout, plot = self._layout_and_plot(lines, full, size, rows, ends)
        drawn, at = _bottom_up(lines), self.crosshair
        labels = ends.rows(plot, ranked(lines), palette.muted, palette.text) if ends.width else {}
        if at is not None:
            plot = with_crosshair(plot, drawn, at, log=self.log_y)
        return [
            *(legend.strips(layout.legend) if legend else ()),
            *plot_strips(plot, layout, palette.of_owners(drawn), palette.muted, labels),
            *axis_strips(
                plot,
                layout,
                palette,
                kind=self.x_kind,
                label=visible_line(self.x_label),
                at=at,
                marks=self.marks,
                bucket=self._bucket_at(at),
            ),
        ]

    def _bucket_at(self, at: float | None) -> Bucket | None:
        line = self.leading_line()
        point = None if at is None or line is None else line.nearest(at)
        return None if line is None or point is None else line.bucket_at(point.x)

    def _layout_and_plot(
        self,
        lines: Sequence[PreparedLine],
        full: Span,
        size: Size,
        legend_rows: int,
        ends: EndLabels,
    ) -> tuple[Layout, Plot]:
        """Layout and plot, cached while only the crosshair moves."""
        layout = compute_layout(
            size.width,
            size.height,
            legend_rows=legend_rows,
            label_width=self._label_width,
            ends=ends.width,
            has_x_axis=self.has_x_axis,
        )
        if self._drawn is not None and self._drawn[0] == layout:
            return self._drawn
        plot = draw_plot(
            _bottom_up(lines),
            self.viewport.x or full,
            self._visible_y(lines),
            layout.columns,
            layout.rows,
            x_kind=self.x_kind,
            y_kind="log" if self.log_y else "linear",
        )
        widest = max((len(tick.label) for tick in plot.y_ticks), default=0)
        if layout.gutter and widest > self._label_width:
            # The axis keeps the width of the widest label, so that it does not jump.
            self._label_width = widest
            wider = compute_layout(
                size.width,
                size.height,
                legend_rows=legend_rows,
                label_width=widest,
                ends=ends.width,
                has_x_axis=self.has_x_axis,
            )
            if wider != layout:
                return self._layout_and_plot(lines, full, size, legend_rows, ends)
        self._drawn = layout, plot
        return self._drawn

    def _visible_y(self, lines: Sequence[PreparedLine]) -> Span | None:
        if not self.viewport.follows or self.shows_all or not self.left_out:
            return self.viewport.y
        return fitted_y(lines, self.left_out)

    def _names(
        self, lines: Sequence[PreparedLine], size: Size, palette: Palette
    ) -> tuple[Legend | None, EndLabels]:
        """The legend and the labels at the ends of the lines, either of which may be missing."""
        if not self.has_legend:
            return None, EndLabels()
        entries = [
            legend_entry(line, self.crosshair, palette.line(line, faint=line.line.style == "dim"))
            for line in ranked(lines)
        ]
        dropped = sum(line.dropped_count for line in lines)
        notes = [(f"{dropped:,} ≤ 0 not shown", palette.muted)] if dropped else []
        if any(len(line.nonfinite) for line in lines):
            notes.append((f"{NONFINITE_MARK} not a number", palette.nonfinite))
        rows = max_legend_rows(size.height)
        legend = Legend(entries, notes, size.width, rows, palette.text, palette.muted)
        ends = end_labels(entries, size.width, size.height, has_room_above=legend.is_whole(rows))
        if ends.has_values:
            only_notes = Legend((), notes, size.width, rows, palette.text, palette.muted)
            return only_notes if notes else None, ends
        return legend, ends

    def _placeholder(
        self, lines: Sequence[PreparedLine], size: Size, palette: Palette
    ) -> list[Strip]:
        width, height = size
        text = self.empty
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


def _bottom_up(lines: Sequence[PreparedLine]) -> list[PreparedLine]:
    """Lines in drawing order: those on top last."""
    return sorted(lines, key=lambda line: line.line.on_top)
