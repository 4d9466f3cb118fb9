"""The one line at the top: where the user is and what trains."""

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from transformer_playground.terminal import visible_line

VIEWS = (("runs", "Runs"), ("live", "Live"), ("sample", "Sample"), ("compare", "Compare"))
_NAME = " tp "


class TopBar(Widget):
    """Names of the views, the active one set off, and a word on training at the right.

    Args:
        view: The view that this bar belongs to.
    """

    activity: reactive[str] = reactive("")

    def __init__(self, view: str) -> None:
        super().__init__(id="top-bar")
        self._view = view

    def render(self) -> Content:
        """The line, as wide as the widget."""
        tabs = [
            (_tab(number, title), "bold reverse" if view == self._view else "")
            for number, (view, title) in enumerate(VIEWS, start=1)
        ]
        left = Content.assemble((_NAME, "bold $primary"), *tabs)
        room = max(0, self.size.width - left.cell_length - 2)
        activity = Content(visible_line(self.activity)).truncate(room, ellipsis=True)
        gap = max(1, self.size.width - left.cell_length - activity.cell_length - 1)
        return Content.assemble(left, " " * gap, activity.stylize("$accent"))

    def on_click(self, event: events.Click) -> None:
        """Go to the view whose name was clicked."""
        start = len(_NAME)
        for number, (view, title) in enumerate(VIEWS, start=1):
            end = start + len(_tab(number, title))
            if start <= event.x < end:
                self.app.run_worker(self.app.run_action(f"view('{view}')"))
            start = end


def _tab(number: int, title: str) -> str:
    return f" {number} {title} "
