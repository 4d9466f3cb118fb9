"""Base of the widgets that draw all their rows at once and show those that changed."""

from abc import abstractmethod
from collections.abc import Iterable
from operator import ne

from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget


def refresh_rows(widget: Widget, differ: Iterable[bool]) -> None:
    """Refresh the rows of a widget that differ from those on the screen."""
    width = widget.size.width
    changed = [Region(0, row, width, 1) for row, differs in enumerate(differ) if differs]
    if changed:
        widget.refresh(*changed)


class StripWidget(Widget):
    """A widget whose rows are drawn together.

    Styling a row costs the toolkit more than drawing it, so new data refreshes only the rows that
    differ. A hidden widget draws nothing, and many changes between two frames cost one drawing.

    Attributes:
        frames_drawn: How often it was drawn.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - the toolkit's name for it
        super().__init__(id=id, classes=classes)
        self.frames_drawn = 0
        self._strips: list[Strip] | None = None
        self._strips_size = Size(0, 0)
        # The rows before the changes that `_refresh_changed` is about to show.
        self._before: list[Strip] | None = None

    @abstractmethod
    def draw(self) -> list[Strip]:
        """All rows in the size of the widget."""

    def redraw(self) -> None:
        """Draw again soon: something has changed."""
        before, self._strips = self._strips, None
        if self._before is not None:
            return
        if before is None or self._strips_size != self.size or not self._is_shown:
            self.refresh()
            return
        self._before = before
        self.call_later(self._refresh_changed)

    @property
    def _is_shown(self) -> bool:
        return self.is_mounted and self.screen.is_current and self.is_on_screen

    def _refresh_changed(self) -> None:
        before, self._before = self._before, None
        if before is None or not self._is_shown:
            self.refresh()
            return
        now = self._drawn()
        if len(before) != len(now):
            self.refresh()
        else:
            refresh_rows(self, map(ne, before, now))

    def _drawn(self) -> list[Strip]:
        if self._strips is None or self._strips_size != self.size:
            self._strips = self.draw()
            self._strips_size = self.size
            self.frames_drawn += 1
        return self._strips

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips = None

    def render_line(self, y: int) -> Strip:
        strips, base = self._drawn(), self.rich_style
        return (
            strips[y].apply_style(base) if y < len(strips) else Strip.blank(self.size.width, base)
        )
