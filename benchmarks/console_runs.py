"""Table of 1,000 runs in the console: cost of a snapshot, and key latency during it.

The runs are generated in a temporary folder. "Unchanged" and "one changed" are the time on the
console's own thread to apply a snapshot whose rows all are new but equal objects, or one with a
changed row. "Key alone" is the time from a key press to the cursor on the next row and its repaint;
"key" is the same with a changed snapshot applied just before each press.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from transformer_playground.runs.fields import RunInfo
from transformer_playground.runs.folder import create_run
from transformer_playground.runs.jsonl import encode_row
from transformer_playground.tui.app import Console
from transformer_playground.tui.core.snapshot import Snapshot, take_snapshot
from transformer_playground.tui.runs.table import RunsTable
from transformer_playground.tui.runs.view import RunsView

_PATIENCE = 120.0
_STEPS = 20


def make_runs(runs_dir: Path, count: int) -> None:
    """Finished runs with some rows and about as many settings as a real run."""
    tables = {f"table{number}": {f"key{key}": key for key in range(15)} for number in range(5)}
    settings = tables | {"train": {"runtime": {"max_iters": _STEPS, "seed": 1}}}
    for number in range(count):
        config = {"experiment": f"experiment{number % 7}", "config": settings, "parameters": 1}
        run = create_run(runs_dir, f"run-{number:04}", config)
        rows: list[dict[str, object]] = [
            {"event": "train", "step": step, "time": 1e9 + step, "train_loss": 3 - step / 10}
            for step in range(_STEPS)
        ]
        rows.append({"event": "eval", "step": _STEPS, "time": 2e9, "val_loss": 1 + number / count})
        rows.append({"event": "status", "step": _STEPS, "time": 2e9, "status": "finished"})
        run.metrics_path.write_bytes(b"".join(map(encode_row, rows)))


def altered(snapshot: Snapshot, number: int) -> Snapshot:
    """The snapshot with another loss in one row; the others are the same objects, as in use."""
    runs: dict[str, RunInfo] = dict(snapshot.runs)
    first = next(iter(runs))
    summary = dataclasses.replace(runs[first].summary, val_loss=2.0 + number / 1000)
    runs[first] = dataclasses.replace(runs[first], summary=summary)
    return dataclasses.replace(snapshot, runs=runs)


def copied(snapshot: Snapshot) -> Snapshot:
    runs = {run_id: dataclasses.replace(row) for run_id, row in snapshot.runs.items()}
    return dataclasses.replace(snapshot, runs=runs)


async def measure(root: Path, runs: int, rounds: int) -> dict[str, float]:
    console = Console(root / "experiments", root / "runs")
    async with console.run_test(size=(140, 45)) as pilot:
        began = time.monotonic()
        while len(console.context.snapshot.runs) < runs:
            await pilot.pause(0.05)
            if time.monotonic() - began > _PATIENCE:
                raise SystemExit("the runs were never listed")
        view = console.screen
        if not isinstance(view, RunsView):
            raise SystemExit("the runs view did not open first")
        table = view.query_one(RunsTable)
        # From here on snapshots come from this script alone.
        for worker in console.workers:
            if worker.group == "snapshot":
                worker.cancel()
        snapshot = console.context.snapshot

        def apply(new: Snapshot) -> float:
            console.context.snapshot = new
            start = time.perf_counter()
            view.refresh_view()
            return (time.perf_counter() - start) * 1000

        unchanged = [apply(copied(snapshot)) for _ in range(rounds)]
        changed = [apply(altered(snapshot, number)) for number in range(rounds)]

        async def press(number: int, new: Snapshot | None) -> float:
            before = table.cursor
            start = time.perf_counter()
            if new is not None:
                apply(new)
            console.simulate_key("j" if number % 40 < 20 else "k")
            while table.cursor == before:
                await asyncio.sleep(0)
            painted = asyncio.Event()
            view.call_after_refresh(painted.set)
            await painted.wait()
            return (time.perf_counter() - start) * 1000

        alone = [await press(number, None) for number in range(rounds)]
        during = [await press(n, altered(snapshot, rounds + n)) for n in range(rounds)]
    return {
        "unchanged_ms": statistics.median(unchanged),
        "one_changed_ms": statistics.median(changed),
        "key_alone_median_ms": statistics.median(alone),
        "key_alone_p95_ms": statistics.quantiles(alone, n=20)[-1],
        "key_median_ms": statistics.median(during),
        "key_p95_ms": statistics.quantiles(during, n=20)[-1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        os.environ["TRANSFORMER_PLAYGROUND_CONFIG_DIR"] = str(root / "settings")
        make_runs(root / "runs", arguments.runs)
        take_snapshot(root / "experiments", root / "runs")
        figures = asyncio.run(measure(root, arguments.runs, arguments.rounds))
    for name, value in figures.items():
        print(f"{name.removesuffix('_ms').replace('_', ' '):17} {value:8.2f} ms")
    rounded = {name: round(value, 2) for name, value in figures.items()}
    shape = {"benchmark": "console_runs", "runs": arguments.runs, "rounds": arguments.rounds}
    print(json.dumps({**shape, **rounded, "goal_key_p95_ms": 100}))


if __name__ == "__main__":
    main()
