"""Memory of the console's live view at 10,000, 100,000 and 1,000,000 logged steps. Goal: flat.

Synthetic rows are appended to the metrics of one run that the view follows, and the events that
training would report are given to the job queue; there is no training and no terminal. An
evaluation and a checkpoint follow every 250 steps. The view opens at the first mark, so that it has
read as large a part of the file at once as it ever does. At each mark the script waits until it
shows the last step, then prints the resident memory of the process. The reading may take a whole
core here, unlike in use, so that the script ends soon.
"""

import argparse
import asyncio
import gc
import importlib
import json
import os
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from textual.pilot import Pilot

from transformer_playground.runs.folder import create_run
from transformer_playground.runs.jsonl import encode_row
from transformer_playground.training.events import StepLogged
from transformer_playground.training.launch import Launch
from transformer_playground.training.sinks.run_files import event_rows
from transformer_playground.tui.app import Console
from transformer_playground.tui.core.job_queue import Job, Update
from transformer_playground.tui.live import polling
from transformer_playground.tui.live.view import LiveView

_BATCH = 2000
_EVAL_EVERY = 250
_MARKS = (10_000, 100_000, 1_000_000)
_PATIENCE = 120.0
_MIB = 1024**2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=_MARKS[-1])
    steps = parser.parse_args().steps
    marks = [*(mark for mark in _MARKS if mark < steps), steps]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRANSFORMER_PLAYGROUND_CONFIG_DIR"] = folder
        sizes = asyncio.run(_measure(Path(folder), marks))
    for step, size in sizes.items():
        print(f"{step:>9,} steps  {size:7.1f} MiB")
    rounded = {f"at_{step}_mib": round(size, 1) for step, size in sizes.items()}
    grown = round(sizes[marks[-1]] - sizes[marks[0]], 1)
    print(f"from step {marks[0]:,} on: {grown:+.1f} MiB")
    print(json.dumps({"benchmark": "console_memory", **rounded, "grown_mib": grown}))


async def _measure(folder: Path, marks: list[int]) -> dict[int, float]:
    importlib.import_module("transformer_playground.config.schema")
    # No rest between two polls.
    polling._MAX_LOAD = 1.0
    settings = {"train": {"runtime": {"max_iters": marks[-1]}}}
    run = create_run(folder / "runs", "long", {"experiment": "none", "config": settings})
    (folder / "experiments").mkdir()
    console = Console(folder / "experiments", folder / "runs")
    job = Job(1, Launch("none"), state="running", run_id="long", max_iters=marks[-1])
    sizes: dict[int, float] = {}
    async with console.run_test(size=(140, 45)) as pilot:
        while "long" not in console.context.snapshot.runs:
            await pilot.pause(0.05)
        with run.metrics_path.open("ab") as metrics:
            step = 0
            for mark in marks:
                while step < mark:
                    end = min(mark, step + _BATCH)
                    for event in map(_logged, range(step, end)):
                        metrics.writelines(map(encode_row, event_rows(event)))
                        metrics.writelines(map(encode_row, _evaluated(event.step)))
                        console.context.training.record_event(job, event)
                    metrics.flush()
                    console.context.training_changed.publish([Update(job)])
                    step = end
                    await pilot.pause(0)
                if mark == marks[0]:
                    await pilot.press("2")
                await _until_shown(console, pilot, mark - 1)
                sizes[mark] = _resident()
    return sizes


async def _until_shown(console: Console, pilot: Pilot[Any], step: int) -> None:
    view = console.screen
    if not isinstance(view, LiveView):
        raise SystemExit("the live view did not open")
    began = time.monotonic()
    while True:
        frame = view.poller.frame
        if frame and frame.focus and frame.focus.stats.summary.train_step == step:
            return
        if time.monotonic() - began > _PATIENCE:
            raise SystemExit(f"step {step:,} was never shown")
        await pilot.pause(0.1)


def _logged(step: int) -> StepLogged:
    source = random.Random(step)
    return StepLogged(
        step=step,
        train_loss=1.0 + 3.0 / (1 + step / 1000) + source.gauss(0.0, 0.05),
        lr=1e-3,
        tokens_per_sec=source.uniform(9_000.0, 10_000.0),
        step_time_ms=source.uniform(48.0, 52.0),
        data_share=0.01,
        grad_norm=source.uniform(0.5, 2.0),
        tokens_seen=step * 768,
    )


def _evaluated(step: int) -> Iterator[dict[str, Any]]:
    if step % _EVAL_EVERY:
        return
    loss = 1.1 + 3.0 / (1 + step / 1000)
    common = {"step": step, "time": time.time(), "monotonic": time.monotonic()}
    losses = {"train_loss": loss - 0.1, "val_loss": loss, "val_bits_per_byte": loss / 0.7}
    yield common | losses | {"event": "eval", "eval_windows": 64, "window_tokens": 64}
    yield common | {"event": "checkpoint", "kinds": ["last"], "tokens_seen": step * 768}


def _resident() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / _MIB


if __name__ == "__main__":
    main()
