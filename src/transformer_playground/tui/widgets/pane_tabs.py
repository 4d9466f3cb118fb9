"""Names of panes on one line, the active one set off."""

from collections.abc import Sequence

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget


class PaneTabs(Widget):
    """One line of tabs; a click asks for a pane.

    Args:
        titles: What each pane is called.
    """

    active: reactive[int] = reactive(0)
    remark: reactive[Content] = reactive(Content(""))

    class Asked(Message):
        """Another pane is asked for."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, titles: Sequence[str]) -> None:
        super().__init__(classes="pane-tabs")
        self._tabs = [f" {title} " for title in titles]

    def render(self) -> Content:
        """The tabs at the left, a remark at the right."""
        parts = [
            (
                tab,
                "bold $foreground on $panel-lighten-1"
                if number == self.active
                else "$foreground 60%",
            )
            for number, tab in enumerate(self._tabs)
        ]
        left = Content(" ").join(Content.styled(*part) for part in parts)
        room = max(0, self.size.width - left.cell_length - 3)
        remark = self.remark.truncate(room, ellipsis=True)
        gap = max(1, self.size.width - left.cell_length - remark.cell_length - 1)
        return Content.assemble(left, " " * gap, remark)

    def on_click(self, event: events.Click) -> None:
        """Ask for the pane whose name was clicked."""
        start = 0
        for number, tab in enumerate(self._tabs):
            if start <= event.x < start + len(tab):
                self.post_message(self.Asked(number))
            start += len(tab) + 1
