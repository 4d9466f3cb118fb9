"""Time and memory that `tp train --estimate` predicts, against those of the run itself.

For each preset the estimate and the run are child processes, one after the other. Time is the
training time in `summary.json`, memory the peak resident memory of the process.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
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


def child(folder: Path, *words: str) -> tuple[list[Any], int]:
    """Run `tp`; return its JSON lines and its peak resident memory in bytes."""
    command = [str(Path(sys.executable).with_name("tp")), *words]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [json.loads(line) for line in process.stdout]
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    # The kernel counts KiB, macOS bytes.
    return lines, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--presets", nargs="*", choices=PRESETS, default=list(PRESETS))
    arguments = parser.parse_args()
    print("preset             estimate      run     off     memory      run     off")
    worst = 0.0
    figures = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        child(folder, "prepare", _EXPERIMENT, "--json")
        for preset in arguments.presets:
            overrides = [word for each in PRESETS[preset] for word in ("--set", each)]
            train = ["train", _EXPERIMENT, "--json", *overrides]
            (estimate,), _ = child(folder, *train, "--estimate")
            lines, memory = child(folder, *train)
            seconds = lines[-1]["wall_time_s"]
            off = [estimate["seconds"] / seconds - 1, estimate["memory"] / memory - 1]
            worst = max(worst, *map(abs, off))
            figures[preset] = [round(each, 3) for each in off]
            print(
                f"{preset:<16} {estimate['seconds']:8.1f} s {seconds:6.1f} s {off[0]:+7.1%}"
                f" {estimate['memory'] / 1e6:7.0f} MB {memory / 1e6:5.0f} MB {off[1]:+7.1%}"
            )
    print(
        json.dumps(
            {
                "benchmark": "estimates",
                "off_time_memory": figures,
                "worst": round(worst, 3),
                "goal_worst": _GOAL,
            }
        )
    )


if __name__ == "__main__":
    main()
