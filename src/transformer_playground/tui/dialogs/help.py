"""Help screen: every key, generated from the table of bindings."""

from collections.abc import Iterator, Mapping

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from transformer_playground.terminal import visible_line
from transformer_playground.tui.bindings import bindings_for, by_place, keys_text
from transformer_playground.tui.dialogs.base import Dialog
from transformer_playground.tui.keys.key import Key
from transformer_playground.tui.shared.line_input import LineInput

_KEY_WIDTH = 16


class KeysScreen(Dialog[None]):
    """Lists every key with the user's keymap applied; typing filters the list.

    Args:
        remapped: Id of a binding -> the user's keys.
        here: The current view; its keys come first.
    """

    BINDINGS = bindings_for("dialog")

    def __init__(self, remapped: Mapping[str, str], here: str | None = None) -> None:
        super().__init__()
        self._remapped, self._here = remapped, here

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog", id="keys") as dialog:
            dialog.border_title = "Keys"
            dialog.border_subtitle = (
                f"type to search · ↑↓ scroll · {self.key_hint('dialog.close')} closes"
            )
            yield LineInput(placeholder="search", id="keys-query")
            with VerticalScroll(id="keys-scroll", can_focus=False):
                yield Static(id="keys-list")

    def on_mount(self) -> None:
        self._show("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._show(event.value)

    def key_up(self) -> None:
        self._scroll.scroll_up(animate=False)

    def key_down(self) -> None:
        self._scroll.scroll_down(animate=False)

    def key_pageup(self) -> None:
        self._scroll.scroll_page_up(animate=False)

    def key_pagedown(self) -> None:
        self._scroll.scroll_page_down(animate=False)

    def action_dismiss_dialog(self) -> None:
        self.dismiss(None)

    @property
    def _scroll(self) -> VerticalScroll:
        return self.query_one("#keys-scroll", VerticalScroll)

    def _show(self, query: str) -> None:
        lines = list(self._lines(query.casefold().split()))
        nothing = Content.styled("No key matches.", "$text-muted")
        self.query_one("#keys-list", Static).update(Content("\n").join(lines or [nothing]))
        self._scroll.scroll_home(animate=False)

    def _lines(self, words: list[str]) -> Iterator[Content]:
        for title, keys in by_place(first=self._here):
            found = [key for key in keys if all(word in self._search_text(key) for word in words)]
            if not found:
                continue
            yield Content.styled(title, "bold $primary")
            for key in found:
                shown = visible_line(self._keys_text(key)).ljust(_KEY_WIDTH)
                yield Content.assemble("  ", (shown, "$accent"), " ", key.help)
            yield Content("")

    def _search_text(self, key: Key) -> str:
        return f"{key.id} {self._keys_text(key)} {key.label} {key.help}".casefold()

    def _keys_text(self, key: Key) -> str:
        return keys_text(self._remapped.get(key.id, key.keys))
