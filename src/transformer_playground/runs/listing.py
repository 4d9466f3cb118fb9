"""Run lists, and finding runs by name."""

import contextlib
import difflib
import gc
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from transformer_playground.errors import PlaygroundError, RunError, UsageError
from transformer_playground.files import stat_or_none
from transformer_playground.jsonvalues import as_count, as_text, as_timestamp
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import RunFolder, check_run_id, open_run, read_run_config
from transformer_playground.runs.index import IndexedRun, look_up
from transformer_playground.runs.status import judge_status, read_writer
from transformer_playground.runs.summary import update_summary

_MAX_CANDIDATES = 8


def list_runs(runs_dir: Path) -> list[RunInfo]:
    """List all runs, newest first; unreadable ones are listed as broken.

    Raises:
        RunError: `runs_dir` cannot be listed.
    """
    with _paused_collection():
        problems = {entry.name: _problem_of(runs_dir, entry) for entry in _entries(runs_dir)}
        runs = [name for name, problem in problems.items() if problem is None]
        results = {**problems, **look_up(runs_dir, runs)} if runs else problems
        rows = []
        for name, result in results.items():
            if isinstance(result, IndexedRun):
                rows.append(_row(result, name))
            elif result is not None:
                rows.append(RunInfo(name, "broken", problem=result.message))
        return sorted(
            rows, key=lambda row: (row.created or 0.0, row.updated or 0.0, row.run_id), reverse=True
        )


@contextlib.contextmanager
def _paused_collection() -> Iterator[None]:
    """Without garbage collection, which would scan the many new objects again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
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
        updated=_modified(run.metrics_path),
        summary=summary,
        position=position,
    )


def find_run(runs_dir: Path, name: str) -> RunFolder:
    """Find a run by id, unique prefix, `EXPERIMENT@latest` or `EXPERIMENT@best`.

    Raises:
        UsageError: No run or several runs match; the message names candidates.
        RunError: `runs_dir` cannot be listed.
    """
    experiment, at, which = name.rpartition("@")
    if at:
        return _find_by_experiment(runs_dir, experiment, which)
    known = sorted(entry.name for entry in _entries(runs_dir))
    if name in known:
        return open_run(runs_dir, name)
    matching = [run_id for run_id in known if name and run_id.startswith(name)]
    if len(matching) == 1:
        return open_run(runs_dir, matching[0])
    if matching:
        shown = ", ".join(matching[:_MAX_CANDIDATES])
        more = ", …" if len(matching) > _MAX_CANDIDATES else ""
        raise UsageError(
            f"'{name}' matches {len(matching)} runs: {shown}{more}.",
            "Use a longer prefix, EXPERIMENT@latest or EXPERIMENT@best.",
        )
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"Nearest: {', '.join(nearest)}." if nearest else "See: tp runs"
    raise UsageError(f"There is no run '{name}' in {runs_dir}.", hint)


def find_runs(runs_dir: Path, names: str) -> list[RunFolder]:
    """Find several runs by comma-separated names: see `find_run`.

    Raises:
        UsageError: No name is given, a name matches no run or several, or two match the same run.
        RunError: `runs_dir` cannot be listed.
    """
    given = [name.strip() for name in names.split(",") if name.strip()]
    if not given:
        raise UsageError("No run is given.", "List run IDs, separated by commas.")
    found: dict[RunFolder, str] = {}
    for name in given:
        run = find_run(runs_dir, name)
        if run in found:
            raise UsageError(
                f"The run '{run.run_id}' is given twice: '{found[run]}' and '{name}'.",
                "List each run once.",
            )
        found[run] = name
    return list(found)


def find_run_or_latest(runs_dir: Path, name: str) -> RunFolder:
    """Find a run by id, else the latest run of the experiment `name`, else as `find_run` does.

    Raises:
        UsageError: No run or several runs match; the message names candidates.
        RunError: `runs_dir` cannot be listed.
    """
    entries = _entries(runs_dir)
    if name and not any(entry.name == name for entry in entries):
        own = [
            (created, _modified(run.metrics_path) or 0.0, run.run_id)
            for run, experiment, created in _configured(runs_dir, entries)
            if experiment == name
        ]
        if own:
            return open_run(runs_dir, max(own)[-1])
    return find_run(runs_dir, name)


def _configured(
    runs_dir: Path, entries: list[os.DirEntry[str]]
) -> Iterator[tuple[RunFolder, str, float]]:
    """Readable runs with their experiment and creation time; metrics are not read."""
    for entry in entries:
        try:
            run = open_run(runs_dir, entry.name)
            config = read_run_config(run)
        except PlaygroundError:
            continue
        experiment = as_text(config.get("experiment"))
        if experiment is not None:
            yield run, experiment, as_timestamp(config.get("created")) or 0.0


def _find_by_experiment(runs_dir: Path, experiment: str, which: str) -> RunFolder:
    if which not in ("latest", "best"):
        raise UsageError(
            f"Unknown selector '@{which}' in '{experiment}@{which}'.",
            "Use EXPERIMENT@latest or EXPERIMENT@best.",
        )
    rows = [row for row in list_runs(runs_dir) if row.state != "broken"]
    own = [row for row in rows if row.experiment == experiment]
    if not own:
        names = sorted({row.experiment for row in rows if row.experiment})
        nearest = difflib.get_close_matches(experiment, names, n=3, cutoff=0.4) or names[:3]
        hint = f"Experiments with runs: {', '.join(nearest)}." if nearest else "See: tp runs"
        raise UsageError(f"There is no run of experiment '{experiment}' in {runs_dir}.", hint)
    if which == "latest":
        return open_run(runs_dir, own[0].run_id)
    evaluated = [row for row in own if row.summary.best_val_loss is not None]
    if not evaluated:
        raise UsageError(
            f"No run of experiment '{experiment}' has been evaluated yet.",
            f"Use {experiment}@latest.",
        )
    best = min(evaluated, key=lambda row: row.summary.best_val_loss or 0.0)
    return open_run(runs_dir, best.run_id)


def _row(known: IndexedRun, run_id: str) -> RunInfo:
    identity, annotations = known.entry.identity, known.entry.annotations
    return RunInfo(
        run_id=run_id,
        state=known.status.state,
        problem=known.status.error,
        experiment=identity.experiment,
        max_iters=as_count(identity.settings.get("train.runtime.max_iters")),
        parameters=identity.parameters,
        created=as_timestamp(identity.created),
        updated=known.updated,
        seed=identity.seed,
        parent=identity.parent,
        tags=annotations.tags,
        note=annotations.note,
        settings=identity.settings,
        summary=known.entry.summary,
        position=known.entry.position,
    )


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


def _entries(runs_dir: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(runs_dir) as entries:
            return [entry for entry in entries if _is_candidate(entry)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"Cannot list {runs_dir}: {error.strerror}.") from error


def _is_candidate(entry: os.DirEntry[str]) -> bool:
    if entry.name.startswith("."):
        return False
    # Path.is_dir also accepts loops of links.
    return Path(entry).is_dir() if entry.is_symlink() else entry.is_dir()


def _modified(path: Path) -> float | None:
    state = stat_or_none(path)
    return None if state is None else state.st_mtime
