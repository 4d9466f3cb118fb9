"""Start of the commands: `tp --help`, `tp runs` and the first step of `tp train`.

Beside them a bare Python and `import torch`, which training cannot start without. All are child
processes in alternating rounds; medians of wall and CPU time. The first step is that of the default
experiment with a row logged after each step, and includes its first evaluation and checkpoint;
"without" leaves the evaluation at one window. `tp runs` lists one run that has not changed since
the last list.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_EXPERIMENT = "shakespeare_char"
_TP = str(Path(sys.executable).with_name("tp"))
_SETTLE_SECONDS = 3.0
_GOAL_SECONDS = 0.25
_GOAL_FIRST_STEP = 1.0

Times = tuple[float, float]
"""Wall and CPU seconds."""


def ended(*command: str) -> Callable[[Path], Times]:
    """Times of a command from its start to its end."""

    def run(folder: Path) -> Times:
        start_time = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start_time
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
        return seconds, usage.ru_utime + usage.ru_stime

    return run


def first_step(*overrides: str) -> Callable[[Path], Times]:
    """Times of `tp train` from its start to the row of its first step."""
    command = [_TP, "train", _EXPERIMENT, "--json", "--runs-dir", "others"]
    for override in ("train.runtime.log_interval=1", "train.runtime.max_iters=1", *overrides):
        command += ["--set", override]

    def run(folder: Path) -> Times:
        start_time = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert child.stdout is not None
        for line in child.stdout:
            if json.loads(line)["event"] == "train":
                break
        else:
            raise SystemExit(f"{' '.join(command)} took no step")
        seconds = time.perf_counter() - start_time
        cpu = sum(_cpu_seconds(child.pid))
        child.stdout.close()
        child.kill()
        child.wait()
        return seconds, cpu

    return run


def _cpu_seconds(pid: int) -> tuple[float, float]:
    """User and system time of a running process; NaN where /proc is missing."""
    try:
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return float("nan"), 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    return int(values[11]) / ticks, int(values[12]) / ticks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    commands: dict[str, Callable[[Path], Times]] = {
        "python": ended(sys.executable, "-c", "pass"),
        "tp --help": ended(_TP, "--help"),
        "tp runs": ended(_TP, "runs"),
        "import torch": ended(sys.executable, "-c", "import torch"),
        "first step": first_step(),
        "without": first_step("train.runtime.eval_windows=1"),
    }
    measured: dict[str, list[Times]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        # Prepares the data, and leaves a run to list.
        short = ("train.runtime.max_iters=2", "train.runtime.eval_windows=2")
        settings = [word for each in short for word in ("--set", each)]
        ended(_TP, "loop", _EXPERIMENT, *settings)(home)
        # Files that have just changed are not cached by a list.
        time.sleep(_SETTLE_SECONDS)
        for round_number in range(arguments.rounds + 1):
            for name, run in commands.items():
                times = run(home)
                # The first round fills the file cache.
                if round_number:
                    measured[name].append(times)
    wall, cpu = (
        {name: statistics.median(each[index] for each in times) for name, times in measured.items()}
        for index in (0, 1)
    )
    print("command          wall      CPU   of python   of import torch")
    for name in commands:
        print(
            f"{name:<13} {wall[name]:6.3f} s {cpu[name]:6.3f} s"
            f" {wall[name] / wall['python']:8.1f}x {wall[name] / wall['import torch']:12.2f}x"
        )
    figures = {
        "benchmark": "startup",
        "help_s": round(wall["tp --help"], 3),
        "runs_s": round(wall["tp runs"], 3),
        "goal_s": _GOAL_SECONDS,
        "first_step_after_torch_s": round(wall["first step"] - wall["import torch"], 3),
        "goal_first_step_after_torch_s": _GOAL_FIRST_STEP,
        "cpu": {name: round(seconds, 3) for name, seconds in cpu.items()},
        "of_import_torch": {
            name: round(wall[name] / wall["import torch"], 2) for name in ("first step", "without")
        },
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
