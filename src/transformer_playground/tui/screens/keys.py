"""The help screen: every key, generated from the table that makes the bindings."""

from collections.abc import Iterator, Mapping

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from transformer_playground.terminal import visible_line
from transformer_playground.tui.bindings import Key, bindings_for, by_place

_NAMES = {"question_mark": "?", "slash": "/", "space": "space", "plus": "+", "minus": "-"}
_KEY_WIDTH = 16


class KeysScreen(ModalScreen[None]):
    """Shows every key, remapped ones as the user has them.

    Args:
        remapped: Id of a binding -> the user's keys.
    """

    BINDINGS = bindings_for("dialog")

    def __init__(self, remapped: Mapping[str, str]) -> None:
        super().__init__()
        self._remapped = remapped

    def compose(self) -> ComposeResult:
        """One scrolling list."""
        with VerticalScroll(classes="dialog", id="keys") as scroll:
            scroll.border_title = "Keys"
            scroll.border_subtitle = "esc closes · any of them can be remapped in the settings"
            yield Static(Content("\n").join(self._lines()))

    def on_mount(self) -> None:
        """Let the arrow keys scroll."""
        self.query_one("#keys").focus()

    def action_dismiss_dialog(self) -> None:
        """Close."""
        self.dismiss(None)

    def _lines(self) -> Iterator[Content]:
        for title, keys in by_place():
            yield Content.styled(title, "bold $primary")
            for key in keys:
                shown = visible_line(self._shown(key)).ljust(_KEY_WIDTH)
                yield Content.assemble("  ", (shown, "$accent"), " ", key.help)
            yield Content("")

    def _shown(self, key: Key) -> str:
        keys = self._remapped.get(key.id, key.keys).split(",")
        return " ".join(_NAMES.get(name.strip(), name.strip()) for name in keys)
