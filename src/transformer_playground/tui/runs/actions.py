"""What keys do to the runs of the table: to the one under the cursor, or to all marked ones."""

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TypeVar, cast, get_args

from transformer_playground.errors import PlaygroundError, UsageError
from transformer_playground.runs.annotations import (
    LONGEST_NOTE,
    MOST_TAGS,
    Annotations,
    check_tag,
    read_annotations,
    write_annotations,
)
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import RunFolder, check_run_id, open_run
from transformer_playground.runs.manage import Moved, delete_runs, rename_run, restore_run
from transformer_playground.terminal import visible
from transformer_playground.training.launch import Launch
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.dialogs.base import ConfirmScreen
from transformer_playground.tui.dialogs.edit_text import WriteScreen
from transformer_playground.tui.runs.export import FORMATS, Format, export_table
from transformer_playground.tui.runs.table import RunsTable
from transformer_playground.tui.runs.table_state import RunsTableState
from transformer_playground.tui.shared.view import View

_RESUMABLE = frozenset({"interrupted", "stopped", "failed"})
_TAGS_HINT = "Words separated by spaces: letters, digits, dots, dashes and underscores."
_NAME_HINT = "Letters, digits, dots, dashes and underscores. Reports keep the name of their time."
_T = TypeVar("_T")


class RunCommands:
    """Changes to runs, each in a thread of its own.

    Args:
        context: State shared by the views.
    """

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._deleted: list[list[Moved]] = []

    def note(self, row: RunInfo) -> None:
        """Write a note."""

        def check(text: str) -> None:
            if len(text) > LONGEST_NOTE:
                raise UsageError(
                    f"The note has {len(text):,} characters.", f"Write at most {LONGEST_NOTE:,}."
                )

        def save(text: str | None) -> None:
            if text is not None and text != row.note:
                self._annotate(row.run_id, lambda old: Annotations(text.rstrip(), old.tags))

        title = f"Note on {row.run_id}"
        self._context.app.push_screen(WriteScreen(title, row.note, check, several_lines=True), save)

    def tags(self, row: RunInfo) -> None:
        """Write tags."""

        def save(text: str | None) -> None:
            if text is not None:
                tags = _tags(text)
                self._annotate(row.run_id, lambda old: Annotations(old.note, tags))

        screen = WriteScreen(f"Tags of {row.run_id}", " ".join(row.tags), _tags, _TAGS_HINT)
        self._context.app.push_screen(screen, save)

    def rename(self, row: RunInfo) -> None:
        """Give a run another name."""

        def save(name: str | None) -> None:
            if name is None or name == row.run_id:
                return
            self._do(
                lambda: rename_run(self._open(row.run_id), name),
                lambda renamed: self._renamed(row.run_id, *renamed),
            )

        screen = WriteScreen(f"Rename {row.run_id}", row.run_id, check_run_id, _NAME_HINT)
        self._context.app.push_screen(screen, save)

    def delete(self, run_ids: list[str]) -> None:
        """Move runs to the trash, after a question."""
        what = run_ids[0] if len(run_ids) == 1 else f"{len(run_ids)} marked runs"
        question = f"Delete {what}? The trash keeps it, and u puts it back."

        def answered(answer: str | None) -> None:
            if answer == "delete":
                self._do(
                    lambda: delete_runs([self._open(run_id) for run_id in run_ids]), self._gone
                )

        answers = (("delete", "Delete"), ("keep", "Keep"))
        self._context.app.push_screen(ConfirmScreen(question, answers), answered)

    def undo(self) -> None:
        """Put back what was deleted last."""
        if not self._deleted:
            self._say("Nothing was deleted here. See: tp runs deleted")
            return
        moved = self._deleted[-1]
        runs_dir = self._context.runs_dir
        self._do(lambda: [restore_run(runs_dir, each.path.name) for each in moved], self._restored)

    def resume(self, row: RunInfo) -> None:
        """Go on with a run that was broken off."""
        if row.state not in _RESUMABLE:
            self._say(f"{row.run_id} is {row.state}: there is nothing to resume.")
            return
        if row.experiment is None:
            self._say(f"It is not known which experiment {row.run_id} belongs to.")
            return
        job = self._context.training.job_of(row.run_id)
        if job is not None and not job.has_ended:
            self._say(f"{row.run_id} is {job.state} already.")
            return
        self._context.training.submit(Launch(row.experiment, resume=row.run_id))
        self._say(f"{row.run_id} goes on from its newest checkpoint.")

    def copy(self, row: RunInfo) -> None:
        """Put a run's id on the clipboard."""
        self._context.app.copy_to_clipboard(visible(row.run_id))
        self._say(f"Copied {row.run_id}")

    def export(self, table: RunsTableState) -> None:
        """Write the table, as it is shown, into the current folder."""
        rows = [table.runs[run_id] for run_id in table.order]
        columns = table.columns()

        def answered(kind: str | None) -> None:
            if kind not in get_args(Format):
                return
            self._do(
                lambda: export_table(Path.cwd(), rows, columns, cast("Format", kind), time.time()),
                lambda path: self._say(f"{len(rows)} runs written to {path}"),
            )

        question = f"Write {len(rows)} runs into the current folder as"
        self._context.app.push_screen(ConfirmScreen(question, list(FORMATS.items())), answered)

    def _annotate(self, run_id: str, change: Callable[[Annotations], Annotations]) -> None:
        def work() -> None:
            run = self._open(run_id)
            write_annotations(run, change(read_annotations(run)))

        self._do(work, lambda _: self._context.refresh_snapshot())

    def _renamed(self, old: str, run: RunFolder, problem: str | None) -> None:
        self._context.workspace.rename(old, run.run_id)
        self._say(f"{old} is {run.run_id} now.")
        if problem:
            self._say(problem, severity="warning")
        self._context.refresh_snapshot()

    def _gone(self, moved: list[Moved]) -> None:
        self._deleted.append(moved)
        what = moved[0].run_id if len(moved) == 1 else f"{len(moved)} runs"
        self._say(f"Deleted {what}; u puts it back.")
        self._context.refresh_snapshot()

    def _restored(self, restored: list[Moved]) -> None:
        self._deleted.pop()
        what = restored[0].run_id if len(restored) == 1 else f"{len(restored)} runs"
        self._say(f"Put back {what}.")
        self._context.publish_workspace(current=restored[0].run_id)
        self._context.refresh_snapshot()

    def _open(self, run_id: str) -> RunFolder:
        return open_run(self._context.runs_dir, run_id)

    def _do(self, work: Callable[[], _T], then: Callable[[_T], object]) -> None:
        """Work in a thread, then go on in the console's own; a fault is told instead."""

        def run() -> None:
            try:
                result = work()
            except PlaygroundError as error:
                self._context.app.call_from_thread(self._say, str(error), "error")
            except OSError as error:
                reason = f"{error.filename or 'The disk'}: {error.strerror}."
                self._context.app.call_from_thread(self._say, reason, "error")
            else:
                self._context.app.call_from_thread(then, result)

        self._context.app.run_worker(run, group="runs", thread=True, exit_on_error=False)

    def _say(self, text: str, severity: str = "information") -> None:
        self._context.app.notify(visible(text), severity=severity, markup=False)  # type: ignore[arg-type]


def _tags(text: str) -> tuple[str, ...]:
    """The tags in a line.

    Raises:
        UsageError: One of them cannot be a tag, or there are too many.
    """
    tags = tuple(dict.fromkeys(map(check_tag, text.replace(",", " ").split())))
    if len(tags) > MOST_TAGS:
        raise UsageError(f"A run can have {MOST_TAGS} tags, not {len(tags)}.", "Remove some.")
    return tags


class RunActions(View):
    """A view with a table of runs.

    Attributes:
        table_state: What the table shows.
    """

    table_state: RunsTableState

    def action_open(self) -> None:
        """Watch the chosen runs."""
        if self.row() is not None:
            self.app.switch_mode("live")

    def action_unmark(self) -> None:
        """Take every mark away."""
        self.context.workspace.marked.clear()
        self.table.refresh()
        self.context.publish_workspace()

    def action_pin(self) -> None:
        """Make the run the baseline, or no longer."""
        if self.table.cursor is not None:
            self.context.workspace.toggle_baseline(self.table.cursor)
            self.context.publish_workspace()

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
        chosen = list(self.context.workspace.marked)
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

        return RunCommands(self.context)
