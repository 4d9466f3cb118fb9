"""Tiny real runs on texts of a test's own, for reports."""

import random
from pathlib import Path
from typing import Any

from builders.training import BASE, merged, runtime
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.data.prepare import prepare_dataset
from transformer_playground.runs.folder import RunFolder
from transformer_playground.training.run import TrainingRequest, start

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "ivory", "jolly")


def random_words(count: int, seed: int = 1) -> str:
    """Words in an order that nobody could guess, with a line break now and then."""
    generator = random.Random(seed)
    return "".join(
        generator.choice(WORDS) + ("\n" if number % 7 == 6 else " ") for number in range(count)
    )


def train_on(
    folder: Path, text: str, *changes: dict[str, Any], run_id: str = "run", experiment: str = "tiny"
) -> RunFolder:
    """Prepare `text` as the dataset of an experiment below `folder` and train a tiny run on it."""
    home = folder / "experiments" / experiment
    (home / "raw").mkdir(parents=True, exist_ok=True)
    (home / "raw" / "input.txt").write_text(text, encoding="utf-8")
    paths = {"prepare": {"raw_dir": str(home / "raw"), "dataset_dir": str(home / "datasets")}}
    prompt = {"sample": {"sample": {"start": text[0]}}}
    # On a busy machine even a tiny run may take long enough for a report of its own.
    quiet = runtime(auto_plot=False, auto_report=False)
    config = ExperimentConfig.model_validate(merged(BASE, paths, prompt, quiet, *changes))
    prepare_dataset(config.prepare, report=lambda _: None)
    request = TrainingRequest(experiment, config, {}, home)
    return start(request, folder / "runs", run_id=run_id).run
