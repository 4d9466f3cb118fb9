"""`tp runs note` and `tp runs tag`."""

import sys
from typing import Annotated

import typer

from transformer_playground.cli.options import AsJson, RunsDir
from transformer_playground.cli.output import note as remark
from transformer_playground.cli.output import say, say_json
from transformer_playground.errors import UsageError
from transformer_playground.runs.annotations import (
    LONGEST_NOTE,
    Annotations,
    annotations_problem,
    read_annotations,
    retag,
    write_annotations,
)
from transformer_playground.runs.folder import RUNS_DIR, RunFolder
from transformer_playground.runs.listing import find_run

Id = Annotated[str, typer.Argument(metavar="ID", help="A run, a unique beginning, EXP@latest.")]


def note(
    run_id: Id,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT|-]", help="The new note; - reads standard input."),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove the note.")] = False,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Print a run's note, or write another one."""
    if clear and text is not None:
        raise UsageError("--clear takes no text.", "Give a text or --clear.")
    run = find_run(runs_dir, run_id)
    if text is None and not clear:
        annotations = _readable(run)
        if not json_output:
            say(annotations.note or "(no note)")
            return
    else:
        written = _from_standard_input() if text == "-" else text or ""
        annotations = Annotations(written, read_annotations(run).tags)
        write_annotations(run, annotations)
    _report(run, annotations, json_output, "Noted." if annotations.note else "The note is gone.")


def tag(
    run_id: Id,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TAG|+TAG|-TAG]...", help="Tags to add; -TAG removes."),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="TAG", help="A tag to remove; repeatable."),
    ] = None,
    runs_dir: RunsDir = RUNS_DIR,
    json_output: AsJson = False,
) -> None:
    """Print a run's tags, or add and remove some."""
    words = changes or []
    unknown = [word for word in words if word.startswith("--")]
    if unknown:
        raise UsageError(f"There is no option '{unknown[0]}'.", "See: tp runs tag --help")
    off = [word[1:] for word in words if word.startswith("-")] + (remove or [])
    on = [word.removeprefix("+") for word in words if not word.startswith("-")]
    run = find_run(runs_dir, run_id)
    annotations = read_annotations(run)
    if not on and not off:
        _report(run, _readable(run), json_output)
        return
    tags = retag(annotations.tags, on, off)
    for absent in sorted(set(off) - set(annotations.tags)):
        remark(f"{run.run_id} has no tag '{absent}'.")
    changed = Annotations(annotations.note, tags)
    write_annotations(run, changed)
    _report(run, changed, json_output)


def _readable(run: RunFolder) -> Annotations:
    problem = annotations_problem(run)
    if problem:
        remark(f"warning: {run.run_id}: {problem}.")
    return read_annotations(run)


def _from_standard_input() -> str:
    # A character takes at most four bytes, and a final newline one.
    most = 4 * LONGEST_NOTE + 1
    data = sys.stdin.buffer.read(most + 1)
    if len(data) > most:
        raise UsageError(
            f"Standard input has more than {LONGEST_NOTE:,} characters.", "Write a shorter note."
        )
    try:
        return data.decode("utf-8").rstrip("\n")
    except UnicodeDecodeError as error:
        raise UsageError("Standard input is not UTF-8 text.", "Convert it first.") from error


def _report(
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
