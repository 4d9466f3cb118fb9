"""The sample view."""

from textual.app import ComposeResult
from textual.widgets import DataTable

from transformer_playground.tui.bindings import bindings_for
from transformer_playground.tui.screens.view import View


class SampleView(View):
    """Sample."""

    NAME = "sample"
    BINDINGS = bindings_for("sample")

    def compose_body(self) -> ComposeResult:
        """A table."""
        yield DataTable(id="sample-table")
