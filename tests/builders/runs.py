"""Small real run folders, and processes that hold or fill them."""

import json
import os
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import fields
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from transformer_playground.runs.clock import TrainingClock
from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import RunFolder, create_run
from transformer_playground.runs.jsonl import JsonlWriter
from transformer_playground.runs.status import RunLock
from transformer_playground.runs.summary import RunSummary


def run_config(experiment: str = "tiny", **changes: Any) -> dict[str, Any]:
    """A `config.json` with what lists and summaries read."""
    return {
        "experiment": experiment,
        "config": {"train": {"runtime": {"max_iters": 100}}},
        "parameters": 1234,
    } | changes


def make_run(
    runs_dir: Path,
    run_id: str = "tiny-1",
    rows: Iterable[Mapping[str, Any]] = (),
    **changes: Any,
) -> RunFolder:
    """A run with these metrics rows."""
    run = create_run(runs_dir, run_id, run_config(**changes))
    append_rows(run, rows)
    return run


def run_info(run_id: str, state: str = "finished", **facts: Any) -> RunInfo:
    """A run as lists show it.

    Args:
        run_id: Its id.
        state: Its state.
        facts: Fields of `RunInfo` and of `RunSummary`; `wall_time` in seconds.
    """
    if "wall_time" in facts:
        facts["clock"] = TrainingClock(facts.pop("wall_time"))
    names = {field.name for field in fields(RunSummary)}
    summary = RunSummary(**{key: facts.pop(key) for key in names & facts.keys()})
    return RunInfo(run_id, state, summary=summary, **facts)


def append_rows(run: RunFolder, rows: Iterable[Mapping[str, Any]]) -> None:
    """Add rows as a training process would."""
    rows = list(rows)
    if rows:
        with JsonlWriter(run.metrics_path) as metrics:
            for row in rows:
                metrics.append(row)


def claim_seconds(run: RunFolder, seconds: float) -> None:
    """Let the rows of a run say that it trained for so much longer."""
    first, *others = run.metrics_path.read_text(encoding="utf-8").splitlines()
    row = json.loads(first)
    row |= {key: row[key] - seconds for key in ("time", "monotonic") if key in row}
    run.metrics_path.write_text("\n".join([json.dumps(row), *others]) + "\n", encoding="utf-8")


def train_row(step: int, **changes: Any) -> dict[str, Any]:
    """A logged training step."""
    return {
        "event": "train",
        "step": step,
        "time": 1000.0 + step,
        "train_loss": 4.0 - step / 100,
        "lr": 1e-3,
        "tokens_per_sec": 500.0 + step,
        "step_time_ms": 20.0,
        "data_share": 0.01,
        "grad_norm": 1.0,
        "tokens_seen": step * 10,
    } | changes


def eval_row(step: int, val_loss: float | None, **changes: Any) -> dict[str, Any]:
    """An evaluation."""
    row = {"event": "eval", "step": step, "time": 1000.0 + step, "val_loss": val_loss}
    return row | {"train_loss": val_loss} | changes


def status_row(step: int, status: str, **changes: Any) -> dict[str, Any]:
    """A change of status."""
    return {"event": "status", "step": step, "time": 1000.0 + step, "status": status} | changes


def resume_row(step: int, **changes: Any) -> dict[str, Any]:
    """A resume from the checkpoint of `step`."""
    row = {"event": "resume", "step": step, "time": 2000.0 + step}
    return row | {"checkpoint": f"ckpt_last_{step:08d}.pt"} | changes


def write_writer(run: RunFolder, **changes: object) -> None:
    """The record of a process that writes a run, this one unless changed."""
    record = {
        "pid": os.getpid(),
        "host": platform.node(),
        "process_started": psutil.Process().create_time(),
        "heartbeat": time.time(),
    }
    run.writer_path.write_text(json.dumps(record | changes), encoding="utf-8")


def hold_lock(run: RunFolder, started: Connection) -> None:
    """Write a first row under the run's lock and then wait to be killed."""
    with RunLock(run):
        append_rows(run, [status_row(0, "running")])
        started.send(True)
        time.sleep(600)


def append_for_ever(path: Path, progress: Connection) -> None:
    """Append numbered rows, reporting each completed one, until the process is killed."""
    step = 0
    with JsonlWriter(path) as metrics:
        while True:
            metrics.append(train_row(step, message="x" * 2000))
            progress.send(step)
            step += 1


def try_to_create(runs_dir: Path, run_id: str, begin: Any, answer: Connection) -> None:
    """Create a run at the same moment as others; answer with the error or nothing."""
    begin.wait()
    try:
        create_run(runs_dir, run_id, run_config())
    except Exception as error:  # noqa: BLE001 - whatever it is, the test wants to see it
        answer.send(f"{type(error).__name__}: {error}")
    else:
        answer.send("")


def measured_rows() -> list[dict[str, Any]]:
    """Rows of 20 steps with two evaluations, which no status ends."""
    return [
        status_row(0, "running", time=100.0),
        eval_row(0, 4.0, val_bits_per_byte=6.0),
        train_row(10, time=110.0),
        eval_row(20, 2.0, val_bits_per_byte=3.0),
        train_row(20, time=120.0),
    ]
