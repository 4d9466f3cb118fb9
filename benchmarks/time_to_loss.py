"""Wall time to a validation loss of 1.88: `shakespeare_char_fast` against `shakespeare_char`.

Trains both presets one after the other in a temporary folder and measures their whole runs. The
slow one is nanoGPT's CPU recipe; the fast one ends with a loss below 1.88 over the whole validation
split. The loss on windows is that of the fixed evaluation windows of a run; the full loss averages
all validation tokens.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from transformer_playground.checkpoints.discovery import choose
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.data.dataset import open_dataset
from transformer_playground.data.loader import all_batches
from transformer_playground.evaluation.loss import mean_loss
from transformer_playground.experiments.discovery import load_experiment
from transformer_playground.experiments.registry import prepare_experiment
from transformer_playground.training.run import TrainingRequest, start

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
TARGET = 1.88


@dataclass(frozen=True)
class Result:
    """Losses of a preset and the duration of its run."""

    preset: str
    steps: int
    seconds: float
    window_loss: float
    full_loss: float


def measure(preset: str, folder: Path) -> Result:
    overrides = [f"prepare.dataset_dir={folder}/datasets", f"prepare.raw_dir={folder}/raw"]
    experiment, loaded = load_experiment(EXPERIMENTS, preset, None, overrides, os.environ)
    config = loaded.config
    prepare_experiment(experiment, config, report=lambda _: None)
    request = TrainingRequest(preset, config, loaded.provenance, experiment.folder)
    result = start(request, folder / "runs")
    dataset = open_dataset(config.prepare.dataset_dir, prepare_command=request.prepare_command)
    model = build_model(load_payload(choose(result.run.checkpoints, "last").path))
    batches = all_batches(dataset.val, batch_size=64, block_size=config.train_block_size)
    full_loss = mean_loss(model, batches, torch.device("cpu"))
    assert full_loss is not None
    assert result.state.val_loss is not None
    return Result(
        preset, result.state.step, result.state.wall_time, result.state.val_loss, full_loss
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        fast, slow = (
            measure(preset, Path(folder))
            for preset in ("shakespeare_char_fast", "shakespeare_char")
        )
    for result in (slow, fast):
        print(
            f"{result.preset:22} {result.steps:5} steps {result.seconds:7.1f} s   "
            f"val loss {result.window_loss:.4f} on the windows, {result.full_loss:.4f} in full"
        )
    print(
        json.dumps(
            {
                "benchmark": "time_to_loss",
                "target": TARGET,
                "fast_reaches_target_in_full": fast.full_loss <= TARGET,
                "recipe_s": round(slow.seconds, 1),
                "fast_s": round(fast.seconds, 1),
                "ratio": round(slow.seconds / fast.seconds, 2),
                "recipe_full_loss": round(slow.full_loss, 4),
                "fast_full_loss": round(fast.full_loss, 4),
            }
        )
    )


if __name__ == "__main__":
    main()
