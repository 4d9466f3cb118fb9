"""What a shared file says: verdict, settings, curves, samples and reports of some runs."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from transformer_playground.comparison.compare import Comparison, compare_runs
from transformer_playground.comparison.compared_run import ComparedRun, read_run
from transformer_playground.comparison.leaderboard import (
    Leaderboard,
    leaderboard,
    name_by_settings,
    sentence,
)
from transformer_playground.files import read_regular
from transformer_playground.jsonvalues import as_object, as_text
from transformer_playground.runs.curves import decimate
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.metrics import read_samples
from transformer_playground.runs.naming import RunNames, name_runs
from transformer_playground.runs.series import RunSeries
from transformer_playground.terminal import visible, visible_line

# All curves together, so that the file stays below two megabytes.
_MAX_COLUMNS, _ALL_COLUMNS, _LEAST_COLUMNS = 800, 30_000, 8
_EVENTS = ("eval", "train")
# Positions and what is the same in each row.
_NOT_DRAWN = frozenset(
    {"step", "time", "monotonic", "eval_windows", "window_tokens", "tokens_seen"}
)
_MAX_CURVES = 40
_AXIS_POINTS = 200
_MAX_SAMPLES, _MAX_CHARACTERS = 3, 3_000
_MAX_REPORT_BYTES = 1 << 22
_DIGITS = 6


@dataclass(frozen=True)
class Shared:
    """What is shared.

    Attributes:
        title: Untrusted text.
        verdict: The verdict in words; empty for a single run.
        comparison: None for a single run.
        board: The rows of the comparison, or None.
        runs: The runs in the order of the request.
        names: Run id -> what to call it.
        charts: What the script draws: `runs`, and `charts` with lines.
        samples: Run id -> step and texts.
        reports: Run id -> verdicts of its newest report.
    """

    title: str
    verdict: str
    comparison: Comparison | None
    board: Leaderboard | None
    runs: tuple[ComparedRun, ...]
    names: Mapping[str, str]
    charts: Mapping[str, Any]
    samples: Mapping[str, tuple[int, tuple[str, ...]]]
    reports: Mapping[str, tuple[str, ...]]


def collect(folders: Sequence[RunFolder], title: str | None = None) -> Shared:
    """Read runs for sharing; nothing outside their folders is needed.

    Args:
        folders: The runs; the first is the baseline.
        title: Title; None = the names of the runs.

    Raises:
        RunError: The `config.json` of a run is missing or damaged.
    """
    series = [RunSeries(folder.metrics_path) for folder in folders]
    runs = tuple(read_run(*pair) for pair in zip(folders, series, strict=True))
    known = _names(folders)
    names = {folder.run_id: visible_line(known.label(folder.run_id)) for folder in folders}
    comparison = compare_runs(runs) if len(runs) > 1 else None
    board, verdict = None, ""
    if comparison is not None:
        name_of = name_by_settings(comparison, known)
        board, verdict = leaderboard(comparison, name_of), sentence(comparison, name_of)
    return Shared(
        title=title or _title(list(names.values())),
        verdict=verdict,
        comparison=comparison,
        board=board,
        runs=runs,
        names=names,
        charts=_charts(runs, series, names),
        samples={folder.run_id: found for folder in folders if (found := _samples(folder))},
        reports={each.run_id: verdicts for each in folders if (verdicts := _report(each))},
    )


def created_text() -> str:
    """When the file is made, for its foot."""
    return datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")


def _names(folders: Sequence[RunFolder]) -> RunNames:
    wanted = {folder.run_id for folder in folders}
    rows: list[RunInfo] = []
    for parent in {folder.root.parent for folder in folders}:
        rows += [row for row in list_runs(parent) if row.run_id in wanted]
    return name_runs(rows)


def _title(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} runs"


def _charts(
    runs: Sequence[ComparedRun], series: Sequence[RunSeries], names: Mapping[str, str]
) -> dict[str, Any]:
    keys = _keys(series)
    lines = max(1, len(keys) * len(runs))
    columns = max(_LEAST_COLUMNS, min(_MAX_COLUMNS, _ALL_COLUMNS // lines))
    charts = []
    for event, key in keys:
        found = []
        for number, each in enumerate(series):
            curve = each.curve(event, key)
            if curve.y.size and np.isfinite(curve.y).any():
                x, y = decimate(curve.x, curve.y, columns)
                found.append({"run": number, "x": _numbers(x), "y": _numbers(y)})
        if found:
            charts.append({"event": event, "key": visible_line(key), "lines": found})
    return {
        "runs": [
            {"name": names[run.run_id], "axes": _axes(each)}
            for run, each in zip(runs, series, strict=True)
        ],
        "charts": charts,
    }


def _keys(series: Sequence[RunSeries]) -> list[tuple[str, str]]:
    """Quantities to draw: validation loss first, then other evaluations, then training."""
    found: dict[tuple[str, str], None] = {}
    for event in _EVENTS:
        for each in series:
            for key in each.keys(event):
                if key not in _NOT_DRAWN:
                    found.setdefault((event, key))
    first = [key for key in (("eval", "val_loss"), ("train", "train_loss")) if key in found]
    return [*first, *(key for key in found if key not in first)][:_MAX_CURVES]


def _axes(series: RunSeries) -> dict[str, list[list[float | None]]]:
    """Tokens and seconds at some steps, for other horizontal axes."""
    axes = {}
    for axis in ("tokens", "time"):
        steps = series.curve("train", "step", axis)
        if steps.x.size > 1:
            kept = np.unique(np.linspace(0, steps.x.size - 1, _AXIS_POINTS).astype(int))
            axes[axis] = [_numbers(steps.y[kept]), _numbers(steps.x[kept])]
    return axes


def _numbers(values: Any) -> list[float | None]:
    """Numbers with six digits, whole ones as such; None for what is not finite."""
    return [_number(value) for value in np.asarray(values, dtype=np.float64).tolist()]


def _number(value: float) -> float | None:
    if not np.isfinite(value):
        return None
    rounded = float(f"{value:.{_DIGITS}g}")
    whole = value == int(value) and abs(value) < 1 << 53
    return int(value) if whole else int(rounded) if rounded == int(rounded) else rounded


def _samples(run: RunFolder) -> tuple[int, tuple[str, ...]] | None:
    """The newest samples drawn during training."""
    rows = read_samples(run)
    if not rows:
        return None
    step = max(row["step"] for row in rows)
    texts = [
        (as_text(row.get("prompt")) or "") + row["text"] for row in rows if row["step"] == step
    ]
    return step, tuple(_cut(text) for text in texts[:_MAX_SAMPLES])


def _cut(text: str) -> str:
    return visible(text[:_MAX_CHARACTERS]) + (" …" if len(text) > _MAX_CHARACTERS else "")


def _report(run: RunFolder) -> tuple[str, ...]:
    """Verdicts of the newest report that can be read."""
    try:
        files = sorted(run.reports.glob("report-*.json"), key=lambda path: path.stat().st_mtime)
    except OSError:
        return ()
    return next(filter(None, map(_verdicts, reversed(files))), ())


def _verdicts(path: Path) -> tuple[str, ...]:
    try:
        document = as_object(json.loads(read_regular(path, _MAX_REPORT_BYTES)))
    except (OSError, ValueError, RecursionError):
        return ()
    found = document.get("verdicts")
    rows = found if isinstance(found, list) else []
    sentences = (as_text(as_object(row).get("sentence")) for row in rows)
    return tuple(visible_line(text) for text in sentences if text)
