"""Random seeds as pure functions of the run's seed and the step.

Initialisation, dropout and samples each get their own seed from (run seed, purpose, step); training
windows come from the run's seed and a counter, evaluation windows from the dataset alone. So an
evaluation or a sample never changes a training batch, and a run resumes bit for bit without saved
generator states.
"""

import numpy as np
import torch

RANDOMNESS_SCHEME = "windows"
"""Saved in checkpoints: the position in the data is a number of windows."""
BATCH_SCHEME = "counter"
"""That of older checkpoints, which count micro-batches."""

_PURPOSES = {"initialisation": 1, "dropout": 2, "sample": 3}


def derived_seed(seed: int, purpose: str, step: int = 0, stream: int = 0) -> int:
    """A 63-bit seed that differs for every (seed, purpose, step, stream)."""
    entropy = [seed, _PURPOSES[purpose], step, *([stream] if stream else [])]
    sequence = np.random.SeedSequence(entropy)
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def initialisation_generator(seed: int) -> torch.Generator:
    """CPU generator for the initial weights."""
    return torch.Generator().manual_seed(derived_seed(seed, "initialisation"))


def seed_dropout(seed: int, step: int, device: torch.device, *, stream: int = 0) -> None:
    """Seed the device's default generator, which only dropout uses, for one optimizer step.

    Processes that draw their own masks have a `stream` each.
    """
    # torch.manual_seed would record a stack trace for every kind of device that is missing.
    value = derived_seed(seed, "dropout", step, stream)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(value)
    elif device.type == "mps":
        torch.mps.manual_seed(value)
    else:
        torch.default_generator.manual_seed(value)
