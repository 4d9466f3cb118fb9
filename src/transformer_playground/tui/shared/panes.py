"""Panes side by side, as many as fit, with tabs for all of them."""

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
    """Rank of each pane, 0 for the pane that is always visible.

    The active pane comes first, then pane 0 (the table), then the others by most recent use.

    Args:
        recent: Numbers of all panes, the active one first.
    """
    order = list(dict.fromkeys([recent[0], 0, *recent]))
    return [order.index(number) for number in range(len(order))]


class PaneTabs(Widget):
    """One line of tabs; a click posts `Selected`."""

    active: reactive[int] = reactive(0)
    note: reactive[Content] = reactive(Content(""))

    class Selected(Message):
        """A tab was clicked."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    def __init__(self, titles: Sequence[str]) -> None:
        super().__init__(classes="pane-tabs")
        self._tabs = [f" {title} " for title in titles]

    def render(self) -> Content:
        parts = [
            (
                tab,
                "bold $foreground on $panel-lighten-1" if number == self.active else "$text-muted",
            )
            for number, tab in enumerate(self._tabs)
        ]
        left = Content(" ").join(Content.styled(*part) for part in parts)
        space = max(0, self.size.width - left.cell_length - 3)
        note = self.note.truncate(space, ellipsis=True)
        gap = max(1, self.size.width - left.cell_length - note.cell_length - 1)
        return Content.assemble(left, " " * gap, note)

    def on_click(self, event: events.Click) -> None:
        start = 0
        for number, tab in enumerate(self._tabs):
            if start <= event.x < start + len(tab):
                self.post_message(self.Selected(number))
            start += len(tab) + 1


class PaneDeck(Vertical):
    """Panes side by side; the stylesheet shows as many as fit, by the class `-rank-N`.

    While the active pane has the class `-roomy`, the deck has it too.

    Args:
        recent: Numbers of the panes, the most important first.
        first_above: Pane 0 is above the others, which have the classes `-below-N` by their rank
            among themselves.
    """

    def __init__(
        self,
        panes: Sequence[tuple[str, Widget]],
        recent: Sequence[int],
        *,
        first_above: bool = False,
    ) -> None:
        super().__init__()
        self._first_above = first_above
        self._titles = [title for title, _ in panes]
        self._panes = [pane for _, pane in panes]
        self._recent = list(recent)

    def compose(self) -> ComposeResult:
        yield PaneTabs(self._titles)
        if self._first_above:
            yield self._panes[0]
        with Horizontal(classes="pane-row"):
            yield from self._panes[1:] if self._first_above else self._panes

    def on_mount(self) -> None:
        self._apply_ranks()

    def open(self, number: int) -> None:
        if number != self._recent[0]:
            self._recent.remove(number)
            self._recent.insert(0, number)
            self._apply_ranks()

    def enter(self, field: int | None = None) -> None:
        """Focus the content of the active pane, or one of its fields."""
        pane = self._panes[self._recent[0]]
        inside = [widget for widget in pane.query("*") if widget.can_focus and widget.display]
        if field is None:
            inside = [widget for widget in inside if not isinstance(widget, Input)]
        targets = [pane] if pane.can_focus else inside
        if targets:
            self.screen.set_focus(targets[field or 0])

    def tab(self, by: int) -> None:
        """Focus the next field of the active pane, or the next pane."""
        pane, focused = self._panes[self._recent[0]], self.screen.focused
        chain = [each for each in self.screen.focus_chain if pane in each.ancestors_with_self]
        if focused in chain and 0 <= chain.index(focused) + by < len(chain):
            self.screen.set_focus(chain[chain.index(focused) + by])
            return
        self.open((self._recent[0] + by) % len(self._panes))
        self.enter(0 if by > 0 else -1)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        for number, pane in enumerate(self._panes):
            if pane in event.widget.ancestors_with_self:
                self.open(number)

    def on_pane_tabs_selected(self, event: PaneTabs.Selected) -> None:
        self.open(event.number)
        self.enter()

    def _apply_ranks(self) -> None:
        order = ranks(self._recent)
        for number, pane in enumerate(self._panes):
            for rank in range(len(self._panes)):
                pane.set_class(order[number] == rank, f"-rank-{rank}")
        self.query_one(PaneTabs).active = self._recent[0]
        below = [number for number in self._recent if number] if self._first_above else []
        for rank, number in enumerate(below):
            for place in range(len(below)):
                self._panes[number].set_class(place == rank, f"-below-{place}")
        self.set_class(self._first_above and self._recent[0] == 0, "-first")
        # Some panes need the width of two.
        widest = below[0] if below else self._recent[0]
        self.set_class(self._panes[widest].has_class("-roomy"), "-roomy")
