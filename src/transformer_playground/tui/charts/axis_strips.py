"""The x axis of a chart as Textual strips: a rule with ticks and events, and labels below."""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from transformer_playground.formatting import duration_text, position_text
from transformer_playground.tui.charts.axes import Kind, Tick
from transformer_playground.tui.charts.plot import Plot
from transformer_playground.tui.charts.series import AxisMark, Bucket
from transformer_playground.tui.charts.strips import Layout, Palette


def axis_strips(
    plot: Plot,
    layout: Layout,
    palette: Palette,
    *,
    kind: Kind,
    label: str,
    at: float | None,
    marks: Sequence[AxisMark] = (),
    bucket: Bucket | None = None,
) -> list[Strip]:
    """The x axis: a rule with ticks and events above their labels and the crosshair's position.

    Args:
        at: Position of the crosshair.
        bucket: The thinned points there.
    """
    places = [(plot.column_of(tick.position), tick) for tick in plot.x_ticks]
    ticks = [(column, tick) for column, tick in places if column is not None]
    strips = []
    if layout.axis > 1:
        strips.append(_rule(plot, layout, palette, [column for column, _ in ticks], marks))
    if layout.axis:
        crosshair = None
        if at is not None and (column := plot.column_of(at)) is not None:
            show = duration_text if kind == "seconds" else position_text
            text = show(at) if bucket is None else f"{show(bucket.first)}–{show(bucket.last)}"
            crosshair = column, f" {text} "
        strips.append(_label_row(ticks, crosshair, label, layout, palette))
    return strips


def _rule(
    plot: Plot,
    layout: Layout,
    palette: Palette,
    ticks: Sequence[int],
    marks: Sequence[AxisMark],
) -> Strip:
    """The line between plot and labels; of several marks in one cell the last is seen."""
    glyphs = {plot.column_of(mark.x): mark.glyph for mark in marks}
    corner = "└".rjust(layout.gutter) if layout.gutter else ""
    segments = [Segment(corner, palette.muted)]
    for column in range(layout.columns):
        glyph = glyphs.get(column)
        if glyph is not None:
            segments.append(Segment(glyph, palette.text))
        else:
            segments.append(Segment("┬" if column in ticks else "─", palette.muted))
    segments.append(Segment(" " * layout.ends))
    return Strip(Segment.simplify(segments), layout.width)


def _label_row(
    ticks: Sequence[tuple[int, Tick]],
    crosshair: tuple[int, str] | None,
    label: str,
    layout: Layout,
    palette: Palette,
) -> Strip:
    """Labels centred below their ticks; the axis name is at the right end where it fits."""
    width = layout.width
    row = _TextRow(width)
    if crosshair is not None:
        column, text = crosshair
        row.put(text, layout.gutter + column - len(text) // 2, palette.text + Style(reverse=True))
    name = set_cell_size(label, min(cell_len(label), width // 3))
    row.put(name, width - cell_len(name), palette.muted + Style(italic=True))
    for column, tick in ticks:
        row.put(tick.label, layout.gutter + column - len(tick.label) // 2, palette.muted)
    return row.strip()


class _TextRow:
    """Texts in one row that never overlap; earlier ones take precedence."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._placed: list[tuple[int, str, Style]] = []

    def put(self, text: str, start: int, style: Style) -> None:
        """Place a text near `start`, unless it would touch another or does not fit."""
        start = max(0, min(start, self._width - cell_len(text)))
        end = start + cell_len(text)
        overlaps = any(
            start < begin + cell_len(other) + 1 and begin < end + 1
            for begin, other, _ in self._placed
        )
        if text and end <= self._width and not overlaps:
            self._placed.append((start, text, style))

    def strip(self) -> Strip:
        segments: list[Segment] = []
        filled = 0
        for start, text, style in sorted(self._placed, key=lambda item: item[0]):
            segments += [Segment(" " * (start - filled)), Segment(text, style)]
            filled = start + cell_len(text)
        segments.append(Segment(" " * (self._width - filled)))
        return Strip(segments, self._width)
