"""Randomness as pure functions of the run's seed and the step.

Nothing is drawn from a shared stream: initialisation, dropout and samples each get their own seed
from (run seed, purpose, step), and batches and evaluation windows come from counters. So an
evaluation or a sample can never shift a training batch, and a resumed run needs no saved
generator states to go on bit for bit.
"""

import numpy as np
import torch

RANDOMNESS_SCHEME = "counter"
"""Stands in checkpoints, so that another way of drawing could be told apart."""

_PURPOSES = {"initialisation": 1, "dropout": 2, "sample": 3}


def derived_seed(seed: int, purpose: str, step: int = 0) -> int:
    """A 63-bit seed that differs for every (seed, purpose, step)."""
    sequence = np.random.SeedSequence([seed, _PURPOSES[purpose], step])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def initialisation_generator(seed: int) -> torch.Generator:
    """The CPU generator that draws the initial weights."""
    return torch.Generator().manual_seed(derived_seed(seed, "initialisation"))


def seed_dropout(seed: int, step: int, device: torch.device) -> None:
    """Seed the device's default generator, which only dropout draws from, for one optimizer step.

    `torch.manual_seed` would do it for every kind of device there could be, at the price of a
    stack trace for each that is not there.
    """
    value = derived_seed(seed, "dropout", step)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(value)
    elif device.type == "mps":
        torch.mps.manual_seed(value)
    else:
        torch.default_generator.manual_seed(value)
