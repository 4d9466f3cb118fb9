"""What keys do to the runs of the table: to the one under the cursor, or to all marked ones."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from transformer_playground.runs.fields import RunInfo
from transformer_playground.tui.screens.view import View
from transformer_playground.tui.state.table import RunsTableState
from transformer_playground.tui.widgets.runs_table import RunsTable

if TYPE_CHECKING:
    from transformer_playground.tui.screens.run_commands import RunCommands


class RunActions(View):
    """A view with a table of runs.

    Attributes:
        table_state: What the table shows.
    """

    table_state: RunsTableState

    def action_open(self) -> None:
        """Watch the chosen runs."""
        if self.row() is not None:
            self.console.action_view("live")

    def action_unmark(self) -> None:
        """Take every mark away."""
        self.console.workspace.marked.clear()
        self.table.refresh()
        self.console.choose()

    def action_pin(self) -> None:
        """Make the run the baseline, or no longer."""
        if self.table.cursor is not None:
            self.console.workspace.toggle_baseline(self.table.cursor)
            self.console.choose()

    def action_note(self) -> None:
        """Write a note."""
        self._with_row(self._commands.note)

    def action_tags(self) -> None:
        """Write tags."""
        self._with_row(self._commands.tags)

    def action_rename(self) -> None:
        """Give the run another name."""
        self._with_row(self._commands.rename)

    def action_delete(self) -> None:
        """Delete marked runs, or the one under the cursor."""
        chosen = list(self.console.workspace.marked)
        if not chosen and self.table.cursor is not None:
            chosen = [self.table.cursor]
        if chosen:
            self._commands.delete(chosen)

    def action_undo(self) -> None:
        """Put back what was deleted last."""
        self._commands.undo()

    def action_resume(self) -> None:
        """Go on with the run."""
        self._with_row(self._commands.resume)

    def action_copy(self) -> None:
        """Copy the run's id."""
        self._with_row(self._commands.copy)

    def action_export(self) -> None:
        """Write the table to a file."""
        if self.table_state.order:
            self._commands.export(self.table_state)

    def _with_row(self, command: Callable[[RunInfo], None]) -> None:
        row = self.row()
        if row is not None:
            command(row)

    def row(self) -> RunInfo | None:
        """The run under the cursor."""
        cursor = self.table.cursor
        return self.table_state.runs.get(cursor) if cursor is not None else None

    @property
    def table(self) -> RunsTable:
        """The table of runs."""
        return self.query_one(RunsTable)

    @cached_property
    def _commands(self) -> "RunCommands":
        # Imported by the first command, long after the first frame.
        from transformer_playground.tui.screens.run_commands import RunCommands

        return RunCommands(self.console)
