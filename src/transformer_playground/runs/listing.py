"""Run lists."""

import contextlib
import gc
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from transformer_playground.errors import PlaygroundError
from transformer_playground.files import modified
from transformer_playground.jsonvalues import as_count, as_timestamp
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import RunFolder, check_run_id, open_run, run_entries
from transformer_playground.runs.index import IndexedRun, look_up
from transformer_playground.runs.records import new_record
from transformer_playground.runs.status import judge_status, read_writer
from transformer_playground.runs.summary import update_summary

# Fewer new objects are scanned within some milliseconds.
_MANY_OBJECTS = 50_000


def list_runs(runs_dir: Path) -> list[RunInfo]:
    """List all runs, newest first; unreadable ones are listed as broken.

    Raises:
        RunError: `runs_dir` cannot be listed.
    """
    with paused_collection():
        problems = {entry.name: _problem_of(runs_dir, entry) for entry in run_entries(runs_dir)}
        runs = [name for name, problem in problems.items() if problem is None]
        results = {**problems, **look_up(runs_dir, runs)} if runs else problems
        rows = []
        renamed = _renamed(results)
        for name, result in results.items():
            if isinstance(result, IndexedRun):
                rows.append(_row(result, name, renamed))
            elif result is not None:
                rows.append(RunInfo(name, "broken", problem=result.message))
        return sorted(
            rows, key=lambda row: (row.created or 0.0, row.updated or 0.0, row.run_id), reverse=True
        )


@contextlib.contextmanager
def paused_collection() -> Iterator[None]:
    """Without garbage collection, which would scan the many new objects again and again.

    Later collections leave them out, too: for thousands of runs each would halt the process for
    tenths of a second. Rows hold no cycles, so they are freed all the same.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if gc.get_count()[0] > _MANY_OBJECTS:
                gc.freeze()
            gc.enable()


def refresh_run(runs_dir: Path, row: RunInfo) -> RunInfo:
    """Update a listed run, reading only rows added since."""
    run = RunFolder(runs_dir / row.run_id)
    # Read before the rows: see `judge_status`.
    writer = read_writer(run)
    summary, position = update_summary(run.metrics_path, row.summary, row.position)
    status = judge_status(run, summary.status, summary.error, writer)
    return replace(
        row,
        state=status.state,
        problem=status.error,
        updated=modified(run.metrics_path),
        summary=summary,
        position=position,
    )


def _renamed(results: Mapping[str, object]) -> dict[str, str]:
    """Former id -> present id of renamed runs, unless another run has taken the id."""
    return {
        former: name
        for name, result in results.items()
        if isinstance(result, IndexedRun)
        for former in result.entry.identity.former_ids
        if former not in results
    }


def _row(known: IndexedRun, run_id: str, renamed: Mapping[str, str]) -> RunInfo:
    identity, annotations = known.entry.identity, known.entry.annotations
    parent = identity.parent
    if parent is not None and parent.run_id in renamed:
        parent = replace(parent, run_id=renamed[parent.run_id])
    values = {
        "run_id": run_id,
        "state": known.status.state,
        "problem": known.status.error,
        "experiment": identity.experiment,
        "max_iters": as_count(identity.settings.get("train.runtime.max_iters")),
        "parameters": identity.parameters,
        "created": as_timestamp(identity.created),
        "updated": known.updated,
        "seed": identity.seed,
        "parent": parent,
        "tags": annotations.tags,
        "note": annotations.note,
        "settings": identity.settings,
        "summary": known.entry.summary,
        "position": known.entry.position,
        "name": "",
    }
    return new_record(RunInfo, values)


def _problem_of(runs_dir: Path, entry: os.DirEntry[str]) -> PlaygroundError | None:
    """Why a folder cannot be opened as a run; None if it can."""
    try:
        # Only links can lead out of the folder; resolving every path would be slow.
        if entry.is_symlink():
            open_run(runs_dir, entry.name)
        else:
            check_run_id(entry.name)
    except PlaygroundError as error:
        return error
    return None
