"""Share of a run spent outside forward, backward and optimizer step. Goal: at most 3 %.

Trains `shakespeare_char` with all output files in a temporary folder. The time inside the model
(forward, loss, backward) and the optimizer (gradient clipping, step, master weights) is measured by
wrapping those functions; the rest is batches, logging, metrics, TensorBoard, checkpoints and the
loop itself. Sampling during training is a separate row. A short warm-up run comes first, so that
imports are not counted.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from presets import prepared_request
from transformer_playground.evaluation import loss as losses
from transformer_playground.model.gpt import GPT
from transformer_playground.training import accumulation, measurements
from transformer_playground.training.mixed_precision import MixedPrecisionParams
from transformer_playground.training.optimizers import OptimizerSet
from transformer_playground.training.run import start


class Clock:
    """Accumulates the time inside wrapped functions; nested ones count once."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = False

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, with its time added to `name`."""

        def timed(*arguments: Any, **options: Any) -> Any:
            if self._inside:
                return function(*arguments, **options)
            self._inside = True
            began = time.perf_counter()
            try:
                return function(*arguments, **options)
            finally:
                self._inside = False
                spent = time.perf_counter() - began
                self.seconds[name] = self.seconds.get(name, 0.0) + spent

        return timed


def patches(clock: Clock) -> list[Any]:
    targets: list[tuple[str, Any, str]] = [
        ("forward", GPT, "hidden"),
        ("forward", GPT, "logits"),
        ("samples", measurements, "generate"),
        ("forward", accumulation, "summed_cross_entropy"),
        ("forward", losses, "summed_cross_entropy"),
        ("backward", torch.Tensor, "backward"),
        ("optimizer", OptimizerSet, "step"),
        ("optimizer", MixedPrecisionParams, "clip_grads"),
        ("optimizer", MixedPrecisionParams, "zero_grads"),
        ("optimizer", MixedPrecisionParams, "update_ema"),
        ("optimizer", MixedPrecisionParams, "copy_to_model"),
        ("optimizer", MixedPrecisionParams, "accumulate_grads"),
    ]
    return [
        mock.patch.object(owner, attribute, clock.wrap(name, getattr(owner, attribute)))
        for name, owner, attribute in targets
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iters", type=int, default=2000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        request = prepared_request(
            "shakespeare_char",
            Path(folder),
            f"train.runtime.max_iters={arguments.iters}",
            "train.schedule.lr_decay_iters=2000",
        )
        config = request.config
        short = config.train.runtime.model_copy(update={"max_iters": 2})
        brief = config.train.model_copy(update={"runtime": short})
        warm_up = replace(request, config=config.model_copy(update={"train": brief}))
        start(warm_up, Path(folder) / "runs")
        clock = Clock()
        active = patches(clock)
        for patch in active:
            patch.start()
        began = time.perf_counter()
        start(request, Path(folder) / "runs")
        total = time.perf_counter() - began
        for patch in active:
            patch.stop()
    inside = sum(clock.seconds.values())
    for name, seconds in clock.seconds.items():
        print(f"{name:10} {seconds:8.2f} s {100 * seconds / total:6.1f} %")
    print(f"{'the rest':10} {total - inside:8.2f} s {100 * (1 - inside / total):6.1f} %")
    print(
        json.dumps(
            {
                "benchmark": "overhead",
                "steps": arguments.iters,
                "total_s": round(total, 2),
                "overhead_share": round(1 - inside / total, 4),
                "goal": 0.03,
            }
        )
    )


if __name__ == "__main__":
    main()
