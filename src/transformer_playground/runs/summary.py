"""`summary.json`: a run in a few numbers, recomputable from its configuration and its rows."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from transformer_playground.errors import RunError
from transformer_playground.files import replace_json
from transformer_playground.runs.layout import RunFolder, read_run_config
from transformer_playground.runs.lines import Row
from transformer_playground.runs.metrics import Timeline, read_raw_rows
from transformer_playground.runs.status import derive_status

# Rows whose step says how far training has come.
PROGRESS = ("train", "eval", "checkpoint", "status")


def summarise(run: RunFolder) -> dict[str, Any]:
    """Compute the summary of a run from `config.json` and `metrics.jsonl`.

    Returns:
        run_id, experiment, created, status, params, best_val_loss, best_step, final_step,
        early_stopped, tokens_seen, wall_time_s (seconds spent training, pauses between a stop and
        a resume left out). What is unknown yet is None.

    Raises:
        RunError: `config.json` is missing or damaged.
    """
    config = read_run_config(run)
    raw_rows = read_raw_rows(run.metrics_path)
    timeline = Timeline()
    timeline.extend(raw_rows)
    rows = timeline.rows
    best = best_evaluation(rows)
    return {
        "run_id": run.run_id,
        "experiment": config.get("experiment"),
        "created": config.get("created"),
        "status": derive_status(run).state,
        "params": config.get("parameters"),
        "best_val_loss": best["val_loss"] if best else None,
        "best_step": best["step"] if best else None,
        "final_step": latest(rows, "step", PROGRESS),
        "early_stopped": _stopped_early(raw_rows),
        "tokens_seen": latest(rows, "tokens_seen", PROGRESS),
        "wall_time_s": _wall_time(raw_rows),
    }


def write_summary(run: RunFolder) -> dict[str, Any]:
    """Compute the summary, write `summary.json` and return it.

    Raises:
        RunError: `config.json` is missing or damaged, or the disk refused.
    """
    summary = summarise(run)
    try:
        replace_json(run.summary_path, summary)
    except OSError as error:
        raise RunError(
            f"{run.summary_path} could not be written: {error.strerror}.",
            "Check the disk; the summary can be computed again at any time.",
        ) from error
    return summary


def best_evaluation(rows: Iterable[Row]) -> Row | None:
    """The evaluation of lowest finite validation loss, the earliest of equals."""
    evaluations = [
        row for row in rows if row["event"] == "eval" and _is_finite(row.get("val_loss"))
    ]
    return min(evaluations, key=lambda row: row["val_loss"], default=None)


def latest(rows: Sequence[Row], key: str, events: Sequence[str]) -> Any:
    """The newest value of `key` among rows of these events, or None."""
    for row in reversed(rows):
        if row["event"] in events and row.get(key) is not None:
            return row[key]
    return None


def _stopped_early(rows: Sequence[Row]) -> bool:
    for row in reversed(rows):
        if row["event"] == "status":
            return row.get("early_stopped") is True
    return False


def _wall_time(rows: Sequence[Row]) -> float:
    total = 0.0
    begin = end = None
    for row in rows:
        time = row.get("time")
        if not _is_finite(time):
            continue
        if begin is None or row["event"] == "resume" or row.get("status") == "running":
            total += _span(begin, end)
            begin = time
        end = time
    return round(total + _span(begin, end), 3)


def _span(begin: float | None, end: float | None) -> float:
    # A clock that was set back must not make a run shorter.
    return max(0.0, end - begin) if begin is not None and end is not None else 0.0


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
