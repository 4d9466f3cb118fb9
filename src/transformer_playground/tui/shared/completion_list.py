"""List of completions below a field, which keeps the focus."""

from collections.abc import Sequence

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from transformer_playground.terminal import visible_line
from transformer_playground.tui.shared.completion import Completion

MOVES = {"up": "cursor_up", "down": "cursor_down", "pageup": "page_up", "pagedown": "page_down"}
"""Keys that move in a list while a field above it has the focus, and their actions."""


class CompletionList(OptionList, can_focus=False):
    """Shown only while there are completions.

    Attributes:
        has_moved: Whether the user moved the highlight since the completions were offered.
    """

    def __init__(self, id: str) -> None:  # noqa: A002 - Textual's own name for it
        super().__init__(id=id, classes="completions", markup=False)
        self.completions: tuple[Completion, ...] = ()
        self.has_moved = False
        self.display = False

    @property
    def chosen(self) -> Completion | None:
        """The highlighted completion."""
        index = self.highlighted
        if index is None or index >= len(self.completions):
            return None
        return self.completions[index]

    def offer(self, completions: Sequence[Completion], *, highlight: bool = True) -> None:
        """Show these; the first is highlighted unless `highlight` is False."""
        self.completions, self.has_moved = tuple(completions), False
        self.clear_options()
        self.add_options(Option(_line(each)) for each in completions)
        self.display = bool(completions)
        if completions and highlight:
            self.highlighted = 0

    async def move(self, key: str) -> bool:
        """Move the highlight by a key; returns False if the key does not move it."""
        if key not in MOVES or not self.completions:
            return False
        self.has_moved = True
        await self.run_action(MOVES[key])
        return True


def _line(completion: Completion) -> Content:
    note = visible_line(completion.note)
    return Content.assemble(visible_line(completion.text), "  ", (note, "$text-muted"))
