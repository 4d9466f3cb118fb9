"""`summary.json`: the figures of a run for other programs, and its whole summary for lists.

A list of runs takes the summary from there instead of reading all rows, while `metrics.jsonl` has
the size and the time of modification that it had when the summary was written.
"""

import os
from dataclasses import replace
from functools import cache
from typing import Any

import orjson

from transformer_playground.errors import RunError, translate_os_errors
from transformer_playground.files import read_regular, replace_json, stat_or_none
from transformer_playground.jsonvalues import as_count, as_text, to_jsonable
from transformer_playground.runs.folder import RunFolder, read_run_config
from transformer_playground.runs.index_file import VERSION, FileSignature
from transformer_playground.runs.metrics import FileOffset, RunningMedian
from transformer_playground.runs.records import RecordFormat
from transformer_playground.runs.status import judge_status, read_writer
from transformer_playground.runs.summary import RunSummary, read_summary

_MAX_SIZE = 1 << 20


def summarise(run: RunFolder) -> dict[str, Any]:
    """Compute the figures of `summary.json`; unknown values are None.

    Raises:
        RunError: `config.json` is missing or damaged.
    """
    return _summarise(run)[0]


def _summarise(run: RunFolder) -> tuple[dict[str, Any], RunSummary, FileOffset]:
    config = read_run_config(run)
    writer = read_writer(run)
    summary, position = read_summary(run.metrics_path)
    figures = {
        "run_id": run.run_id,
        "experiment": config["experiment"],
        "created": as_text(config.get("created")),
        "status": judge_status(run, summary.status, summary.error, writer).state,
        "params": as_count(config.get("parameters")),
        "best_val_loss": summary.best_val_loss,
        "best_step": summary.best_step,
        "final_step": summary.step,
        "early_stopped": summary.early_stopped,
        "tokens_seen": summary.tokens_seen,
        "wall_time_s": summary.wall_time_s,
    }
    return figures, summary, position


def write_summary(run: RunFolder) -> dict[str, Any]:
    """Compute and write `summary.json`; return its figures.

    Raises:
        RunError: `config.json` is missing or damaged, or OSError while writing.
    """
    before = stat_or_none(run.metrics_path)
    figures, summary, position = _summarise(run)
    document = dict(figures)
    after = stat_or_none(run.metrics_path)
    if before is not None and after is not None and _identity(before) == _identity(after):
        document["rows"] = {
            "version": VERSION,
            "size": after.st_size,
            "modified_ns": after.st_mtime_ns,
            "read": position.offset,
            # Only a reader of all rows can continue the median.
            "summary": to_jsonable(
                _summary_format().values(replace(summary, throughput=RunningMedian()))
            ),
        }
    hint = "Check the disk; the summary can be recomputed at any time."
    with translate_os_errors(RunError, f"{run.summary_path} could not be written", hint):
        replace_json(run.summary_path, document)
    return figures


def _identity(state: os.stat_result) -> tuple[int, int, int]:
    return state.st_ino, state.st_size, state.st_mtime_ns


def stored_summary(run: RunFolder, metrics: FileSignature) -> tuple[RunSummary, FileOffset] | None:
    """The summary of an ended run, and how far its rows were read, from `summary.json`.

    Args:
        run: The run.
        metrics: Its `metrics.jsonl` as it is now.

    Returns:
        None if the file is missing or damaged, or belongs to other rows.
    """
    inode, size, modified, _ = metrics
    try:
        rows = orjson.loads(read_regular(run.summary_path, _MAX_SIZE))["rows"]
        if (rows["version"], rows["size"], rows["modified_ns"]) != (VERSION, size, modified):
            return None
        read = as_count(rows["read"])
        if read is None or read > size:
            return None
        return _summary_format().read(rows["summary"]), FileOffset(read, inode)
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


@cache
def _summary_format() -> RecordFormat[RunSummary]:
    return RecordFormat(RunSummary)
