"""Column picker: a checklist of the columns of the runs table; typing narrows it."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from transformer_playground.terminal import visible_line
from transformer_playground.tui.dialogs.pick import FilteredListScreen, take_spaces
from transformer_playground.tui.shared.line_input import LineInput


class ColumnsScreen(FilteredListScreen[list[str] | None]):
    """Closes with the keys of the chosen columns in their order.

    Args:
        known: (key, description) of every column; untrusted text.
    """

    def __init__(self, known: Sequence[tuple[str, str]], chosen: Sequence[str]) -> None:
        super().__init__()
        self._known, self._chosen = known, list(chosen)
        self._text = ""

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="columns") as dialog:
            dialog.border_title = Content("Columns")
            dialog.border_subtitle = (
                f"space or enter switches · {self.key_hint('dialog.close')} closes"
            )
            yield LineInput(placeholder="type to narrow", id="columns-query")
            yield OptionList(id="columns-list", markup=False, compact=True)

    def on_mount(self) -> None:
        self._list.can_focus = False
        self._fill()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the list; a space switches the column, because no key has spaces."""
        spaces, typed = take_spaces(event.input)
        for _ in range(spaces):
            self._switch()
        if typed != self._text:
            self._text = typed
            self._fill()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._switch()

    def on_option_list_option_selected(self) -> None:
        self._switch()

    def action_dismiss_dialog(self) -> None:
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
        text = self._text.casefold()
        matching = [
            (key, name)
            for key, name in self._known
            if text in key.casefold() or text in name.casefold()
        ]
        # Shown columns come first, in their order.
        matching.sort(
            key=lambda pair: (
                self._chosen.index(pair[0]) if pair[0] in self._chosen else len(self._chosen)
            )
        )
        self._list.clear_options()
        self._list.add_options(Option(self._prompt(*pair), id=pair[0]) for pair in matching)
        if matching:
            self._list.highlighted = 0

    def _prompt(self, key: str, name: str) -> Content:
        is_chosen = key in self._chosen
        mark = ("✓ ", "$accent") if is_chosen else ("  ", "")
        shown = visible_line(key)
        about = "" if name == key else f"  {visible_line(name)}"
        return Content.assemble(mark, shown, (about, "$text-muted"))
