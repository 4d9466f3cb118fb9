"""Memory of the console's live view over many logged steps.

Feeds training events and metrics rows of one run through the view, without a terminal, and prints
the resident memory before and after. The first tenth is a warm-up that fills caches and pools; the
library that validates settings is also loaded before. The remaining growth is the metrics of the
run, about 70 bytes per logged step, and the points of the chart.

    python benchmarks/console_memory.py [--steps 100000]
"""

import argparse
import asyncio
import gc
import importlib
import os
import tempfile
from pathlib import Path

import psutil

from transformer_playground.runs.folder import create_run
from transformer_playground.runs.jsonl import JsonlWriter
from transformer_playground.training.events import StepLogged
from transformer_playground.training.launch import Launch
from transformer_playground.training.sinks.run_files import event_rows
from transformer_playground.tui.app import Console
from transformer_playground.tui.core.job_queue import Job, Update

_BATCH = 500
_MIB = 1024**2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRANSFORMER_PLAYGROUND_CONFIG_DIR"] = folder
        asyncio.run(_measure(Path(folder), steps))


async def _measure(folder: Path, steps: int) -> None:
    importlib.import_module("transformer_playground.config.schema")
    settings = {"train": {"runtime": {"max_iters": steps}}}
    run = create_run(folder / "runs", "long", {"experiment": "none", "config": settings})
    (folder / "experiments").mkdir()
    console = Console(folder / "experiments", folder / "runs")
    job = Job(1, Launch("none"), state="running", run_id="long", max_iters=steps)
    sizes: list[tuple[int, float]] = []
    async with console.run_test(size=(140, 45)) as pilot:
        while "long" not in console.context.snapshot.runs:
            await pilot.pause(0.05)
        await pilot.press("2")
        with JsonlWriter(run.metrics_path) as metrics:
            for start in range(0, steps, _BATCH):
                events = [_logged(step) for step in range(start, min(steps, start + _BATCH))]
                for event in events:
                    for row in event_rows(event):
                        metrics.append(row)
                    console.context.training.record_event(job, event)
                console.context.training_changed.publish([Update(job)])
                await pilot.pause(0.02)
                if start % max(_BATCH, steps // 10 // _BATCH * _BATCH) == 0:
                    sizes.append((start, _resident()))
        await pilot.pause(2.5)
        sizes.append((steps, _resident()))
    for step, size in sizes:
        print(f"{step:>9,} steps  {size:7.1f} MiB")
    begin = sizes[1] if len(sizes) > 2 else sizes[0]
    grown = sizes[-1][1] - begin[1]
    print(f"after the warm-up: {grown:+.1f} MiB over {steps - begin[0]:,} logged steps")


def _logged(step: int) -> StepLogged:
    return StepLogged(
        step=step,
        train_loss=1.0 + 3.0 / (1 + step / 1000),
        lr=1e-3,
        tokens_per_sec=10_000.0,
        step_time_ms=50.0,
        data_share=0.01,
        grad_norm=1.0,
        tokens_seen=step * 768,
    )


def _resident() -> float:
    gc.collect()
    return psutil.Process().memory_info().rss / _MIB


if __name__ == "__main__":
    main()
