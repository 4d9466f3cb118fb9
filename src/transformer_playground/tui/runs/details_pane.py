"""Details pane of the selected run or experiment: a bar of sections above scrollable text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from transformer_playground.terminal import visible_line
from transformer_playground.tui.shared.text import Role
from transformer_playground.tui.shared.view import styled_lines

if TYPE_CHECKING:
    from transformer_playground.tui.runs.details_text import Line

_STYLES: dict[Role, str] = {
    "title": "bold",
    "label": "$text-muted",
    "value": "",
    "muted": "$text-muted",
    "live": "$accent",
    "good": "$text-success",
    "bad": "$text-error",
    "warn": "$text-warning",
    "accent": "$text-accent",
}


class SectionBar(Widget):
    """Names of the sections in one line, the chosen one highlighted."""

    chosen: reactive[str] = reactive("")
    names: reactive[tuple[str, ...]] = reactive(())

    class Selected(Message):
        """A section was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def render(self) -> Content:
        parts = [
            (f" {name} ", "bold reverse" if name == self.chosen else "$text-muted")
            for name in self.names
        ]
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        end = 0
        for name in self.names:
            end += len(name) + 2
            if event.x < end:
                self.post_message(self.Selected(name))
                return


class RunDetails(Vertical):
    """Details of one run or experiment."""

    def __init__(self) -> None:
        super().__init__(id="details", classes="pane")
        self.border_title = Content("Details")
        self._shown: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield SectionBar(id="sections")
        with VerticalScroll(id="details-scroll"):
            yield Static("", id="details-text", markup=False)

    @property
    def text_width(self) -> int:
        return max(20, self.query_one("#details-scroll").size.width - 1)

    def show(
        self, title: str, sections: Sequence[str], chosen: str, lines: "Sequence[Line]"
    ) -> None:
        """Show a text; a new subject or section scrolls to the start, a log to the end."""
        subject = (title, chosen)
        if self._shown == (subject, tuple(lines)):
            return
        is_new = self._shown[:1] != (subject,)
        self._shown = (subject, tuple(lines))
        self.border_title = Content(visible_line(title[:200]))
        bar = self.query_one(SectionBar)
        bar.names, bar.chosen = tuple(sections), chosen
        scroll = self.query_one("#details-scroll", VerticalScroll)
        was_at_end = scroll.scroll_offset.y >= scroll.max_scroll_y
        text, content = self.query_one("#details-text", Static), line_content(lines)
        # A new layout of the whole screen is slow, so avoid it where the height stays the same.
        height = content.get_height({}, text.size.width) if text.size.width else -1
        text.update(content, layout=height != text.size.height)
        if chosen == "log" and (is_new or was_at_end):
            scroll.scroll_end(animate=False)
        elif is_new:
            scroll.scroll_home(animate=False)


def line_content(lines: "Sequence[Line]") -> Content:
    """Lines of a text with the colours of their roles."""
    return styled_lines(lines, _STYLES)
