"""The live view."""

from textual.app import ComposeResult
from textual.widgets import DataTable

from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.screens.view import View


class LiveView(View):
    """Live."""

    NAME = "live"
    BINDINGS = bindings_for("live")

    def compose_body(self) -> ComposeResult:
        """A table."""
        yield DataTable(id="live-table")
