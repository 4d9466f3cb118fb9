"""The compare view."""

from textual.app import ComposeResult
from textual.widgets import DataTable

from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.screens.view import View


class CompareView(View):
    """Compare."""

    NAME = "compare"
    BINDINGS = bindings_for("compare")

    def compose_body(self) -> ComposeResult:
        """A table."""
        yield DataTable(id="compare-table")
