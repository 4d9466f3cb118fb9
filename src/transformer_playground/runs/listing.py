"""The rows of `tp runs`, and finding a run by what a user types."""

import difflib
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from transformer_playground.errors import PlaygroundError, RunError, UsageError
from transformer_playground.jsonvalues import as_int, as_text
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import RunFolder, check_run_id, open_run, read_run_config
from transformer_playground.runs.index import IndexedRun, look_up
from transformer_playground.runs.lock import read_writer
from transformer_playground.runs.status import judge_status
from transformer_playground.runs.summary import update_summary

_MOST_CANDIDATES = 8


def list_runs(runs_dir: Path) -> list[RunInfo]:
    """Every run folder, newest first; one that cannot be read is listed as broken.

    Raises:
        RunError: `runs_dir` cannot be listed.
    """
    opened = {entry.name: _open_entry(runs_dir, entry) for entry in _entries(runs_dir)}
    runs = [run for run in opened.values() if isinstance(run, RunFolder)]
    results = {**opened, **look_up(runs_dir, runs)} if runs else opened
    rows = []
    for name, result in results.items():
        if isinstance(result, IndexedRun):
            rows.append(_row(result, name))
        elif isinstance(result, PlaygroundError):
            rows.append(RunInfo(name, "broken", problem=result.message))
    return sorted(
        rows, key=lambda row: (row.created or 0.0, row.updated or 0.0, row.run_id), reverse=True
    )


def refresh_run(runs_dir: Path, row: RunInfo) -> RunInfo:
    """The row of a run after it has written more, of which only that is read."""
    run = RunFolder(runs_dir / row.run_id)
    # Before the rows, as `judge_status` asks.
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
    """Find a run by its id, a unique beginning of it, `EXPERIMENT@latest` or `EXPERIMENT@best`.

    Raises:
        UsageError: Nothing fits, or several do; the message names candidates.
        RunError: `runs_dir` cannot be listed.
    """
    experiment, at, which = name.rpartition("@")
    if at:
        return _find_by_experiment(runs_dir, experiment, which)
    known = sorted(entry.name for entry in _entries(runs_dir))
    if name in known:
        return open_run(runs_dir, name)
    fitting = [run_id for run_id in known if name and run_id.startswith(name)]
    if len(fitting) == 1:
        return open_run(runs_dir, fitting[0])
    if fitting:
        shown = ", ".join(fitting[:_MOST_CANDIDATES])
        more = ", …" if len(fitting) > _MOST_CANDIDATES else ""
        raise UsageError(
            f"'{name}' fits {len(fitting)} runs: {shown}{more}.",
            "Type more of the id, or EXPERIMENT@latest or EXPERIMENT@best.",
        )
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    hint = f"Nearest: {', '.join(nearest)}." if nearest else "See: tp runs"
    raise UsageError(f"There is no run '{name}' in {runs_dir}.", hint)


def find_runs(runs_dir: Path, names: str) -> list[RunFolder]:
    """Find several runs, their names separated by commas; each name is one of `find_run`.

    Raises:
        UsageError: No name is given, one of them fits nothing or several runs, or two name the
            same run.
        RunError: `runs_dir` cannot be listed.
    """
    stated = [name.strip() for name in names.split(",") if name.strip()]
    if not stated:
        raise UsageError("No run is named.", "Give run ids, separated by commas.")
    found: dict[RunFolder, str] = {}
    for name in stated:
        run = find_run(runs_dir, name)
        if run in found:
            raise UsageError(
                f"The run '{run.run_id}' is named twice, as '{found[run]}' and as '{name}'.",
                "Name each run once.",
            )
        found[run] = name
    return list(found)


def find_run_or_latest(runs_dir: Path, name: str) -> RunFolder:
    """Find a run by its id, else the latest of the experiment `name`, else as `find_run` does.

    Raises:
        UsageError: Nothing fits, or several do; the message names candidates.
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


def _configured(runs_dir: Path, entries: list[Path]) -> Iterator[tuple[RunFolder, str, float]]:
    """Whole runs with their experiment and time of creation; metrics stay unread."""
    for entry in entries:
        try:
            run = open_run(runs_dir, entry.name)
            config = read_run_config(run)
        except PlaygroundError:
            continue
        experiment = as_text(config.get("experiment"))
        if experiment is not None:
            yield run, experiment, _timestamp(config.get("created")) or 0.0


def _find_by_experiment(runs_dir: Path, experiment: str, which: str) -> RunFolder:
    if which not in ("latest", "best"):
        raise UsageError(
            f"'{experiment}@{which}' asks for an unknown choice '{which}'.",
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
        max_iters=as_int(identity.settings.get("train.runtime.max_iters")),
        parameters=identity.parameters,
        created=_timestamp(identity.created),
        updated=known.updated,
        seed=identity.seed,
        tags=annotations.tags,
        note=annotations.note,
        settings=identity.settings,
        summary=known.entry.summary,
        position=known.entry.position,
    )


def _open_entry(runs_dir: Path, entry: Path) -> RunFolder | PlaygroundError:
    try:
        # Only a link can lead out; looking that up for each folder would take most of the time.
        if entry.is_symlink():
            return open_run(runs_dir, entry.name)
        return RunFolder(runs_dir / check_run_id(entry.name))
    except PlaygroundError as error:
        return error


def _entries(runs_dir: Path) -> list[Path]:
    try:
        return [entry for entry in runs_dir.iterdir() if _is_candidate(entry)]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"Cannot list {runs_dir}: {error.strerror}.") from error


def _is_candidate(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_dir()


def _timestamp(value: object) -> float | None:
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _modified(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None
