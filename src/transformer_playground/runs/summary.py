"""`summary.json`: a run in a few numbers, recomputable from its configuration and its rows."""

from collections.abc import Iterable
from typing import Any

from transformer_playground.errors import RunError
from transformer_playground.files import replace_json
from transformer_playground.jsonvalues import as_number
from transformer_playground.runs.counting import count_rows
from transformer_playground.runs.layout import RunFolder, read_run_config
from transformer_playground.runs.lines import Row
from transformer_playground.runs.lock import read_writer
from transformer_playground.runs.status import judge_status


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
    writer = read_writer(run)
    tally, _ = count_rows(run.metrics_path)
    return {
        "run_id": run.run_id,
        "experiment": config.get("experiment"),
        "created": config.get("created"),
        "status": judge_status(run, tally.last_word, tally.error, writer).state,
        "params": config.get("parameters"),
        "best_val_loss": tally.best_val_loss,
        "best_step": tally.best_step,
        "final_step": tally.step,
        "early_stopped": tally.early_stopped,
        "tokens_seen": tally.tokens_seen,
        "wall_time_s": round(tally.clock.seconds, 3),
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
        row for row in rows if row["event"] == "eval" and as_number(row.get("val_loss")) is not None
    ]
    return min(evaluations, key=lambda row: row["val_loss"], default=None)
