"""Two processes of one thread that train together, against one process with one or two threads.

Every side takes steps of the trainer with AdamW, in the precision of `dtype = "auto"`, on Tiny
Shakespeare by characters, as child processes; rounds alternate, so that other load affects all
sides. "Together" gives each process as many sequences as the single one has, as when more machines
are used for a larger batch; "shared" splits the same step. The speed is tokens per second.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from model_training import SHAPES, our_trainer
from transformer_playground.training.process_group import Place, ProcessGroup
from transformer_playground.training.schedules import learning_rate

STEPS = {"tiny": 100, "S": 30, "M": 3}
GOALS = {"S": 1.5, "M": 1.85}


@dataclass(frozen=True)
class Side:
    """Processes and threads, and the sequences of a step in multiples of the recipe's."""

    processes: int
    threads: int
    batches: int = 1


SIDES = {
    "one thread": Side(1, 1),
    "two threads": Side(1, 2),
    "together": Side(2, 1, batches=2),
    "shared": Side(2, 1),
}


class Workers:
    """The processes of one side, which wait between rounds."""

    def __init__(self, shape: str, side: Side, folder: Path) -> None:
        spawning = multiprocessing.get_context("spawn")
        port = _free_port()
        self._ends: list[Connection] = []
        for rank in range(side.processes):
            end, other = spawning.Pipe()
            spawning.Process(
                target=_work, args=(other, shape, side, rank, port, folder), daemon=True
            ).start()
            self._ends.append(end)

    def tokens_per_second(self, steps: int) -> float:
        """Speed of some steps."""
        for end in self._ends:
            end.send(steps)
        speeds: list[float] = [end.recv() for end in self._ends]
        return min(speeds)


def _work(end: Connection, shape: str, side: Side, rank: int, port: int, folder: Path) -> None:
    os.environ["OMP_NUM_THREADS"] = str(side.threads)
    import torch

    torch.set_num_threads(side.threads)
    own = folder / f"{side.processes}-{side.threads}-{side.batches}-{rank}"
    recipe = replace(SHAPES[shape], batch_size=SHAPES[shape].batch_size * side.batches)

    def serve() -> None:
        trainer = our_trainer(recipe, own)
        torch.set_num_threads(side.threads)

        def step() -> None:
            trainer.control.sync()
            trainer.optimizers.set_learning_rate(learning_rate(trainer.state.step, trainer.train))
            trainer.train_step()

        # Until the other end is closed.
        with contextlib.suppress(EOFError):
            while True:
                end.send(recipe.tokens_per_step / _seconds_per_step(step, end.recv()))

    if side.processes == 1:
        serve()
        return
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(side.processes),
        "LOCAL_WORLD_SIZE": str(side.processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": next(
            name for _, name in socket.if_nameindex() if name.startswith("lo")
        ),
    }
    from transformer_playground.config.schema import ExperimentConfig

    place = Place.of(os.environ)
    assert place is not None
    settings = {"train": {"runtime": {"device": "cpu", "threads": side.threads}}}
    with ProcessGroup(place).joined(ExperimentConfig.model_validate(settings)):
        serve()


def _seconds_per_step(step: Callable[[], None], steps: int) -> float:
    began = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - began) / steps


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def measure(shape: str, rounds: int) -> dict[str, float | str]:
    """Alternate the sides; medians of the speeds, and of the ratios to one thread."""
    with tempfile.TemporaryDirectory() as folder:
        sides = {name: Workers(shape, side, Path(folder)) for name, side in SIDES.items()}
        speeds: dict[str, list[float]] = {name: [] for name in SIDES}
        for _ in range(rounds + 1):
            for name, workers in sides.items():
                speeds[name].append(workers.tokens_per_second(STEPS[shape]))
    # The first round warms up caches and allocators.
    kept = {name: values[1:] for name, values in speeds.items()}

    def ratio(name: str, base: str) -> float:
        return statistics.median(a / b for a, b in zip(kept[name], kept[base], strict=True))

    return {
        "shape": shape,
        **{name.replace(" ", "_"): statistics.median(values) for name, values in kept.items()},
        "together_to_one_thread": ratio("together", "one thread"),
        "together_to_two_threads": ratio("together", "two threads"),
        "shared_to_one_thread": ratio("shared", "one thread"),
        "goal": GOALS.get(shape, 1.0),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", default="S,M", help="comma-separated, of tiny, S and M")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    results = [measure(shape, arguments.rounds) for shape in arguments.shapes.split(",")]
    for each in results:
        print(
            f"{each['shape']}: {each['one_thread']:,.0f} tokens/s on one thread, "
            f"{each['two_threads']:,.0f} on two, {each['together']:,.0f} by two processes "
            f"({each['together_to_one_thread']:.2f}x and {each['together_to_two_threads']:.2f}x), "
            f"{each['shared_to_one_thread']:.2f}x where they share one step; "
            f"goal {each['goal']}x of one thread"
        )
    print(json.dumps(results))


if __name__ == "__main__":
    main()
