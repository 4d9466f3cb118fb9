"""Training inside the console against the same training without it. Goal: at least 0.95x.

Both sides train `shakespeare_char` in this process in alternating rounds: without a console, with a
sink that only records times, and in the worker thread of a console whose headless driver shows the
live view at 120x40 and presses a key every quarter of a second. Throughput is measured from the
first logged step to the last, without imports and start-up. Key latency is the time from a key
press until the key is handled and the screen redrawn.
"""

import argparse
import asyncio
import itertools
import json
import os
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from textual.events import Key

from transformer_playground.experiments.discovery import load_experiment
from transformer_playground.experiments.registry import prepare_experiment
from transformer_playground.runs.metrics import read_raw_rows
from transformer_playground.training.events import Event, StepLogged
from transformer_playground.training.launch import Launch
from transformer_playground.training.run import TrainingRequest, start
from transformer_playground.tui.app import Console
from transformer_playground.tui.core.job_queue import Job
from transformer_playground.tui.launch.actions import submit_launch

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
EXPERIMENT = "shakespeare_char"
SIZE = (120, 40)
KEYS = ("down", "up", "j", "k")
SECONDS_BETWEEN_KEYS = 0.25


@dataclass
class Side:
    """Throughput of each round."""

    tokens_per_second: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median tokens per second of the rounds."""
        return statistics.median(self.tokens_per_second)


class Meter:
    """A sink that only records times."""

    essential = False

    def __init__(self) -> None:
        self.first: tuple[float, int] | None = None
        self.last = (0.0, 0)

    def handle(self, event: Event) -> None:
        """Record the time of a logged step."""
        if isinstance(event, StepLogged):
            self.last = (event.time, event.tokens_seen)
            self.first = self.first or self.last

    def sync(self) -> None:
        """Nothing to flush."""

    def close(self) -> None:
        """Nothing to close."""

    @property
    def tokens_per_second(self) -> float:
        """From the first logged step to the last."""
        assert self.first is not None
        return (self.last[1] - self.first[1]) / (self.last[0] - self.first[0])


def headless(overrides: tuple[str, ...], runs_dir: Path) -> float:
    """Train in a thread, as the console does, without a console."""
    experiment, loaded = load_experiment(EXPERIMENTS, EXPERIMENT, None, overrides, os.environ)
    request = TrainingRequest(experiment.name, loaded.config, loaded.provenance, experiment.folder)
    meter = Meter()
    thread = threading.Thread(target=start, args=(request, runs_dir), kwargs={"sinks": [meter]})
    thread.start()
    thread.join()
    return meter.tokens_per_second


def in_console(overrides: tuple[str, ...], runs_dir: Path, latencies: list[float]) -> float:
    """Train in the console with the live view open, and press keys meanwhile."""
    return asyncio.run(_drive(overrides, runs_dir, latencies))


async def _drive(overrides: tuple[str, ...], runs_dir: Path, latencies: list[float]) -> float:
    console = Console(EXPERIMENTS, runs_dir)
    async with console.run_test(size=SIZE):
        submit_launch(console.context, Launch(EXPERIMENT, overrides))
        (job,) = console.context.training.jobs
        # Keys come from a thread, as from a terminal: at arbitrary moments.
        await asyncio.to_thread(_type, console, job, latencies)
        await asyncio.sleep(SECONDS_BETWEEN_KEYS)
        if job.state != "finished":
            raise SystemExit(f"training in the console {job.state}: {job.message}")
    first, *_, last = (
        (row["time"], row["tokens_seen"])
        for row in read_raw_rows(runs_dir / job.name / "metrics.jsonl")
        if row["event"] == "train"
    )
    return float((last[1] - first[1]) / (last[0] - first[0]))


def _type(console: Console, job: Job, latencies: list[float]) -> None:
    for key in itertools.cycle(KEYS):
        time.sleep(SECONDS_BETWEEN_KEYS)
        if job.has_ended:
            return
        if job.state == "running":
            latencies.append(_press(console, key))


def _press(console: Console, key: str) -> float:
    """Seconds from the key press to the redrawn screen."""
    done = threading.Event()
    target = console.focused or console.screen
    began = time.perf_counter()
    console.post_message(Key(key, key if len(key) == 1 else None))
    # The app passes the key to the focused widget; both process their messages in order.
    console.call_later(lambda: target.call_after_refresh(done.set))
    done.wait()
    return time.perf_counter() - began


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iters", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=0, help="0 = all cores")
    arguments = parser.parse_args()
    outside, inside = Side(), Side()
    latencies: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TRANSFORMER_PLAYGROUND_CONFIG_DIR"] = folder
        overrides = (
            f"prepare.dataset_dir={folder}/datasets",
            f"prepare.raw_dir={folder}/raw",
            f"train.runtime.max_iters={arguments.iters}",
            f"train.runtime.threads={arguments.threads}",
            "train.schedule.lr_decay_iters=2000",
            # No samples on either side: their length depends on the generated text.
            "train.runtime.sample_interval=0",
        )
        experiment, loaded = load_experiment(EXPERIMENTS, EXPERIMENT, None, overrides, os.environ)
        prepare_experiment(experiment, loaded.config, report=print)
        runs_dir = Path(folder) / "runs"
        headless((*overrides, "train.runtime.max_iters=30"), runs_dir)
        for number in range(arguments.rounds):
            outside.tokens_per_second.append(headless(overrides, runs_dir))
            inside.tokens_per_second.append(in_console(overrides, runs_dir, latencies))
            print(
                f"round {number + 1}: headless {outside.tokens_per_second[-1]:10,.0f} tokens/s, "
                f"console {inside.tokens_per_second[-1]:10,.0f} tokens/s"
            )
    ratio = inside.median / outside.median
    print(
        f"{ratio:.3f}x of headless; 95 % of keys within {1e3 * percentile(latencies, 0.95):.0f} ms"
    )
    print(
        json.dumps(
            {
                "benchmark": "console_training",
                "rounds": arguments.rounds,
                "headless_tokens_per_s": round(outside.median),
                "console_tokens_per_s": round(inside.median),
                "ratio": round(ratio, 3),
                "goal": 0.95,
                "keys": len(latencies),
                "key_ms_median": round(1e3 * percentile(latencies, 0.5), 1),
                "key_ms_p95": round(1e3 * percentile(latencies, 0.95), 1),
                "key_ms_goal": 100,
            }
        )
    )


if __name__ == "__main__":
    main()
