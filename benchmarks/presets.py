"""Requests to train a preset in a folder of its own, for the benchmarks of training."""

import os
from pathlib import Path

from transformer_playground.experiments.discovery import load_experiment
from transformer_playground.experiments.registry import prepare_experiment
from transformer_playground.training.run import TrainingRequest

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


def prepared_request(preset: str, folder: Path, *overrides: str) -> TrainingRequest:
    """A request to train `preset`, with its dataset prepared in `folder`.

    Args:
        preset: Name of a folder in `experiments/`.
        folder: Receives raw texts and dataset.
        overrides: Settings such as "model.n_layer=2".
    """
    places = (f"prepare.dataset_dir={folder}/datasets", f"prepare.raw_dir={folder}/raw")
    experiment, loaded = load_experiment(
        EXPERIMENTS, preset, None, [*places, *overrides], os.environ
    )
    prepare_experiment(experiment, loaded.config, report=lambda _: None)
    return TrainingRequest(preset, loaded.config, loaded.provenance, experiment.folder)
