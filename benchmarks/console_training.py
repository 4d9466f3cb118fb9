"""Training inside the console against the same training without it. Goal: at least 0.97x.

Both sides train `shakespeare_char` as child processes: without a console, and in the worker thread
of a console whose headless driver shows the live view at 120x40 and presses a key every quarter of
a second. They take turns of a few seconds, in which the other one is stopped (SIGSTOP): the speed
of a shared machine varies more from minute to minute than the two sides differ. The throughput of
a turn is that between its first and its last optimizer step, and each turn of the console is
compared with the mean of the turns before and after it. CPU time depends less on other load: the
second ratio is that of the CPU seconds for the same number of steps. Key latency is the time from
a key press until the key is handled and the screen redrawn.
"""

import argparse
import asyncio
import itertools
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from textual.events import Key

from transformer_playground.experiments.discovery import load_experiment
from transformer_playground.experiments.registry import prepare_experiment
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.launch import Launch
from transformer_playground.training.run import TrainingRequest, start
from transformer_playground.tui.app import Console
from transformer_playground.tui.core.job_queue import Job
from transformer_playground.tui.launch.actions import submit_launch

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
EXPERIMENT = "shakespeare_char"
TOKENS_PER_STEP = 12 * 64
SIZE = (120, 40)
KEYS = ("down", "up", "j", "k")
SECONDS_BETWEEN_KEYS = 0.25
WARM_UP_STEPS = 100
# At the start of a turn timers that were due meanwhile fire, and caches are cold.
SETTLING_SECONDS = 0.5
PATIENCE = 120.0

SideName = Literal["headless", "console"]


class StepClock:
    """Notes the time and CPU time of each optimizer step of this process."""

    def __init__(self) -> None:
        self.steps: list[tuple[float, float]] = []
        self._is_warm = threading.Event()

    def install(self) -> None:
        """Note every step from now on."""
        # Imported here: the console itself starts without torch.
        from torch.optim.optimizer import register_optimizer_step_post_hook

        register_optimizer_step_post_hook(self._note)

    def _note(self, *_: object) -> None:
        self.steps.append((time.monotonic(), time.process_time()))
        if len(self.steps) == WARM_UP_STEPS:
            self._is_warm.set()

    def report_when_warm(self) -> None:
        """Tell the parent process that the turns may begin."""
        if not self._is_warm.wait(PATIENCE):
            raise SystemExit("training did not begin")
        print("warm", flush=True)


def train_headless(overrides: tuple[str, ...], runs_dir: Path, clock: StepClock) -> None:
    """Train in a thread, as the console does, without a console, until the parent says so."""
    clock.install()
    experiment, loaded = load_experiment(EXPERIMENTS, EXPERIMENT, None, overrides, os.environ)
    request = TrainingRequest(experiment.name, loaded.config, loaded.provenance, experiment.folder)
    control = TrainingControl()
    thread = threading.Thread(target=start, args=(request, runs_dir), kwargs={"control": control})
    thread.start()
    try:
        clock.report_when_warm()
        sys.stdin.readline()
    finally:
        control.stop()
        thread.join()


async def train_in_console(
    overrides: tuple[str, ...], runs_dir: Path, clock: StepClock, keys: list[tuple[float, float]]
) -> None:
    """Train in the console with the live view open, and press keys meanwhile."""
    console = Console(EXPERIMENTS, runs_dir)
    async with console.run_test(size=SIZE):
        clock.install()
        submit_launch(console.context, Launch(EXPERIMENT, overrides))
        (job,) = console.context.training.jobs
        await asyncio.to_thread(clock.report_when_warm)
        # Keys come from a thread, as from a terminal: at arbitrary moments.
        typing = threading.Thread(target=_type, args=(console, job, keys), daemon=True)
        typing.start()
        await asyncio.to_thread(sys.stdin.readline)
        if job.state != "running":
            raise SystemExit(f"training in the console {job.state}: {job.message}")
        job.control.stop()
        while not job.has_ended:
            await asyncio.sleep(SECONDS_BETWEEN_KEYS)
        await asyncio.to_thread(typing.join)


def _type(console: Console, job: Job, keys: list[tuple[float, float]]) -> None:
    for key in itertools.cycle(KEYS):
        time.sleep(SECONDS_BETWEEN_KEYS)
        if job.state != "running":
            return
        keys.append(_press(console, key))


def _press(console: Console, key: str) -> tuple[float, float]:
    """When the key was pressed and when the screen was redrawn."""
    done = threading.Event()
    target = console.focused or console.screen
    began = time.monotonic()
    console.post_message(Key(key, key if len(key) == 1 else None))
    # The app passes the key to the focused widget; both process their messages in order.
    console.call_later(lambda: target.call_after_refresh(done.set))
    done.wait(PATIENCE)
    return began, time.monotonic()


def run_side(side: SideName, folder: Path, overrides: tuple[str, ...]) -> None:
    """Body of a child process; it leaves its notes in the folder."""
    clock, keys = StepClock(), list[tuple[float, float]]()
    runs_dir = folder / f"runs-{side}"
    if side == "headless":
        train_headless(overrides, runs_dir, clock)
    else:
        asyncio.run(train_in_console(overrides, runs_dir, clock, keys))
    (folder / f"{side}.json").write_text(json.dumps({"steps": clock.steps, "keys": keys}))


class Child:
    """One side as a child process that takes turns."""

    def __init__(self, side: SideName, folder: Path, overrides: Sequence[str]) -> None:
        self.side: SideName = side
        self._notes = folder / f"{side}.json"
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--side", side, "--folder", str(folder), *overrides],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # The first and last moment of each turn.
        self.turns: list[tuple[float, float]] = []

    def wait_until_warm(self) -> None:
        """Wait for the first steps."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == "warm":
                return
        raise SystemExit(f"{self.side}: training did not begin")

    def stop(self) -> None:
        """End the turn."""
        self._process.send_signal(signal.SIGSTOP)

    def take_turn(self, seconds: float) -> None:
        """Run for so long, then stop."""
        self._process.send_signal(signal.SIGCONT)
        began = time.monotonic() + SETTLING_SECONDS
        time.sleep(SETTLING_SECONDS + seconds)
        if self._process.poll() is not None:
            raise SystemExit(f"{self.side}: training has ended")
        self.turns.append((began, time.monotonic()))
        self.stop()

    def end(self) -> dict[str, list[tuple[float, float]]]:
        """Let training end; returns the notes of the process."""
        self._process.send_signal(signal.SIGCONT)
        self._process.communicate("end\n", timeout=PATIENCE)
        notes: dict[str, list[tuple[float, float]]] = json.loads(self._notes.read_text())
        return notes

    def kill(self) -> None:
        """End the process if it has not ended."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True)
class Turn:
    """Speed of one turn."""

    steps_per_second: float
    cpu_per_step: float


def measured(steps: Sequence[tuple[float, float]], turn: tuple[float, float]) -> Turn:
    """The speed between the first and the last step of a turn; not a number without any."""
    inside = [step for step in steps if turn[0] <= step[0] <= turn[1]]
    if len(inside) < 2:
        return Turn(math.nan, math.nan)
    count, (first, first_cpu), (last, last_cpu) = len(inside) - 1, inside[0], inside[-1]
    return Turn(count / (last - first), (last_cpu - first_cpu) / count)


def ratios(
    headless: Sequence[Turn], console: Sequence[Turn], value: Callable[[Turn], float]
) -> list[float]:
    """Each turn of the console over the mean of the turns before and after it.

    Turns in which the machine stalled are left out.
    """
    around = [(value(a) + value(b)) / 2 for a, b in itertools.pairwise(headless)]
    found = [value(turn) / mean for turn, mean in zip(console, around, strict=True)]
    return [ratio for ratio in found if math.isfinite(ratio)]


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median with its standard error, and the quartiles."""
    low, median, high = statistics.quantiles(values, n=4)
    deviation = (high - low) / 1.349
    error = 1.2533 * deviation / len(values) ** 0.5
    numbers = {"median": median, "error": error, "low": low, "high": high}
    return {name: round(number, 3) for name, number in numbers.items()}


def overrides_for(folder: Path, threads: int) -> tuple[str, ...]:
    """Settings of both sides; each has a folder of its own, so that neither lists the other."""
    return (
        f"prepare.dataset_dir={folder}/datasets",
        f"prepare.raw_dir={folder}/raw",
        # Without an end; the learning rate is at its lowest from here on.
        "train.runtime.max_iters=1000000",
        "train.schedule.lr_decay_iters=2000",
        f"train.runtime.threads={threads}",
        # No samples on either side: their length depends on the generated text.
        "train.runtime.sample_interval=0",
        # A long evaluation would be a large part of one turn and no part of the next.
        "train.runtime.eval_windows=12",
    )


def take_turns(
    folder: Path, overrides: Sequence[str], seconds: float, pairs: int
) -> dict[SideName, tuple[list[Turn], list[float]]]:
    """Turns of both sides, and the latencies of the keys pressed in them."""
    children: list[Child] = []
    try:
        sides: tuple[SideName, ...] = ("headless", "console")
        for side in sides:
            child = Child(side, folder, overrides)
            children.append(child)
            child.wait_until_warm()
            child.stop()
        headless, console = children
        for _ in range(pairs):
            headless.take_turn(seconds)
            console.take_turn(seconds)
        headless.take_turn(seconds)
        found: dict[SideName, tuple[list[Turn], list[float]]] = {}
        for child in children:
            notes = child.end()
            turns = [measured(notes["steps"], turn) for turn in child.turns]
            # Not those of a key that waited while the process was stopped.
            latencies = [
                done - began
                for began, done in notes["keys"]
                if any(start <= began and done <= end for start, end in child.turns)
            ]
            found[child.side] = turns, latencies
        return found
    finally:
        for child in children:
            child.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=40, help="turns of the console")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a turn")
    parser.add_argument("--threads", type=int, default=0, help="0 = all cores")
    parser.add_argument("--side", choices=("headless", "console"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("overrides", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side is not None:
        run_side(arguments.side, arguments.folder, tuple(arguments.overrides))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["TRANSFORMER_PLAYGROUND_CONFIG_DIR"] = name
        overrides = overrides_for(folder, arguments.threads)
        experiment, loaded = load_experiment(EXPERIMENTS, EXPERIMENT, None, overrides, os.environ)
        prepare_experiment(experiment, loaded.config, report=print)
        found = take_turns(folder, overrides, arguments.seconds, arguments.pairs)
    (headless, _), (console, latencies) = found["headless"], found["console"]
    speed = summary(ratios(headless, console, lambda turn: turn.steps_per_second))
    cpu = summary(ratios(headless, console, lambda turn: turn.cpu_per_step))
    medians = {
        side: (
            statistics.median(turn.steps_per_second for turn in turns),
            statistics.median(turn.cpu_per_step for turn in turns),
        )
        for side, (turns, _) in found.items()
    }
    key_ms = 1e3 * percentile(latencies, 0.95)
    for side, (steps, seconds) in medians.items():
        print(
            f"{side:8} {steps * TOKENS_PER_STEP:8,.0f} tokens/s, "
            f"{1e3 * seconds:6.2f} CPU seconds per 1,000 steps"
        )
    print(
        f"{speed['median']:.3f} ± {speed['error']:.3f} of the tokens/s "
        f"({speed['low']:.3f} to {speed['high']:.3f}), "
        f"{cpu['median']:.3f} ± {cpu['error']:.3f} of the CPU time; "
        f"95 % of keys within {key_ms:.0f} ms"
    )
    print(
        json.dumps(
            {
                "benchmark": "console_training",
                "pairs": arguments.pairs,
                "headless_tokens_per_s": round(medians["headless"][0] * TOKENS_PER_STEP),
                "console_tokens_per_s": round(medians["console"][0] * TOKENS_PER_STEP),
                "ratio": speed,
                "cpu_ratio": cpu,
                "goal": 0.97,
                "keys": len(latencies),
                "key_ms_median": round(1e3 * percentile(latencies, 0.5), 1),
                "key_ms_p95": round(key_ms, 1),
                "key_ms_goal": 100,
            }
        )
    )


if __name__ == "__main__":
    main()
