"""Finding runs by name: id, unique prefix, latest or best run of an experiment."""

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from transformer_playground.errors import PlaygroundError, UsageError
from transformer_playground.files import modified
from transformer_playground.jsonvalues import as_text, as_timestamp
from transformer_playground.runs.folder import RunFolder, open_run, read_run_config, run_entries

_MAX_CANDIDATES = 8


def find_run(runs_dir: Path, name: str) -> RunFolder:
    """Find a run by id, unique prefix, `EXPERIMENT@latest` or `EXPERIMENT@best`.

    Raises:
        UsageError: No run or several runs match; the message names candidates.
        RunError: `runs_dir` cannot be listed.
    """
    experiment, at, which = name.rpartition("@")
    if at:
        return _find_by_experiment(runs_dir, experiment, which)
    known = sorted(entry.name for entry in run_entries(runs_dir))
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
    entries = run_entries(runs_dir)
    if name and not any(entry.name == name for entry in entries):
        own = [
            (created, modified(run.metrics_path) or 0.0, run.run_id)
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
    # Lists need far more code than the other ways to find a run.
    from transformer_playground.runs.listing import list_runs

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
