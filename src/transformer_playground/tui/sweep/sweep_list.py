"""List of sweeps with their progress; moving in it chooses the sweep that is shown."""

from collections.abc import Sequence

from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from transformer_playground.tui.sweep.service import SweepRow
from transformer_playground.tui.sweep.sweep_text import Tone, list_line

_STYLES: dict[Tone, str] = {
    "plain": "$foreground",
    "muted": "$text-muted",
    "live": "$text-accent",
    "bad": "$text-error",
}


MOST_LINES = 4
"""Number of sweeps that are shown without scrolling."""


class SweepList(OptionList):
    """One line for each sweep, the newest first."""

    class Chosen(Message):
        """The user moved to a sweep."""

        def __init__(self, sweep_id: str) -> None:
            super().__init__()
            self.sweep_id = sweep_id

    def __init__(self) -> None:
        super().__init__(id="sweep-list", classes="pane", markup=False, compact=True)
        self.border_title = Content("sweeps")
        self._rows: tuple[SweepRow, ...] = ()
        self._shown_width = 0
        # Where `show` has put the cursor.
        self._placed: str | None = None

    @property
    def at(self) -> str | None:
        """The sweep under the cursor."""
        option = self.highlighted_option
        return None if option is None else option.id

    def show(self, rows: Sequence[SweepRow], chosen: str | None) -> None:
        """Show the sweeps, with `chosen` under the cursor.

        The cursor stays where the user has moved it until that sweep is `chosen`.
        """
        names = [row.sweep_id for row in rows]
        moved = self.at
        if moved not in names or moved in (self._placed, chosen):
            self._placed = moved = chosen
        width = self.scrollable_content_region.width
        if (tuple(rows), width) != (self._rows, self._shown_width):
            same = names == [row.sweep_id for row in self._rows]
            self._rows, self._shown_width = tuple(rows), width
            if same:
                self._write_again()
            else:
                self.clear_options()
                self.add_options(Option(self._prompt(row), id=row.sweep_id) for row in rows)
        # With the border; an automatic height leaves a line empty in a grid.
        self.styles.height = min(MOST_LINES, len(rows)) + 2
        if moved in names and self.highlighted != names.index(moved):
            self.highlighted = names.index(moved)

    def on_resize(self) -> None:
        width = self.scrollable_content_region.width
        if width != self._shown_width:
            self._shown_width = width
            self._write_again()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        if event.option_id not in (None, self._placed):
            self.post_message(self.Chosen(event.option_id))

    def _write_again(self) -> None:
        for row in self._rows:
            self.replace_option_prompt(row.sweep_id, self._prompt(row))

    def _prompt(self, row: SweepRow) -> Content:
        line = list_line(row, max(1, self._shown_width))
        return Content.assemble(*((text, _STYLES[tone]) for text, tone in line))
