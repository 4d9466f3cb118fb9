"""Which columns the runs table shows: a checklist; typing narrows it."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from transformer_playground.terminal import visible_line
from transformer_playground.tui.dialogs.pick import NarrowingScreen
from transformer_playground.tui.shared.line_input import LineInput


class ColumnsScreen(NarrowingScreen[list[str] | None]):
    """Closes with the keys of the chosen columns in their order.

    Args:
        known: (key, what it is called) of every column there is; untrusted text.
        chosen: Keys of those that are shown.
    """

    def __init__(self, known: Sequence[tuple[str, str]], chosen: Sequence[str]) -> None:
        super().__init__()
        self._known, self._chosen = known, list(chosen)
        self._words = ""

    def compose(self) -> ComposeResult:
        """The words to look for above the list."""
        with Vertical(classes="dialog", id="columns") as dialog:
            dialog.border_title = Content("Columns")
            dialog.border_subtitle = "type to narrow · space or enter switches · esc done"
            yield LineInput(placeholder="all", id="columns-words")
            yield OptionList(id="columns-list", markup=False, compact=True)

    def on_mount(self) -> None:
        """Show everything."""
        self._list.can_focus = False
        self._fill()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the list; no key holds a space, so that one switches."""
        if " " in event.value:
            event.input.value = event.value.replace(" ", "")
            self._switch()
        elif event.value != self._words:
            self._words = event.value
            self._fill()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Switch what is highlighted."""
        event.stop()
        self._switch()

    def on_option_list_option_selected(self) -> None:
        """Switch what was clicked."""
        self._switch()

    def action_dismiss_dialog(self) -> None:
        """Close with the choice."""
        self.dismiss(self._chosen)

    def _switch(self) -> None:
        highlighted = self._list.highlighted_option
        if highlighted is None or highlighted.id is None:
            return
        key = highlighted.id
        if key in self._chosen:
            self._chosen.remove(key)
        else:
            self._chosen.append(key)
        self._list.replace_option_prompt(key, self._prompt(key, dict(self._known)[key]))

    def _fill(self) -> None:
        wanted = self._words.casefold()
        fitting = [
            (key, name)
            for key, name in self._known
            if wanted in key.casefold() or wanted in name.casefold()
        ]
        # What is shown stands first, in its order.
        fitting.sort(
            key=lambda pair: (
                self._chosen.index(pair[0]) if pair[0] in self._chosen else len(self._chosen)
            )
        )
        self._list.clear_options()
        self._list.add_options(Option(self._prompt(*pair), id=pair[0]) for pair in fitting)
        if fitting:
            self._list.highlighted = 0

    def _prompt(self, key: str, name: str) -> Content:
        is_chosen = key in self._chosen
        mark = ("✓ ", "$accent") if is_chosen else ("  ", "")
        shown = visible_line(key)
        about = "" if name == key else f"  {visible_line(name)}"
        return Content.assemble(mark, shown, (about, "$foreground 60%"))
