"""Opening a metrics file of 1,000,000 rows against `json.loads` of the same lines.

Both sides read the same generated file in one process in alternating rounds. Then rows are appended
and a poll is timed. Peak resident memory is measured before `json.loads` runs, so it is that of the
opening only.
"""

import argparse
import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from transformer_playground.runs.jsonl import JsonlWriter, encode_row
from transformer_playground.runs.series import RunSeries

_EVAL_EVERY = 1000
_POLLS = 50


def generated_rows(count: int) -> Iterator[dict[str, Any]]:
    """Rows of a long run: one train row per step, sometimes an evaluation."""
    source = random.Random(1)
    now = 1_800_000_000.0
    for step in range(1, count + 1):
        now += source.uniform(0.01, 0.03)
        loss = 1.5 + 3.0 / step**0.3 + source.gauss(0.0, 0.1)
        if step % _EVAL_EVERY == 0:
            yield {
                "event": "eval",
                "step": step,
                "time": now,
                "train_loss": loss,
                "val_loss": loss + 0.1,
            }
            continue
        yield {
            "event": "train",
            "step": step,
            "time": now,
            "train_loss": loss,
            "lr": 1e-3 * source.random(),
            "tokens_per_sec": source.uniform(10_000, 20_000),
            "step_time_ms": source.uniform(40, 60),
            "grad_norm": source.uniform(0.5, 2.0),
            "tokens_seen": step * 768,
        }


def json_loads(path: Path) -> None:
    with path.open("rb") as file:
        for line in file:
            json.loads(line)


def opened(path: Path) -> RunSeries:
    series = RunSeries(path)
    series.poll()
    return series


def seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak_mb() -> float:
    """Highest resident memory so far; the kernel counts KiB, macOS bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        with path.open("wb") as file:
            file.writelines(map(encode_row, generated_rows(arguments.rows)))
        size_mb = path.stat().st_size / 1e6
        before = peak_mb()
        series = opened(path)
        grown_mb = peak_mb() - before
        opening, reference = [], []
        for _ in range(arguments.rounds):
            opening.append(seconds(lambda: opened(path)))
            reference.append(seconds(lambda: json_loads(path)))
        polls = {count: poll_seconds(path, series, count) for count in (1, 10)}
        # The console also updates the curve after each poll.
        curve = seconds(lambda: series.curve("train", "train_loss", "time"))
    ours, theirs = statistics.median(opening), statistics.median(reference)
    print(f"file              {arguments.rows:12,} rows {size_mb:8.1f} MB")
    print(f"open as columns   {ours:12.2f} s")
    print(f"json.loads        {theirs:12.2f} s   {ours / theirs:8.2f} of it")
    for count, spent in polls.items():
        print(f"poll, {count:2} new rows {spent * 1000:12.3f} ms")
    print(f"a curve           {curve * 1000:12.3f} ms")
    print(f"memory            {grown_mb:12.1f} MB more")
    print(
        json.dumps(
            {
                "benchmark": "metrics_reader",
                "rows": arguments.rows,
                "open_s": round(ours, 3),
                "json_loads_s": round(theirs, 3),
                "ratio": round(ours / theirs, 3),
                "poll_1_ms": round(polls[1] * 1000, 3),
                "poll_10_ms": round(polls[10] * 1000, 3),
                "curve_ms": round(curve * 1000, 3),
                "memory_mb": round(grown_mb, 1),
                "goal_ratio": 1.0,
            }
        )
    )


def poll_seconds(path: Path, series: RunSeries, count: int) -> float:
    """The median time of a poll that finds `count` new rows."""
    spent = []
    step = int(series.newest("train", "step") or 0)
    with JsonlWriter(path) as metrics:
        for _ in range(_POLLS):
            for _ in range(count):
                step += 1
                metrics.append({"event": "train", "step": step, "time": 2e9, "train_loss": 2.0})
            spent.append(seconds(series.poll))
    return statistics.median(spent)


if __name__ == "__main__":
    main()
