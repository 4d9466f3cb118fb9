"""Actions of the table of runs: selection, baseline, and the commands that change runs."""

import time
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from transformer_playground.runs.fields import FIELDS, RunInfo, setting_keys
from transformer_playground.tui.runs.table import RunsTable
from transformer_playground.tui.runs.table_columns import CURVE, SETTINGS_KEY
from transformer_playground.tui.runs.table_state import RunsTableState
from transformer_playground.tui.shared.view import View

if TYPE_CHECKING:
    from transformer_playground.tui.dialogs.run_control import RunControl, Target
    from transformer_playground.tui.runs.commands import RunCommands
    from transformer_playground.tui.runs.filter_bar import FilterBar


class RunActions(View):
    """A view with a table of runs, and the actions on them."""

    table_state: RunsTableState

    def action_open(self) -> None:
        row = self.row()
        if row is not None:
            self.context.workspace.opened = row.run_id
            self.app.switch_mode("live")

    def on_filter_bar_closed(self) -> None:
        self.table.focus()

    def action_mark_all(self) -> None:
        selected = self.context.workspace.selected
        selected += [run_id for run_id in self.table_state.order if run_id not in selected]
        self.table.refresh()
        self.context.publish_workspace()

    def action_unmark(self) -> None:
        self.context.workspace.selected.clear()
        self.table.refresh()
        self.context.publish_workspace()

    def action_pin(self) -> None:
        if self.table.cursor is not None:
            self.context.workspace.toggle_baseline(self.table.cursor)
            self.context.publish_workspace()

    def action_sort(self) -> None:
        self.table_state.sort_by_next(time.time(), self.table.shown_columns)
        self.on_table_changed()

    def action_reverse(self) -> None:
        self.table_state.sort_by(self.table_state.sorted_by[0], time.time())
        self.on_table_changed()

    def action_tree(self) -> None:
        self.table_state.is_tree = not self.table_state.is_tree
        self.table_state.arrange(time.time())
        self.on_table_changed()

    def action_columns(self) -> None:
        from transformer_playground.tui.runs.column_picker import ColumnsScreen

        settings = sorted(setting_keys(self.table_state.runs.values()))
        known = [
            (SETTINGS_KEY, "settings that differ"),
            (CURVE.key, "curve of the validation loss"),
            ("progress", "progress bar"),
        ]
        known += [(key, field.header) for key, field in FIELDS.items() if key != "run"]
        known += [(key, key) for key in settings]
        self.app.push_screen(ColumnsScreen(known, self.table_state.keys), self._set_columns)

    def _set_columns(self, keys: list[str] | None) -> None:
        if keys is not None:
            self.table_state.choose_columns(keys, time.time())
            self.on_table_changed()

    @abstractmethod
    def on_table_changed(self) -> None:
        """Show another order or other columns, and remember them."""

    def action_note(self) -> None:
        self._with_row(self._commands.note)

    def action_tags(self) -> None:
        self._with_row(self._commands.tags)

    def action_rename(self) -> None:
        self._with_row(self._commands.rename)

    def action_delete(self) -> None:
        """Delete the selected runs, else the run under the cursor."""
        chosen = list(self.context.workspace.selected)
        if not chosen and self.table.cursor is not None:
            chosen = [self.table.cursor]
        if chosen:
            self._commands.delete(chosen)

    def action_undo(self) -> None:
        self._commands.undo()

    def action_resume(self) -> None:
        self._with_row(self._commands.resume)

    def action_pause(self) -> None:
        self._control.pause(self._target(), self.table.cursor)

    def action_stop(self) -> None:
        self._control.stop(self._target())

    def action_evaluate(self) -> None:
        self._control.ask(self._target(), "evaluate", self.table.cursor)

    def action_sample(self) -> None:
        self._control.ask(self._target(), "sample", self.table.cursor)

    def action_checkpoint(self) -> None:
        self._control.ask(self._target(), "checkpoint", self.table.cursor)

    def _target(self) -> "Target | None":
        return self._control.target(self.table.cursor)

    def action_inside(self) -> None:
        from transformer_playground.tui.inside.actions import look_inside_run

        look_inside_run(self.context, self.table.cursor)

    def action_copy(self) -> None:
        self._with_row(self._commands.copy)

    def action_export(self) -> None:
        if self.table_state.order:
            self._commands.export(self.table_state)

    def action_export_model(self) -> None:
        row = self.row()
        if row is not None:
            from transformer_playground.tui.export.actions import export_model

            export_model(self.context, row.run_id)

    def _with_row(self, command: Callable[[RunInfo], None]) -> None:
        row = self.row()
        if row is not None:
            command(row)

    def row(self) -> RunInfo | None:
        cursor = self.table.cursor
        return self.table_state.runs.get(cursor) if cursor is not None else None

    @property
    def table(self) -> RunsTable:
        return self.query_one(RunsTable)

    @cached_property
    def filter_bar(self) -> "FilterBar":
        # Added by the first listing, after the first frame.
        from transformer_playground.tui.runs.filter_bar import FilterBar

        bar = FilterBar(self.table_state)
        self.query_one("#runs-pane").mount(bar, before=self.table)
        return bar

    @cached_property
    def _control(self) -> "RunControl":
        from transformer_playground.tui.dialogs.run_control import RunControl

        return RunControl(self.context)

    @cached_property
    def _commands(self) -> "RunCommands":
        # Imported when a run is first changed.
        from transformer_playground.tui.runs.commands import RunCommands

        return RunCommands(self.context)
