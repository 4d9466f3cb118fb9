"""Two training processes on this machine, connected by gloo."""

import multiprocessing
import os
import socket
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch.distributed as dist

from builders.training import Recorder, prepared_config, runtime
from transformer_playground.data.loader import IGNORED, Batch
from transformer_playground.runs.folder import create_run
from transformer_playground.training.distributed import DistInfo
from transformer_playground.training.events import RunStarted, StepLogged
from transformer_playground.training.setup import TrainingSetup, build_setup
from transformer_playground.training.trainer import Trainer


class PaddedBatches:
    """The batch from row `4 * index` on has `3 * index + 1` targets; the rest is padding."""

    def batch(self, first: int, size: int) -> Batch:
        index = first // size
        tokens = np.random.default_rng(index).integers(10, size=(4, 17))
        targets = tokens[:, 1:].copy()
        targets.reshape(-1)[3 * index + 1 :] = IGNORED
        return np.ascontiguousarray(tokens[:, :-1]), targets


@dataclass(frozen=True)
class RankReport:
    """What one rank knows after a single step of two micro-batches."""

    info: DistInfo
    train_loss: float
    tokens_seen: int
    tokens_per_step: int
    checkpoints: int


def padded_materials(folder: Path) -> TrainingSetup:
    """A tiny model with padded batches, the same in every process."""
    accumulate = {"train": {"data": {"grad_accum_steps": 2}, "schedule": {"warmup_iters": 0}}}
    config = prepared_config(folder, accumulate, runtime(max_iters=1, log_interval=1))
    return replace(build_setup(config, prepare_command=""), batches=PaddedBatches())


def train_on_ranks(folder: Path, world_size: int) -> list[RankReport]:
    """Train one step in as many processes; the dataset must be prepared already."""
    # Forks of a server that has imported torch start at once.
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["torch"])
    with ProcessPoolExecutor(world_size, mp_context=forks) as pool:
        ranks = [pool.submit(_train_rank, folder, rank, world_size) for rank in range(world_size)]
        return [each.result() for each in ranks]


def _train_rank(folder: Path, rank: int, world_size: int) -> RankReport:
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    os.environ |= {"GLOO_SOCKET_IFNAME": loopback, "LOCAL_RANK": str(rank)}
    dist.init_process_group(
        "gloo",
        init_method=(folder / "store").as_uri(),
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=120),
    )
    try:
        # A run folder for each rank shows which of them writes.
        run = create_run(folder / "runs", f"rank-{rank}", {})
        recorder = Recorder()
        trainer = Trainer(padded_materials(folder), run, [recorder])
        state = trainer.fit()
    finally:
        dist.destroy_process_group()
    return RankReport(
        info=trainer.dist,
        train_loss=recorder.of(StepLogged)[0].train_loss,
        tokens_seen=state.tokens_seen,
        tokens_per_step=recorder.of(RunStarted)[0].tokens_per_step,
        checkpoints=len(list(run.checkpoints.glob("*.pt"))),
    )
