"""Wall time to a validation loss of 1.88: `shakespeare_char_fast` against the reference loop.

Both train on Tiny Shakespeare by characters, each in a child process of its own, one after the
other: first the preset as a user runs it, with its evaluations, samples and files, then the plain
float32 loop of `reference.py` with the 2,000 steps of nanoGPT's CPU recipe and no evaluation at
all. Both losses are those of the whole validation split, measured after the clock has stopped.
Imports and preparing the data are not counted. Goal: at most a fifth of the time.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from presets import prepared_request
from reference import Recipe, ReferenceLoop, split_loss, tiny_shakespeare
from transformer_playground.checkpoints.discovery import choose
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.data.dataset import open_dataset
from transformer_playground.data.loader import all_batches
from transformer_playground.evaluation.loss import mean_loss
from transformer_playground.training.run import start

PRESET = "shakespeare_char_fast"
TARGET = 1.88
GOAL = 5.0


def train_preset(seed: int) -> dict[str, float]:
    """Steps, seconds and loss of a whole run of the preset."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        request = prepared_request(PRESET, folder, f"train.runtime.seed={seed}")
        began = time.perf_counter()
        result = start(request, folder / "runs")
        seconds = time.perf_counter() - began
        dataset = open_dataset(request.config.prepare.dataset_dir, prepare_command="")
        model = build_model(load_payload(choose(result.run.checkpoints, "last").path))
        batches = all_batches(
            dataset.val, batch_size=64, block_size=request.config.train_block_size
        )
        loss = mean_loss(model, batches, torch.device("cpu"))
    assert loss is not None
    return {"steps": result.state.step, "seconds": seconds, "loss": loss}


def train_reference(seed: int) -> dict[str, float]:
    """Steps, seconds and loss of the reference."""
    recipe = Recipe()
    train, validation, vocab_size = tiny_shakespeare()
    began = time.perf_counter()
    loop = ReferenceLoop(recipe, train, vocab_size, seed=seed)
    for _ in range(recipe.steps):
        loop.step()
    seconds = time.perf_counter() - began
    loss = split_loss(loop.model, validation, recipe.block_size)
    return {"steps": recipe.steps, "seconds": seconds, "loss": loss}


SIDES = {PRESET: train_preset, "reference": train_reference}


def child(side: str, seed: int) -> dict[str, Any]:
    """Train a side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, "--seed", str(seed)]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    print(
        f"{side:22} {result['steps']:5} steps {result['seconds']:7.1f} s   "
        f"loss of the whole split {result['loss']:.4f}",
        flush=True,
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--side", choices=SIDES, help="train this side only")
    options = parser.parse_args()
    if options.side:
        print(json.dumps(SIDES[options.side](options.seed)))
        return
    fast, slow = (child(side, options.seed) for side in SIDES)
    print(
        json.dumps(
            {
                "benchmark": "time_to_loss",
                "target": TARGET,
                "reaches_target": fast["loss"] <= TARGET,
                "reference_s": round(slow["seconds"], 1),
                "fast_s": round(fast["seconds"], 1),
                "ratio": round(slow["seconds"] / fast["seconds"], 2),
                "goal": GOAL,
                "reference_loss": round(slow["loss"], 4),
                "fast_loss": round(fast["loss"], 4),
            }
        )
    )


if __name__ == "__main__":
    main()
