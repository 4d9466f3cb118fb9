"""Listing 1,000 runs against `json.loads` of the same metrics lines. Goal: warm, under 1 s.

All are CPU times: on an idle machine, with the files in its cache, a list takes hardly longer.

The runs are generated in a temporary folder, with the `summary.json` that training writes at its
end. "Cold" has no index, "all rows" neither index nor summaries. "Warm" has an index with only
valid entries, "new process" is the same in a process that has not read the index before, without
its imports, and "one changed" has one run with a new row. The script waits before the first list,
because the index does not cache files changed within the last seconds.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from transformer_playground.runs.folder import create_run
from transformer_playground.runs.index import INDEX_NAME
from transformer_playground.runs.jsonl import JsonlWriter, encode_row
from transformer_playground.runs.listing import list_runs
from transformer_playground.runs.summary_file import write_summary

_SETTLE_SECONDS = 3.0
_EVAL_EVERY = 20


def generated_rows(count: int, seed: int) -> Iterator[dict[str, Any]]:
    source = random.Random(seed)
    now = 1_800_000_000.0 + seed
    yield {"event": "status", "status": "running", "step": 0, "time": now, "tokens_per_step": 768}
    for step in range(1, count - 1):
        now += 0.5
        row = {"event": "train", "step": step * 10, "time": now, "train_loss": source.random()}
        if step % _EVAL_EVERY == 0:
            yield row | {"event": "eval", "val_loss": source.random(), "val_bits_per_byte": 2.0}
            continue
        yield row | {
            "lr": source.random() / 1000,
            "tokens_per_sec": 1e4 * source.random(),
            "step_time_ms": 50 * source.random(),
            "grad_norm": source.random(),
            "tokens_seen": step * 7680,
        }
    yield {"event": "status", "status": "finished", "step": count * 10, "time": now}


def make_runs(runs_dir: Path, runs: int, rows: int) -> None:
    # About as many settings as a real config.json holds.
    tables = {f"table{number}": {f"key{key}": key for key in range(15)} for number in range(5)}
    settings = tables | {"train": {"runtime": {"max_iters": rows * 10, "seed": 1}}}
    for number in range(runs):
        config = {"experiment": f"experiment{number % 7}", "config": settings, "parameters": 1}
        run = create_run(runs_dir, f"run-{number:04}", config)
        run.metrics_path.write_bytes(b"".join(map(encode_row, generated_rows(rows, number))))
        write_summary(run)


def json_loads(runs_dir: Path) -> None:
    for path in runs_dir.glob("*/metrics.jsonl"):
        with path.open("rb") as file:
            for line in file:
                json.loads(line)


def new_process_ms(runs_dir: Path) -> float:
    """CPU time of a list in a process of its own."""
    script = """
import sys, time
from pathlib import Path
from transformer_playground.runs.listing import list_runs
began = time.process_time()
list_runs(Path(sys.argv[1]))
print(time.process_time() - began)
"""
    command = [sys.executable, "-c", script, str(runs_dir)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(output) * 1000


def median_ms(work: Callable[[], object], before: Callable[[], object], rounds: int) -> float:
    spent = []
    for _ in range(rounds):
        before()
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return statistics.median(spent) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs_dir = Path(folder)
        make_runs(runs_dir, arguments.runs, arguments.rows)
        time.sleep(_SETTLE_SECONDS)

        def listed() -> None:
            if len(list_runs(runs_dir)) != arguments.runs:
                raise SystemExit("runs are missing in the list")

        def change_one() -> None:
            with JsonlWriter(runs_dir / "run-0000" / "metrics.jsonl") as metrics:
                metrics.append({"event": "train", "step": 10**6, "time": time.time()})

        def forget() -> None:
            (runs_dir / INDEX_NAME).unlink(missing_ok=True)

        def forget_summaries() -> None:
            forget()
            for path in runs_dir.glob("*/summary.json"):
                path.unlink()

        listed()  # imports are not measured
        figures = {
            "json_loads_ms": median_ms(lambda: json_loads(runs_dir), forget, arguments.rounds),
            "cold_ms": median_ms(listed, forget, arguments.rounds),
            "warm_ms": median_ms(listed, lambda: None, arguments.rounds),
            "new_process_ms": statistics.median(
                new_process_ms(runs_dir) for _ in range(arguments.rounds)
            ),
            "one_changed_ms": median_ms(listed, change_one, arguments.rounds),
            "all_rows_ms": median_ms(listed, forget_summaries, arguments.rounds),
        }
    for name, value in figures.items():
        print(f"{name.removesuffix('_ms').replace('_', ' '):12} {value:10.1f} ms")
    rounded = {name: round(value, 1) for name, value in figures.items()}
    shape = {"benchmark": "run_list", "runs": arguments.runs, "rows": arguments.rows}
    print(json.dumps({**shape, **rounded, "goal_warm_ms": 1000}))


if __name__ == "__main__":
    main()
