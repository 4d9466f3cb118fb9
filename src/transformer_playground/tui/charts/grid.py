"""Many small charts in one widget, with a common x axis and one crosshair."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from transformer_playground.formatting import duration_text, position_text
from transformer_playground.tui.charts.axes import Kind, Span, Viewport
from transformer_playground.tui.charts.braille import DOTS_ACROSS
from transformer_playground.tui.charts.drawing import ChartDrawing
from transformer_playground.tui.charts.grid_names import (
    entries_of,
    has_room_for_best,
    legend_rows,
    legend_strips,
    title_strip,
)
from transformer_playground.tui.charts.modes import AS_MEASURED, ChartMode
from transformer_playground.tui.charts.plot import fitted_y
from transformer_playground.tui.charts.plot_widget import PARTS, palette_of
from transformer_playground.tui.charts.series import ChartLine, PreparedLine
from transformer_playground.tui.charts.strip_widget import StripWidget
from transformer_playground.tui.charts.strips import LegendEntry, Palette

_EMPTY = "no values yet"
_GAP = 2
_MIN_ROWS, _MIN_COLUMNS = 3, 12
_TITLE_ROWS = 1


@dataclass(frozen=True)
class GridCell:
    """One chart of a grid.

    Attributes:
        title: Untrusted text.
        lines: Those of the legend have their signs and values in the title, as many as fit.
        left_out: Share of each line, at its start, that the y axis need not reach.
        mode: How the values are drawn.
        note: Follows the title where there is space.
    """

    key: str
    title: str
    lines: Sequence[ChartLine]
    left_out: float = 0.0
    mode: ChartMode = AS_MEASURED
    note: str = ""


@dataclass(frozen=True)
class GridLook:
    """How all charts of a grid are drawn.

    Attributes:
        shares_y: Whether all have the same y axis.
        legend: Number of lines in the one legend of all charts, which has the values of the
            selected chart; without two there is none. A chart alone has its own.
    """

    x_kind: Kind = "linear"
    has_x_axis: bool = True
    shares_y: bool = False
    legend: int = 0


@dataclass
class _Chart:
    cell: GridCell
    drawing: ChartDrawing = field(default_factory=lambda: ChartDrawing(_EMPTY, has_legend=False))

    def entries(self, at: float | None, palette: Palette) -> list[LegendEntry]:
        return entries_of(self.drawing.prepared(), at, palette)


@dataclass(frozen=True)
class _Place:
    """Position and size of a cell, in character cells."""

    x: int
    y: int
    width: int
    height: int


class ChartGrid(StripWidget):
    """Charts in rows and columns, all drawn in one pass."""

    class Selected(Message):
        """A chart was clicked."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    COMPONENT_CLASSES: ClassVar[set[str]] = {*PARTS, "chart--selected"}

    def __init__(
        self,
        *,
        id: str | None = None,  # noqa: A002 - the toolkit's name for it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.look = GridLook()
        self.crosshair: float | None = None
        self._is_hovering = False
        self._charts: dict[str, _Chart] = {}
        self._shape = (1, 1)
        self._selected: str | None = None

    def set_cells(
        self,
        cells: Sequence[GridCell],
        shape: tuple[int, int],
        look: GridLook,
        selected: str | None = None,
    ) -> None:
        """Replace the charts.

        Args:
            cells: In reading order; those that do not fit into the shape are not shown.
            shape: Rows and columns.
            selected: Key of the chart that the crosshair follows.
        """
        if look.x_kind != self.look.x_kind:
            self.crosshair = None
        known = self._charts
        has_changed = look != self.look
        self._shape, self.look, self._selected = shape, look, selected
        self._charts = {}
        for cell in cells[: shape[0] * shape[1]]:
            chart = known.get(cell.key) or _Chart(cell)
            chart.cell = cell
            drawing = chart.drawing
            if has_changed:
                drawing.redraw()
            drawing.x_kind, drawing.x_label = look.x_kind, ""
            drawing.has_x_axis = look.has_x_axis
            drawing.has_legend = self._is_alone and look.legend > 1
            drawing.set_mode(cell.mode)
            drawing.set_lines(cell.lines)
            self._charts[cell.key] = chart
        self.redraw()

    @property
    def _is_alone(self) -> bool:
        return self._shape == (1, 1)

    def legend_rows(self, look: GridLook) -> int:
        """Rows that the legend takes from several charts."""
        return legend_rows(look.legend, *self.size)

    @property
    def _legend_rows(self) -> int:
        return 0 if self._is_alone else self.legend_rows(self.look)

    def set_crosshair(self, x: float | None) -> None:
        """Move the crosshair of all charts; None hides it."""
        if x != self.crosshair:
            self.crosshair = x
            self.redraw()

    def toggle_crosshair(self) -> None:
        """Show the crosshair at the newest point of the selected chart, or hide it."""
        line = self._leading_line()
        is_shown = self.crosshair is not None and not self._is_hovering
        self._is_hovering = False
        self.set_crosshair(None if is_shown or line is None else float(line.shown.x[-1]))

    def move_crosshair(self, direction: int) -> None:
        """Move to the next point of the selected chart at least one dot to the right, or left."""
        line, full = self._leading_line(), self._common_x()
        if line is None or full is None or self.crosshair is None:
            return
        self._is_hovering = False
        columns = max(1, self.size.width // self._shape[1]) * DOTS_ACROSS
        self.set_crosshair(line.next_x(self.crosshair, direction, full.width / columns))

    def draw(self) -> list[Strip]:
        palette = palette_of(self)
        self._set_axes()
        selected = self.get_component_rich_style("chart--selected")
        strips, at = self._legend(palette), self.crosshair
        rows = list(self._rows())
        entries = {
            chart.cell.key: () if chart.drawing.has_legend else chart.entries(at, palette)
            for row in rows
            for chart, _ in row
        }
        # All titles have a best value, or none has, so that they can be compared.
        has_best = all(
            has_room_for_best(chart.cell.title, entries[chart.cell.key], place.width)
            for row in rows
            for chart, place in row
        )
        for row in rows:
            columns = []
            for chart, place in row:
                cell, drawing = chart.cell, chart.drawing
                drawing.crosshair = at
                title = title_strip(
                    cell.title,
                    cell.note,
                    entries[cell.key],
                    place.width,
                    palette,
                    selected if cell.key == self._selected else palette.muted,
                    has_best=has_best,
                )
                size = Size(place.width, place.height - _TITLE_ROWS)
                columns.append([title, *drawing.strips(size, palette)])
            gap = Strip([Segment(" " * _GAP)], _GAP)
            for parts in zip(*columns, strict=True):
                joined = [part for strip in parts for part in (strip, gap)][:-1]
                strips.append(Strip.join(joined).adjust_cell_length(self.size.width))
        return strips

    def _legend(self, palette: Palette) -> list[Strip]:
        chart, rows = self._selected_chart(), self._legend_rows
        if not rows or chart is None:
            return []
        at, show = self.crosshair, duration_text if self.look.x_kind == "seconds" else position_text
        where = "" if at is None else show(at)
        entries = chart.entries(at, palette)
        return legend_strips(chart.cell.title, where, entries, self.size.width, rows, palette)

    def _set_axes(self) -> None:
        """The same x axis for all charts, and the same y axis if they share it."""
        x = self._common_x()
        for charts in self._sharing_y():
            viewport = Viewport(x, fitted_y(_lines_of(charts), self._left_out(charts)))
            for chart in charts:
                if viewport != chart.drawing.viewport:
                    chart.drawing.viewport = viewport
                    chart.drawing.redraw()

    def _sharing_y(self) -> list[list[_Chart]]:
        """The charts in groups with the same y axis."""
        charts = list(self._charts.values())
        if self.look.shares_y:
            return [charts] if charts else []
        return [[chart] for chart in charts]

    @property
    def leaves_out(self) -> bool:
        """Whether points lie outside of the y axes, because they are at the start or extreme."""
        return any(
            fitted_y(lines, self._left_out(charts)) != fitted_y(lines, 0.0)
            for charts in self._sharing_y()
            for lines in [_lines_of(charts)]
        )

    def _left_out(self, charts: Sequence[_Chart]) -> float:
        return max(0.0 if chart.cell.mode.shows_all else chart.cell.left_out for chart in charts)

    def _common_x(self) -> Span | None:
        spans = [chart.drawing.extent() for chart in self._charts.values()]
        known = [span for span in spans if span is not None]
        if not known:
            return None
        return Span(min(span.low for span in known), max(span.high for span in known))

    def _rows(self) -> Iterator[list[tuple[_Chart, _Place]]]:
        """Charts and their places, row by row."""
        rows, columns = self._shape
        charts = list(self._charts.values())
        y = self._legend_rows
        heights = list(_shares(self.size.height - y, rows, 0))
        widths = list(_shares(self.size.width, columns, _GAP))
        for row, height in enumerate(heights):
            x, found = 0, []
            for chart, width in zip(
                charts[row * columns : (row + 1) * columns], widths, strict=False
            ):
                found.append((chart, _Place(x, y, width, height)))
                x += width + _GAP
            if found and height > _TITLE_ROWS:
                yield found
            y += height

    def _selected_chart(self) -> _Chart | None:
        return self._charts.get(self._selected or "") or next(iter(self._charts.values()), None)

    def _leading_line(self) -> PreparedLine | None:
        chart = self._selected_chart()
        return chart.drawing.leading_line() if chart else None

    def _at(self, event: events.MouseEvent) -> tuple[_Chart, _Place, int] | None:
        """The chart under the mouse, its place, and the column in it."""
        offset = event.get_content_offset(self)
        if offset is None:
            return None
        for row in self._rows():
            for chart, place in row:
                column, line = offset.x - place.x, offset.y - place.y
                if 0 <= column < place.width and 0 <= line < place.height:
                    return chart, place, column
        return None

    def on_click(self, event: events.Click) -> None:
        found = self._at(event)
        if found is not None:
            self.post_message(self.Selected(found[0].cell.key))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        found = self._at(event)
        if found is None:
            return
        chart, place, column = found
        size = Size(place.width, place.height - _TITLE_ROWS)
        plot = chart.drawing.plot(size, palette_of(self))
        column -= chart.drawing.plot_offset()[0]
        if plot is not None and 0 <= column < plot.columns:
            self._is_hovering = True
            self.set_crosshair(plot.x_at(column))

    def on_leave(self, _: events.Leave) -> None:
        if self._is_hovering:
            self._is_hovering = False
            self.set_crosshair(None)


def _lines_of(charts: Iterable[_Chart]) -> list[PreparedLine]:
    return [line for chart in charts for line in chart.drawing.prepared()]


def _shares(total: int, count: int, gap: int) -> Iterator[int]:
    """Sizes of `count` parts with gaps between them; the first ones take what is left over."""
    size, more = divmod(max(0, total - gap * (count - 1)), count)
    yield from (size + (index < more) for index in range(count))


def shape_that_fits(count: int, size: Size, wanted: tuple[int, int]) -> tuple[int, int]:
    """At most the wanted rows and columns, as many as charts need and the size has space for."""
    columns = max(1, min(wanted[1], count, (size.width + _GAP) // (_MIN_COLUMNS + _GAP)))
    rows = max(1, min(wanted[0], -(-count // columns), size.height // (_MIN_ROWS + _TITLE_ROWS)))
    return rows, columns
