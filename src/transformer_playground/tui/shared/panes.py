"""Panes, as many of them as the screen has room for, and tabs that tell which there are."""

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input


def ranks(recent: Sequence[int]) -> list[int]:
    """For each pane how early it is shown, 0 for the one that is always shown.

    The active pane comes first, then pane 0, by which the others are read, then the others by how
    lately they were used.

    Args:
        recent: Every pane's number, the active one first.
    """
    order = list(dict.fromkeys([recent[0], 0, *recent]))
    return [order.index(number) for number in range(len(order))]


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


class PaneDeck(Vertical):
    """Panes beside each other; the stylesheet says how many of them, by the class `-rank-N`.
    While a pane of class `-roomy` is the active one, the deck has that class, too.

    Args:
        panes: Title and widget of each.
        recent: Numbers of the panes in the order in which they are worth showing.
    """

    def __init__(self, panes: Sequence[tuple[str, Widget]], recent: Sequence[int]) -> None:
        super().__init__()
        self._titles = [title for title, _ in panes]
        self._decked = [pane for _, pane in panes]
        self._recent = list(recent)

    def compose(self) -> ComposeResult:
        """Tabs above the panes."""
        yield PaneTabs(self._titles)
        with Horizontal():
            yield from self._decked

    def on_mount(self) -> None:
        """Show the first."""
        self._rank()

    def open(self, number: int) -> None:
        """Make a pane the active one."""
        if number != self._recent[0]:
            self._recent.remove(number)
            self._recent.insert(0, number)
            self._rank()

    def enter(self, field: int | None = None) -> None:
        """Put the focus into the active pane: on what is read there, or on one of its fields."""
        pane = self._decked[self._recent[0]]
        inside = [widget for widget in pane.query("*") if widget.can_focus and widget.display]
        if field is None:
            inside = [widget for widget in inside if not isinstance(widget, Input)]
        targets = [pane] if pane.can_focus else inside
        if targets:
            self.screen.set_focus(targets[field or 0])

    def go(self, by: int) -> None:
        """Go to the next pane."""
        self.open((self._recent[0] + by) % len(self._decked))
        self.enter()

    def tab(self, by: int) -> None:
        """Go to the next field of the active pane, or to the next pane."""
        pane, focused = self._decked[self._recent[0]], self.screen.focused
        chain = [each for each in self.screen.focus_chain if pane in each.ancestors_with_self]
        if focused in chain and 0 <= chain.index(focused) + by < len(chain):
            self.screen.set_focus(chain[chain.index(focused) + by])
            return
        self.open((self._recent[0] + by) % len(self._decked))
        self.enter(0 if by > 0 else -1)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """What has the focus lies in the active pane."""
        for number, pane in enumerate(self._decked):
            if pane in event.widget.ancestors_with_self:
                self.open(number)

    def on_pane_tabs_asked(self, event: PaneTabs.Asked) -> None:
        """Show the pane whose name was clicked."""
        self.open(event.number)
        self.enter()

    def _rank(self) -> None:
        order = ranks(self._recent)
        for number, pane in enumerate(self._decked):
            for rank in range(len(self._decked)):
                pane.set_class(order[number] == rank, f"-rank-{rank}")
        self.query_one(PaneTabs).active = self._recent[0]
        # Some panes need the room of two.
        self.set_class(self._decked[self._recent[0]].has_class("-roomy"), "-roomy")
