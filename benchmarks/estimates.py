"""Time and memory that `tp train --estimate` predicts, against those of the run itself.

For each preset the estimates and the run are child processes, one after the other: timed steps
before the run, then what the run tells about another one of the same shape. Time is the training
time in the run's summary, memory the peak when its training ended. Other load on the machine spoils
the times of such long children; `--threads 1 --cpu-time` is far more stable.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_EXPERIMENT = "shakespeare_char_fast"
_M = ("n_layer=6", "n_head=6", "n_embd=384", "block_size=256")
PRESETS: dict[str, tuple[str, ...]] = {
    "S, muon": (),
    "S, adamw": ("train.optim.optimizer=adamw",),
    "tiny": ("model.n_layer=2", "model.n_embd=64", "train.data.batch_size=8"),
    "S, large batch": ("train.data.batch_size=48", "train.runtime.max_iters=120"),
    "S, long samples": (
        *("train.runtime.sample_interval=60", "sample.sample.max_new_tokens=400"),
        "sample.sample.num_samples=4",
    ),
    "M": (
        *(f"model.{setting}" for setting in _M),
        *("train.data.batch_size=8", "train.runtime.max_iters=40"),
        "train.runtime.eval_interval=20",
    ),
}
_GOAL = 0.15


def child(folder: Path, *words: str) -> tuple[list[Any], float]:
    """Run `tp`; return its JSON lines, and its CPU time divided by its wall time."""
    command = [str(Path(sys.executable).with_name("tp")), *words]
    start_time = time.perf_counter()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start_time
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return [json.loads(line) for line in lines], (usage.ru_utime + usage.ru_stime) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="*", choices=PRESETS, default=list(PRESETS))
    parser.add_argument("--threads", type=int, default=0, help="threads of training; 0 = all")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="scale the times by the share of the CPU that each process got; with --threads 1",
    )
    arguments = parser.parse_args()
    print("preset             timed      run     off   earlier     off     memory      run     off")
    worst = 0.0
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        child(folder, "prepare", _EXPERIMENT, "--json")
        for preset in arguments.presets:
            settings = (*PRESETS[preset], f"train.runtime.threads={arguments.threads}")
            overrides = [word for each in settings for word in ("--set", each)]
            train = ["train", _EXPERIMENT, "--json", *overrides]
            (timed,), share = child(folder, *train, "--estimate", "--timed")
            lines, run_share = child(folder, *train)
            (earlier,), _ = child(folder, *train, "--estimate")
            seconds = lines[-1]["wall_time_s"]
            if arguments.cpu_time:
                timed["seconds"] *= share
                earlier["seconds"] *= run_share
                seconds *= run_share
            memory = next(line["peak_memory"] for line in lines if "peak_memory" in line)
            off = [
                timed["seconds"] / seconds - 1,
                earlier["seconds"] / seconds - 1,
                timed["memory"] / memory - 1,
            ]
            worst = max(worst, *map(abs, off))
            figures[preset] = [round(each, 3) for each in off]
            print(
                f"{preset:<16} {timed['seconds']:6.1f} s {seconds:6.1f} s {off[0]:+7.1%}"
                f" {earlier['seconds']:7.1f} s {off[1]:+7.1%}"
                f" {timed['memory'] / 1e6:7.0f} MB {memory / 1e6:5.0f} MB {off[2]:+7.1%}",
                flush=True,
            )
    print(
        json.dumps(
            {
                "benchmark": "estimates",
                "off_time_earlier_memory": figures,
                "worst": round(worst, 3),
                "goal_worst": _GOAL,
            }
        )
    )


if __name__ == "__main__":
    main()
