"""Widgets of the Sweep view: the table of configurations, and panes with a figure."""

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Static

from transformer_playground.sweeps.results import Combination
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.sweep.sweep_text import combination_lines

MOST_ROWS = 1_000
"""Number of configurations in the table, the best ones."""

_CURSOR = "▌"


class ConfigurationsTable(ScrollView, can_focus=True, inherit_bindings=False):
    """A row for each combination of values; the cursor stays on its combination."""

    ALLOW_SELECT = False
    BINDINGS = bindings_for("configurations")
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"configurations--{name}" for name in ("header", "row", "best", "mark", "cursor")
    }

    class Moved(Message):
        """The cursor is on another combination."""

    def __init__(self) -> None:
        super().__init__(id="sweep-table", classes="pane")
        self._combinations: tuple[Combination, ...] = ()
        self._requested: tuple[str, ...] = ()
        self._lines: list[str] = [""]
        self._row = 0

    @property
    def current(self) -> Combination | None:
        """The combination under the cursor."""
        return self._combinations[self._row] if self._combinations else None

    def show(self, combinations: Sequence[Combination], requested: Sequence[str]) -> None:
        """Show other combinations, or the same with other results."""
        before = self.current
        self._combinations = tuple(combinations[:MOST_ROWS])
        self._requested = tuple(requested)
        values = [each.values for each in self._combinations]
        if before is not None and before.values in values:
            self._row = values.index(before.values)
        self._row = min(self._row, max(0, len(values) - 1))
        self._arrange()

    def action_step(self, by: int) -> None:
        """Go up or down."""
        self._move(self._row + by)

    def action_page(self, by: int) -> None:
        """Go up or down one page."""
        self._move(self._row + by * max(1, self._visible_rows - 1))

    def action_end(self, by: int) -> None:
        """Go to the first or last row."""
        self._move(len(self._combinations) if by > 0 else 0)

    def on_resize(self) -> None:
        self._arrange()

    def on_click(self, event: events.Click) -> None:
        # The border and the header.
        line = event.y - 2
        if line >= 0:
            self._move(line + self.scroll_offset.y)

    def render_line(self, y: int) -> Strip:
        width, base = self.size.width, self.rich_style
        if y == 0:
            style = self.get_component_rich_style("configurations--header")
            segments = [Segment(f" {self._lines[0]}", style)]
        else:
            row = y - 1 + self.scroll_offset.y
            if row >= len(self._lines) - 1:
                return Strip.blank(width, base)
            segments = self._row_segments(row)
        return Strip(segments).apply_style(base).adjust_cell_length(width, base)

    def _row_segments(self, row: int) -> list[Segment]:
        is_current = row == self._row
        mean = self._combinations[row].loss.mean
        is_best = mean is not None and mean == self._combinations[0].loss.mean
        style = self.get_component_rich_style(
            f"configurations--{'best' if is_best else 'row'}", partial=True
        )
        if is_current and self.has_focus:
            style += self.get_component_rich_style("configurations--cursor", partial=True)
        mark = self.get_component_rich_style("configurations--mark", partial=True)
        text = self._lines[row + 1]
        # The highlight reaches the end of the row.
        padded = f"{text}{' ' * max(0, self.size.width)}"
        return [Segment(_CURSOR if is_current else " ", mark), Segment(padded, style)]

    @property
    def _visible_rows(self) -> int:
        return max(1, self.size.height - 1)

    def _move(self, row: int) -> None:
        if not self._combinations:
            return
        row = min(max(0, row), len(self._combinations) - 1)
        is_moved, self._row = row != self._row, row
        self._show_cursor()
        self.refresh()
        if is_moved:
            self.post_message(self.Moved())

    def _arrange(self) -> None:
        width = self.scrollable_content_region.width
        if self._combinations and width:
            self._lines = combination_lines(self._combinations, self._requested, max(1, width - 1))
        else:
            self._lines = [""]
        self.virtual_size = Size(width, len(self._lines))
        self._show_cursor()
        self.refresh()

    def _show_cursor(self) -> None:
        top, height = self.scroll_offset.y, self._visible_rows
        if self._row < top:
            self.scroll_to(y=self._row, animate=False, immediate=True)
        elif self._row >= top + height:
            self.scroll_to(y=self._row - height + 1, animate=False, immediate=True)


class FigurePane(VerticalScroll):
    """A pane whose text is drawn again for each size."""

    def __init__(self, name: str, title: str) -> None:
        super().__init__(id=f"sweep-{name}", classes="pane sweep-figure")
        self.border_title = Content(title)
        self._draw: Callable[[int, int], Content] = lambda _width, _height: Content("")

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def show(self, draw: Callable[[int, int], Content]) -> None:
        """Show a figure.

        Args:
            draw: Makes the text from the columns and rows of the pane.
        """
        self._draw = draw
        self._update()

    def on_resize(self) -> None:
        self._update()

    def _update(self) -> None:
        size = self.scrollable_content_region
        if size.width > 0:
            self.query_one(Static).update(self._draw(size.width, max(1, size.height)))
