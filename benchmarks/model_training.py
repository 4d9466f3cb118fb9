"""Training throughput against the plain float32 loop of `reference.py`, which has the same model.

Both sides train on Tiny Shakespeare by characters: the reference with its own loop, ours with a
step of the trainer, which reads its batch, clips, and keeps losses and norms; in the precision of
`dtype = "auto"`. Rounds alternate, so that other load affects both sides. Afterwards both sides
have done equally many steps, and their losses over the whole validation split are compared.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from presets import prepared_request
from reference import Recipe, ReferenceLoop, split_loss, tiny_shakespeare
from transformer_playground.model.base import evaluating
from transformer_playground.model.loss import summed_cross_entropy
from transformer_playground.runs.folder import RunFolder
from transformer_playground.training.run import load_setup
from transformer_playground.training.schedules import learning_rate
from transformer_playground.training.trainer import Trainer

SHAPES = {
    "tiny": Recipe(n_layer=2, n_head=4, n_embd=64, block_size=64, batch_size=8),
    "S": Recipe(n_layer=4, n_head=4, n_embd=128, block_size=64, batch_size=12),
    "M": Recipe(n_layer=6, n_head=6, n_embd=384, block_size=256, batch_size=8),
}
STEPS = {"tiny": 100, "S": 30, "M": 3}
"""Steps of each side in a round."""

GOALS = {"tiny": 1.5, "S": 1.6, "M": 2.6}


def our_trainer(recipe: Recipe, folder: Path) -> Trainer:
    """A trainer of the reference's model, batch and optimizer settings, without files of a run."""
    request = prepared_request(
        "shakespeare_char",
        folder,
        *(
            f"model.{name}={getattr(recipe, name)}"
            for name in ("n_layer", "n_head", "n_embd", "block_size")
        ),
        f"train.data.batch_size={recipe.batch_size}",
    )
    setup = load_setup(request, request.config, lambda _: None)
    trainer = Trainer(setup, RunFolder(folder / "run"), [])
    trainer.begin_session()
    return trainer


def seconds_per_step(step: Callable[[], Any], steps: int, clock: Callable[[], float]) -> float:
    """Mean duration of `steps` calls."""
    began = clock()
    for _ in range(steps):
        step()
    return (clock() - began) / steps


def measure(name: str, rounds: int, clock: Callable[[], float]) -> dict[str, float | str]:
    """Alternate both sides for `rounds` rounds and compare medians."""
    recipe, steps = SHAPES[name], STEPS[name]
    train, validation, vocab_size = tiny_shakespeare()
    reference = ReferenceLoop(recipe, train, vocab_size)
    with tempfile.TemporaryDirectory() as folder:
        trainer = our_trainer(recipe, Path(folder))

        def our_step() -> None:
            rate = learning_rate(trainer.state.step, trainer.train)
            trainer.optimizers.set_learning_rate(rate)
            trainer.train_step()

        theirs: list[float] = []
        ours: list[float] = []
        for _ in range(rounds + 1):
            theirs.append(seconds_per_step(reference.step, steps, clock))
            ours.append(seconds_per_step(our_step, steps, clock))

    def our_loss(inputs: Tensor, targets: Tensor) -> Tensor:
        return summed_cross_entropy(trainer.model(inputs), targets) / targets.numel()

    with evaluating(trainer.model):
        full_loss = split_loss(our_loss, validation, recipe.block_size)
    # The first round warms up caches and allocators.
    theirs, ours = theirs[1:], ours[1:]
    slow, fast = statistics.median(theirs), statistics.median(ours)
    return {
        "shape": name,
        "dtype": trainer.setup.precision.name,
        "reference_ms": 1e3 * slow,
        "ours_ms": 1e3 * fast,
        "reference_tokens_per_s": recipe.tokens_per_step / slow,
        "ours_tokens_per_s": recipe.tokens_per_step / fast,
        "ratio": statistics.median(a / b for a, b in zip(theirs, ours, strict=True)),
        "goal": GOALS[name],
        "reference_loss": split_loss(reference.model, validation, recipe.block_size),
        "ours_loss": full_loss,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", default="tiny,S,M", help="comma-separated, of tiny, S and M")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="measure CPU time instead of wall time: more stable on a busy machine, "
        "meaningful with --threads 1 only",
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter
    results = [measure(name, options.rounds, clock) for name in options.shapes.split(",")]
    print(f"{'shape':6}{'dtype':10}{'reference':>14}{'ours':>12}{'ratio':>8}{'goal':>7}  loss")
    for row in results:
        print(
            f"{row['shape']:6}{row['dtype']:10}{row['reference_ms']:11.1f} ms"
            f"{row['ours_ms']:9.1f} ms{row['ratio']:8.2f}{row['goal']:7.1f}"
            f"  {row['reference_loss']:.3f} vs {row['ours_loss']:.3f}"
        )
    print(
        json.dumps(
            {
                "benchmark": "model_training",
                "torch": torch.__version__,
                "threads": options.threads,
                "results": results,
            }
        )
    )


if __name__ == "__main__":
    main()
