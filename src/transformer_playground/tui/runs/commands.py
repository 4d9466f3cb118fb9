"""Commands that change runs: note, tags, rename, delete, undo, resume, copy, and export."""

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

from transformer_playground import tables
from transformer_playground.config.toml import toml_value
from transformer_playground.errors import PlaygroundError, UsageError
from transformer_playground.files import replace_text, write_new_file
from transformer_playground.runs.annotations import (
    LONGEST_NOTE,
    MOST_TAGS,
    Annotations,
    check_tag,
    read_annotations,
    write_annotations,
)
from transformer_playground.runs.fields import FIELDS, RunInfo
from transformer_playground.runs.folder import RunFolder, check_run_id, open_run
from transformer_playground.runs.manage import Moved, delete_runs, rename_run, restore_run
from transformer_playground.terminal import visible
from transformer_playground.training.launch import Launch
from transformer_playground.tui.bindings import key_hint
from transformer_playground.tui.core.context import AppContext
from transformer_playground.tui.dialogs.base import ConfirmScreen
from transformer_playground.tui.dialogs.preparer import confirm_preparer
from transformer_playground.tui.runs.table_columns import CURVE, DELTA, Column
from transformer_playground.tui.runs.table_state import RunsTableState

Format = Literal["csv", "md", "json"]
FORMATS: dict[Format, str] = {"csv": "CSV", "md": "Markdown", "json": "JSON"}
_RESUMABLE = frozenset({"interrupted", "stopped", "failed"})
_TAGS_HINT = "Tags separated by spaces: letters, digits, dots, dashes and underscores."
_NAME_HINT = "Letters, digits, dots, dashes and underscores. Existing reports keep the old name."
_T = TypeVar("_T")


class RunCommands:
    """Commands that change runs; file access happens in worker threads."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._deleted: list[list[Moved]] = []

    def note(self, row: RunInfo) -> None:
        def check(text: str) -> None:
            if len(text) > LONGEST_NOTE:
                raise UsageError(
                    f"The note has {len(text):,} characters.", f"Write at most {LONGEST_NOTE:,}."
                )

        def save(text: str | None) -> None:
            if text is not None and text != row.note:
                self._annotate(row.run_id, lambda old: Annotations(text.rstrip(), old.tags))

        title = f"Note on {self._name(row)}"
        self._edit(save, title, row.note, check, several_lines=True)

    def tags(self, row: RunInfo) -> None:
        def save(text: str | None) -> None:
            if text is not None:
                tags = _parse_tags(text)
                self._annotate(row.run_id, lambda old: Annotations(old.note, tags))

        title = f"Tags of {self._name(row)}"
        self._edit(save, title, " ".join(row.tags), _parse_tags, _TAGS_HINT)

    def rename(self, row: RunInfo) -> None:
        if self._is_exported([row.run_id]):
            return

        def save(name: str | None) -> None:
            if name is None or name == row.run_id:
                return
            self._in_thread(
                lambda: rename_run(self._open(row.run_id), name),
                lambda renamed: self._on_renamed(row.run_id, *renamed),
            )

        self._edit(save, f"Rename {self._name(row)}", row.run_id, check_run_id, _NAME_HINT)

    def _edit(self, save: Callable[[str | None], None], *arguments: Any, **options: Any) -> None:
        # Imported late: Textual's text area slows the start.
        from transformer_playground.tui.dialogs.edit_text import EditTextScreen

        self._context.app.push_screen(EditTextScreen(*arguments, **options), save)

    def delete(self, run_ids: list[str]) -> None:
        """Move runs to the trash after confirmation."""
        if self._is_exported(run_ids):
            return
        name = self._context.name_of(run_ids[0])
        what = name if len(run_ids) == 1 else f"{len(run_ids)} selected runs"
        question = f"Delete {what}? Press {self._undo_key} to restore from the trash."

        def on_answer(answer: str | None) -> None:
            if answer == "delete":
                self._in_thread(
                    lambda: delete_runs([self._open(run_id) for run_id in run_ids]),
                    self._on_deleted,
                )

        answers = (("delete", "Delete"), ("cancel", "Cancel"))
        self._context.app.push_screen(ConfirmScreen(question, answers), on_answer)

    def undo(self) -> None:
        if not self._deleted:
            self._notify("Nothing was deleted in this session. See: tp runs deleted")
            return
        moved = self._deleted[-1]
        runs_dir = self._context.runs_dir
        self._in_thread(
            lambda: [restore_run(runs_dir, each.path.name) for each in moved], self._on_restored
        )

    def resume(self, row: RunInfo) -> None:
        if row.state not in _RESUMABLE:
            self._notify(f"{self._name(row)} is {row.state}: there is nothing to resume.")
            return
        if row.experiment is None:
            self._notify(f"The experiment of {self._name(row)} is not known.")
            return
        job = self._context.training.job_of(row.run_id)
        if job is not None and not job.has_ended:
            self._notify(f"{self._name(row)} is already {job.state}.")
            return
        launch = Launch(row.experiment, resume=row.run_id)
        self._in_thread(lambda: self._before_resuming(launch), partial(self._confirm, launch))

    def _before_resuming(self, launch: Launch) -> tuple[int | None, Path | None]:
        """Step of the checkpoint to resume from, and the new `prepare.py` that would run."""
        from transformer_playground.tui.core.checkpoints import newest_step

        context = self._context
        step = newest_step(context.runs_dir, launch.resume or "")
        known = context.known_preparers
        return step, known.unknown_in(context.experiments_dir, context.runs_dir, launch)

    def _confirm(self, launch: Launch, found: tuple[int | None, Path | None]) -> None:
        step, preparer = found
        confirm_preparer(self._context, preparer, partial(self._submit, launch, step))

    def _submit(self, launch: Launch, step: int | None) -> None:
        job = self._context.training.job_of(launch.resume or "")
        if job is not None and not job.has_ended:
            # The key was pressed twice.
            return
        self._context.training.submit(launch)
        name = self._context.name_of(launch.resume or "")
        self._notify(f"Resuming {name}" + ("." if step is None else f" at step {step:,}."))

    def copy(self, row: RunInfo) -> None:
        self._context.app.copy_to_clipboard(visible(row.run_id))
        self._notify(f"Copied {row.run_id}")

    def export(self, table: RunsTableState) -> None:
        rows = [table.runs[run_id] for run_id in table.order]
        columns = table.columns()

        def on_answer(kind: str | None) -> None:
            if kind not in get_args(Format):
                return
            self._in_thread(
                lambda: export_table(Path.cwd(), rows, columns, cast("Format", kind), time.time()),
                lambda path: self._notify(f"{len(rows)} runs written to {path}"),
            )

        question = f"Export {len(rows)} runs to the current folder as"
        self._context.app.push_screen(ConfirmScreen(question, list(FORMATS.items())), on_answer)

    def _name(self, row: RunInfo) -> str:
        return self._context.name_of(row.run_id)

    def _is_exported(self, run_ids: Sequence[str]) -> bool:
        """Whether one of the runs is being exported, after saying so: the folder must stay."""
        job = self._context.exports.active
        if job is None or job.run_id not in run_ids:
            return False
        self._notify(
            f"{self._context.name_of(job.run_id)} is being exported. Wait for it, or stop it.",
            "warning",
        )
        return True

    @property
    def _undo_key(self) -> str:
        return key_hint("runs.undo", self._context.keymap)

    def _annotate(self, run_id: str, change: Callable[[Annotations], Annotations]) -> None:
        def work() -> None:
            run = self._open(run_id)
            write_annotations(run, change(read_annotations(run)))

        self._in_thread(work, lambda _: self._context.refresh_snapshot())

    def _on_renamed(self, old: str, run: RunFolder, problem: str | None) -> None:
        self._context.workspace.rename(old, run.run_id)
        self._notify(f"Renamed {self._context.name_of(old)} to {run.run_id}.")
        if problem:
            self._notify(problem, severity="warning")
        self._context.refresh_snapshot()

    def _on_deleted(self, moved: list[Moved]) -> None:
        self._deleted.append(moved)
        name = self._context.name_of(moved[0].run_id)
        what = name if len(moved) == 1 else f"{len(moved)} runs"
        self._notify(f"Deleted {what}; press {self._undo_key} to restore.")
        self._context.refresh_snapshot()

    def _on_restored(self, restored: list[Moved]) -> None:
        self._deleted.pop()
        what = restored[0].run_id if len(restored) == 1 else f"{len(restored)} runs"
        self._notify(f"Restored {what}.")
        self._context.publish_workspace(current=restored[0].run_id)
        self._context.refresh_snapshot()

    def _open(self, run_id: str) -> RunFolder:
        return open_run(self._context.runs_dir, run_id)

    def _in_thread(self, work: Callable[[], _T], then: Callable[[_T], object]) -> None:
        """Run `work` in a thread and `then` in the app's own; an error becomes a notification."""
        app = self._context.app

        def run() -> None:
            try:
                result = work()
            except PlaygroundError as error:
                app.call_from_thread(self._notify, str(error), "error")
            except OSError as error:
                reason = f"{error.filename or 'The disk'}: {error.strerror}."
                app.call_from_thread(self._notify, reason, "error")
            else:
                app.call_from_thread(then, result)

        app.run_worker(run, group="runs", thread=True, exit_on_error=False)

    def _notify(self, text: str, severity: str = "information") -> None:
        self._context.app.notify(visible(text), severity=severity, markup=False)  # type: ignore[arg-type]


def _parse_tags(text: str) -> tuple[str, ...]:
    """The tags in a line.

    Raises:
        UsageError: A tag is not valid, or there are too many.
    """
    tags = tuple(dict.fromkeys(map(check_tag, text.replace(",", " ").split())))
    if len(tags) > MOST_TAGS:
        raise UsageError(f"A run can have {MOST_TAGS} tags, not {len(tags)}.", "Remove some.")
    return tags


def export_table(
    folder: Path, rows: Sequence[RunInfo], columns: Sequence[Column], kind: Format, now: float
) -> Path:
    """Write the table to a new file: CSV and JSON with exact values, Markdown with rounded ones.

    Raises:
        ExportError: OSError while writing.
    """
    # Progress exports the step; the difference from the baseline and the curve are not fields.
    fields = {column.field.key: column.field for column in columns if column not in (DELTA, CURVE)}
    exported = [FIELDS["run"], *(field for key, field in fields.items() if key != "run")]
    match kind:
        case "csv":
            values = ([_plain(field.value(row, now)) for field in exported] for row in rows)
            text = tables.csv_text([field.key for field in exported], values, toml_value)
        case "md":
            shown = [
                tables.Column(
                    each.header, [each.text(row, now) for row in rows], each.right_aligned
                )
                for each in exported
            ]
            text = "\n".join(tables.markdown_table(shown)) + "\n"
        case "json":
            text = json.dumps([row.as_json() for row in rows], indent=2, ensure_ascii=False) + "\n"
    # A folder name that is not UTF-8 has lone surrogates, which cannot be encoded.
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return write_new_file(folder, "runs", kind, partial(replace_text, text=text))


def _plain(value: Any) -> Any:
    return " ".join(value) if isinstance(value, tuple) else value
