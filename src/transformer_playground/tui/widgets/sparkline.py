"""The newest value of a quantity and how it came about, in one or two rows."""

from collections.abc import Callable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from transformer_playground.formatting import UNKNOWN, VALUE_WIDTH, optional_text, value_text
from transformer_playground.terminal import visible_line
from transformer_playground.tui.state.blocks import Recent, block_rows

CAPACITY = 512


class Sparkline(Widget):
    """Name, newest value and the last values as blocks; the second row adds their range.

    The blocks reach from the lowest to the highest value that is kept. Nothing is computed while
    the widget is not on show.

    Args:
        title: Name of the quantity.
        capacity: How many values are kept.
        log_scale: Draw logarithms.
        unit: What stands behind the newest value.
        show: The text of a value, of at most `VALUE_WIDTH` characters.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"sparkline--muted", "sparkline--value"}

    log_scale: reactive[bool] = reactive(False)

    def __init__(
        self,
        title: str,
        *,
        capacity: int = CAPACITY,
        log_scale: bool = False,
        unit: str = "",
        show: Callable[[float], str] = value_text,
        id: str | None = None,  # noqa: A002 - the toolkit's name for it
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._title, self._unit = visible_line(title), visible_line(unit)
        self._show = show
        self._recent = Recent(capacity)
        self._rows: list[Strip] | None = None
        self._shape = (0, 0)
        self.frames_drawn = 0
        self.set_reactive(Sparkline.log_scale, log_scale)

    def push(self, value: float) -> None:
        """Take in one more value, finite or not."""
        self._recent.push(value)
        self._redraw()

    def clear(self) -> None:
        """Begin anew."""
        self._recent.clear()
        self._redraw()

    def watch_log_scale(self) -> None:
        """Another scale."""
        self._redraw()

    def notify_style_update(self) -> None:
        """Colours may have changed."""
        super().notify_style_update()
        self._rows = None

    def _redraw(self) -> None:
        self._rows = None
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One row, drawn with the others when the first of them is asked for."""
        shape = (self.size.width, self.size.height)
        if self._rows is None or self._shape != shape:
            base = self.rich_style
            self._rows, self._shape = [row.apply_style(base) for row in self._draw(*shape)], shape
            self.frames_drawn += 1
        return self._rows[y] if y < len(self._rows) else Strip.blank(self.size.width)

    def _draw(self, width: int, height: int) -> list[Strip]:
        muted = self.get_component_rich_style("sparkline--muted")
        value = self.get_component_rich_style("sparkline--value")
        rows = min(height, 2)
        heads = self._heads(rows, muted, value)
        head_width = sum(len(segment.text) for segment in heads[0])
        if head_width + 5 > width:
            # Too narrow for both: the value matters more.
            return [Strip(head).adjust_cell_length(width) for head in heads]
        room = width - head_width - 1
        columns = self._recent.columns(room)
        blocks = block_rows(columns, self._recent.span, rows, log=self.log_scale)
        blank = [Segment(" " * (1 + room - len(columns)))]
        return [
            Strip([*head, *blank, Segment(text)]).adjust_cell_length(width)
            for head, text in zip(heads, blocks, strict=True)
        ]

    def _heads(self, rows: int, muted: Style, value: Style) -> list[list[Segment]]:
        """What stands to the left of the blocks: all rows equally wide, whatever the values."""
        newest = self._recent.newest
        number = optional_text(newest, self._show, UNKNOWN)
        unit = f" {self._unit}" if self._unit else ""
        if rows < 2:
            return [
                [
                    Segment(f"{self._title} ", muted),
                    Segment(number.rjust(VALUE_WIDTH), value),
                    Segment(unit, muted),
                ]
            ]
        span = self._recent.span
        extent = "–".join(map(self._show, span)) if span else ""
        width = max(2 * VALUE_WIDTH + 1, len(self._title) + 1 + VALUE_WIDTH + len(unit))
        gap = width - len(self._title) - len(unit)
        return [
            [Segment(self._title, muted), Segment(number.rjust(gap), value), Segment(unit, muted)],
            [Segment(extent.rjust(width), muted)],
        ]
