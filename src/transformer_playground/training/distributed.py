"""Distributed info: rank and world size of this process, and sums over all ranks.

A run is normally one process. With an initialised `torch.distributed` process group each rank reads
its own batches and targets are counted over all ranks; gradients are not exchanged.
"""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class DistInfo:
    """Ranks and world size in the default process group; the defaults describe one process."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1

    @classmethod
    def current(cls) -> "DistInfo":
        """Info of the initialised process group; of a single process if there is none."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        # torchrun sets it; torch exports no function that reads it.
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        return cls(dist.get_rank(), local_rank, dist.get_world_size())

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which alone writes the run folder."""
        return self.rank == 0

    def first_window(self, drawn: int, size: int) -> int:
        """First window of this rank's batch, where each rank reads `size` after `drawn` windows."""
        return drawn + self.rank * size

    def sum(self, value: float, device: torch.device) -> float:
        """Sum of `value` over all ranks; every rank must call this.

        Args:
            value: Value of this rank; integers are exact up to 2**53.
            device: Device that the process group's backend supports.
        """
        if self.world_size == 1:
            return value
        return self.sum_tensor(torch.tensor(value, dtype=torch.float64, device=device)).item()

    def sum_tensor(self, value: Tensor) -> Tensor:
        """Sum of a scalar over all ranks, on its device; every rank must call this."""
        if self.world_size > 1:
            value = value.clone()
            dist.all_reduce(value)
        return value
