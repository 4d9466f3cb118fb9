"""What happened to a run, one line each."""

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import set_cell_size
from rich.segment import Segment
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from transformer_playground.formatting import clock_text
from transformer_playground.tui.live.state import LogKind, LogLine

_EMPTY = "nothing happened yet"
_GLYPHS: dict[LogKind, str] = {
    "evaluation": "●",
    "checkpoint": "◆",
    "warning": "!",
    "status": "▸",
    "error": "✗",
}


class EventLog(ScrollView, can_focus=True):
    """A bounded log that follows its end only while the reader is there."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "log--muted",
        "log--text",
        "log--warning",
        "log--error",
    }

    def __init__(self) -> None:
        super().__init__(id="live-log", classes="pane")
        self.border_title = Content("log")
        self._lines: tuple[LogLine, ...] = ()
        self._step_width = 1

    @property
    def lines(self) -> Sequence[LogLine]:
        """What it holds, oldest first."""
        return self._lines

    def set_lines(self, lines: tuple[LogLine, ...]) -> None:
        """Show these lines instead of those before."""
        if lines == self._lines:
            return
        at_end = self.scroll_offset.y >= self.max_scroll_y
        self._lines = lines
        self._step_width = max((len(f"{line.step:,}") for line in lines), default=1)
        self.virtual_size = Size(self.scrollable_content_region.width, len(lines))
        if at_end:
            self.scroll_end(animate=False, force=True, immediate=True, x_axis=False)
        self.refresh()

    def on_resize(self) -> None:
        """The end stays in sight."""
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._lines))
        self.scroll_end(animate=False, force=True, immediate=True, x_axis=False)

    def render_line(self, y: int) -> Strip:
        """One line."""
        width = self.scrollable_content_region.width
        row = y + self.scroll_offset.y
        if row < len(self._lines):
            strip = Strip(self._segments(self._lines[row], width))
        elif row == 0:
            strip = Strip([Segment(_EMPTY, self.get_component_rich_style("log--muted"))])
        else:
            strip = Strip([])
        return strip.crop_extend(0, width, self.rich_style)

    def _segments(self, line: LogLine, width: int) -> list[Segment]:
        head = f"{clock_text(line.time)} {f'{line.step:,}'.rjust(self._step_width)} "
        text = f"{_GLYPHS[line.kind]} {line.text}"
        tone = line.kind if line.kind in ("warning", "error") else "text"
        room = max(1, width - len(head))
        shown = set_cell_size(text, room).rstrip()
        if len(shown) < len(text):
            shown = set_cell_size(text, room - 1) + "…"
        return [
            Segment(head, self.get_component_rich_style("log--muted")),
            Segment(shown, self.get_component_rich_style(f"log--{tone}")),
        ]
