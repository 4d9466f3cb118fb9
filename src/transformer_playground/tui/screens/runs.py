"""The runs view."""

from textual.app import ComposeResult
from textual.widgets import DataTable

from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.screens.view import View


class RunsView(View):
    """Runs."""

    NAME = "runs"
    BINDINGS = bindings_for("runs")

    def compose_body(self) -> ComposeResult:
        """A table."""
        yield DataTable(id="runs-table")
