"""`tp runs note`, `tag`, `rename`, `delete`, `restore`, `deleted` and `unlock`."""

import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from transformer_playground.cli.options import RUN_HELP, AsJson, ExistingRun, RunsDir
from transformer_playground.cli.output import note as print_message
from transformer_playground.cli.output import print_table, say, say_json
from transformer_playground.errors import DataError, UsageError
from transformer_playground.formatting import age_text, loss_text, optional_text
from transformer_playground.jsonvalues import to_jsonable
from transformer_playground.runs.annotations import (
    LONGEST_NOTE,
    Annotations,
    annotations_problem,
    read_annotations,
    retag,
    write_annotations,
)
from transformer_playground.runs.finding import find_run
from transformer_playground.runs.folder import RUNS_DIR, RunFolder
from transformer_playground.runs.manage import (
    Moved,
    delete_runs,
    list_deleted,
    rename_run,
    restore_run,
)
from transformer_playground.runs.status import unlock as unlock_run
from transformer_playground.tables import Column
from transformer_playground.terminal import visible_line


def note(
    run_id: ExistingRun,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT|-]", help="New note; - reads stdin."),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove the note.")] = False,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Print or replace a run's note."""
    if clear and text is not None:
        raise UsageError("--clear takes no text.", "Use one of them.")
    run = find_run(runs_dir, run_id)
    if text is None and not clear:
        annotations = _read_with_warning(run)
        if not json_output:
            say(annotations.note or "(no note)")
            return
    else:
        written = _read_stdin() if text == "-" else text or ""
        annotations = Annotations(written, read_annotations(run).tags)
        write_annotations(run, annotations)
    _report_annotations(
        run,
        annotations,
        json_output,
        "Saved the note." if annotations.note else "Removed the note.",
    )


def tag(
    run_id: ExistingRun,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TAG|+TAG|-TAG]...", help="Tags to add; -TAG removes one."),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="TAG", help="Tag to remove; repeatable."),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Print, add or remove a run's tags."""
    given = changes or []
    unknown = [tag for tag in given if tag.startswith("--")]
    if unknown:
        raise UsageError(f"No such option: {unknown[0]}", "See: tp runs tag --help")
    removed = [tag[1:] for tag in given if tag.startswith("-")] + (remove or [])
    added = [tag.removeprefix("+") for tag in given if not tag.startswith("-")]
    run = find_run(runs_dir, run_id)
    annotations = read_annotations(run)
    if not added and not removed:
        _report_annotations(run, _read_with_warning(run), json_output)
        return
    tags = retag(annotations.tags, added, removed)
    for absent in sorted(set(removed) - set(annotations.tags)):
        print_message(f"{run.run_id} has no tag '{absent}'.")
    changed = Annotations(annotations.note, tags)
    write_annotations(run, changed)
    _report_annotations(run, changed, json_output)


def _read_with_warning(run: RunFolder) -> Annotations:
    problem = annotations_problem(run)
    if problem:
        print_message(f"warning: {run.run_id}: {problem}.")
    return read_annotations(run)


def _read_stdin() -> str:
    # UTF-8 takes at most four bytes per character; one more for a final newline.
    limit = 4 * LONGEST_NOTE + 1
    data = sys.stdin.buffer.read(limit + 1)
    if len(data) > limit:
        raise UsageError(
            f"Standard input has more than {LONGEST_NOTE:,} characters.", "Write a shorter note."
        )
    from transformer_playground.data.sources.text import decode_text

    try:
        return "".join(decode_text(io.BytesIO(data), "Standard input")).rstrip("\n")
    except DataError as error:
        raise UsageError(error.message, error.hint) from error


def _report_annotations(
    run: RunFolder, annotations: Annotations, json_output: bool, text: str | None = None
) -> None:
    if json_output:
        say_json(
            {
                "schema_version": 1,
                "action": "annotate",
                "run_id": run.run_id,
                "note": annotations.note,
                "tags": list(annotations.tags),
            }
        )
        return
    say(text if text is not None else " ".join(annotations.tags) or "(no tags)")


def rename(
    run_id: ExistingRun,
    new: Annotated[str, typer.Argument(metavar="NEW", help="New run ID.")],
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Rename a run that is not running."""
    run = find_run(runs_dir, run_id)
    renamed, problem = rename_run(run, new)
    moved = Moved(run.run_id, renamed.root, problem)
    _report_moved("rename", [moved], json_output, f"Renamed {run.run_id} to {renamed.run_id}.")


def delete(
    run_ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help=f"{RUN_HELP} All are checked first.")
    ],
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Move runs to the trash, runs/.trash/.

    `tp runs restore` brings them back.
    """
    runs = [find_run(runs_dir, run_id) for run_id in run_ids]
    moved = delete_runs(runs)
    lines = [
        f"Moved {each.run_id} to the trash. Undo: tp runs restore {each.path.name}"
        for each in moved
    ]
    _report_moved("delete", moved, json_output, "\n".join(lines))


def restore(
    run_id: Annotated[str, typer.Argument(metavar="ID", help="Name shown by `tp runs deleted`.")],
    new: Annotated[
        str | None, typer.Option("--as", metavar="NEW", help="New run ID, if the old one is taken.")
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Restore a deleted run from the trash."""
    moved = restore_run(runs_dir, run_id, new)
    _report_moved("restore", [moved], json_output, f"Restored {moved.path.name}.")


def unlock(run_id: ExistingRun, runs_dir: RunsDir = RUNS_DIR, json_output: AsJson = False) -> None:
    """Remove the lock of an ended process of another host."""
    run = find_run(runs_dir, run_id)
    writer = unlock_run(run)
    if json_output:
        removed = {"pid": writer.pid, "host": writer.host} if writer else None
        say_json(
            {"schema_version": 1, "action": "unlock", "run_id": run.run_id, "removed": removed}
        )
    elif writer is None:
        say(f"{run.run_id} is not locked.")
    else:
        where = visible_line(writer.host)
        say(f"Unlocked {run.run_id}: removed the lock of process {writer.pid} on {where}.")


def deleted(runs_dir: RunsDir = RUNS_DIR, json_output: AsJson = False) -> None:
    """List deleted runs, most recent first."""
    print_deleted(runs_dir, json_output)


def print_deleted(runs_dir: Path, json_output: bool) -> None:
    """Print the runs in the trash."""
    found = list_deleted(runs_dir)
    if json_output:
        say_json(to_jsonable(found))
        return
    if not found:
        say("The trash is empty.")
        return
    now = time.time()
    print_table(
        [
            Column("run", [run.name for run in found]),
            Column("experiment", [run.experiment or "" for run in found], weight=1),
            Column("step", [optional_text(run.step, "{:,}".format) for run in found], True, 2),
            Column(
                "best val", [optional_text(run.best_val_loss, loss_text) for run in found], True, 3
            ),
            Column("deleted", [age_text(now - run.deleted) for run in found], True, 4),
        ]
    )
    for run in found:
        if run.problem:
            say(visible_line(f"{run.name}: {run.problem}"))


def _report_moved(action: str, moved: Sequence[Moved], json_output: bool, text: str) -> None:
    if json_output:
        results: list[dict[str, Any]] = [
            {
                "run_id": each.run_id,
                "new_id": each.path.name if action != "delete" else None,
                "path": str(each.path),
                "problem": each.problem,
            }
            for each in moved
        ]
        say_json({"schema_version": 1, "action": action, "runs": results})
        return
    say(text)
    for each in moved:
        if each.problem:
            print_message(f"warning: {each.problem}")


COMMANDS = {
    "tag": tag,
    "note": note,
    "rename": rename,
    "delete": delete,
    "restore": restore,
    "deleted": deleted,
    "unlock": unlock,
}
