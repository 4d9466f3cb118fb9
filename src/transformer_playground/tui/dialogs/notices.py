"""The last notices, each with its time and in full."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from transformer_playground.formatting import clock_text
from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.core.context import Notice
from transformer_playground.tui.dialogs.base import Dialog

_STYLES = {"warning": "$text-warning", "error": "$text-error"}


class NoticesScreen(Dialog[None]):
    """Lists notices, the newest first."""

    BINDINGS = bindings_for("dialog")

    def __init__(self, notices: Sequence[Notice]) -> None:
        super().__init__()
        self._notices = notices

    def compose(self) -> ComposeResult:
        lines = [
            Content.assemble(
                (f"{clock_text(each.time)} ", "$text-muted"),
                (each.text, _STYLES.get(each.severity, "")),
            )
            for each in reversed(self._notices)
        ]
        with Vertical(classes="dialog", id="notices") as dialog:
            dialog.border_title = "Notices"
            dialog.border_subtitle = f"{self.key_hint('dialog.close')} closes"
            with VerticalScroll(id="notices-scroll"):
                yield Static(Content("\n").join(lines or [Content("No notices yet.")]))

    def action_dismiss_dialog(self) -> None:
        self.dismiss(None)
