"""`tp runs rename`, `delete`, `restore` and `deleted`."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from transformer_playground.cli.options import AsJson, RunsDir
from transformer_playground.cli.output import note, print_table, say, say_json
from transformer_playground.formatting import age_text, loss_text, optional_text
from transformer_playground.jsonvalues import to_jsonable
from transformer_playground.runs.folder import RUNS_DIR, RunFolder
from transformer_playground.runs.listing import find_run
from transformer_playground.runs.manage import (
    DeletedRun,
    Moved,
    delete_runs,
    list_deleted,
    rename_run,
    restore_run,
)
from transformer_playground.tables import Column
from transformer_playground.terminal import visible_line

Id = Annotated[str, typer.Argument(metavar="ID", help="A run, a unique beginning, EXP@latest.")]


def rename(
    run_id: Id,
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new id.")],
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Give a run another id; not while it is running."""
    run = find_run(runs_dir, run_id)
    renamed, problem = rename_run(run, new)
    moved = Moved(run.run_id, renamed.root, problem)
    _report("rename", [moved], json_output, f"{run.run_id} is now {renamed.run_id}.")


def delete(
    run_ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Runs; all are checked before any goes.")
    ],
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Move runs to the trash, runs/.trash/.

    `tp runs restore` brings them back.
    """
    runs: list[RunFolder] = [find_run(runs_dir, run_id) for run_id in run_ids]
    moved = delete_runs(runs)
    lines = [f"{each.run_id} is in the trash; undo: {_undo(each)}" for each in moved]
    _report("delete", moved, json_output, "\n".join(lines))


def restore(
    run_id: Annotated[
        str, typer.Argument(metavar="ID", help="A deleted run, as `tp runs deleted` names it.")
    ],
    new: Annotated[
        str | None, typer.Option("--as", metavar="NEW", help="The id to give it.")
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Bring a deleted run back."""
    moved = restore_run(runs_dir, run_id, new)
    _report("restore", [moved], json_output, f"{moved.path.name} is back.")


def deleted(runs_dir: RunsDir = RUNS_DIR, json_output: AsJson = False) -> None:
    """List the trash, the latest deleted first."""
    print_deleted(runs_dir, json_output)


def print_deleted(runs_dir: Path, json_output: bool) -> None:
    """Print what the trash holds."""
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
    _print_problems(found)


def _print_problems(found: Sequence[DeletedRun]) -> None:
    for run in found:
        if run.problem:
            say(visible_line(f"{run.name}: {run.problem}"))


def _undo(moved: Moved) -> str:
    return f"tp runs restore {moved.path.name}"


def _report(action: str, moved: Sequence[Moved], json_output: bool, text: str) -> None:
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
    else:
        say(text)
    for each in moved:
        if each.problem and not json_output:
            note(f"warning: {each.problem}")
