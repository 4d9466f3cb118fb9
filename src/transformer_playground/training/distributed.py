"""Rank and world size of this process, and sums over all processes of a run.

A run is normally one process. Under an initialised `torch.distributed` process group every rank
reads its own batches and counts targets over all ranks; gradients are not exchanged.
"""

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class DistInfo:
    """Ranks of this process in the default process group; the defaults are a single process."""

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1

    @classmethod
    def current(cls) -> "DistInfo":
        """Read the initialised process group; a single process if there is none."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        # torchrun sets it; torch exports no function that reads it.
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        return cls(dist.get_rank(), local_rank, dist.get_world_size())

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run folder: only the first rank does."""
        return self.rank == 0

    def batch_index(self, drawn: int) -> int:
        """The batch this rank reads after `drawn` others: no two ranks share one."""
        return drawn * self.world_size + self.rank

    def sum(self, value: float, device: torch.device) -> float:
        """`value` summed over all ranks, each of which must call this.

        Args:
            value: This rank's share; integers are exact up to 2**53.
            device: One that the process group's backend can communicate from.
        """
        if self.world_size == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=device)
        dist.all_reduce(total)
        return total.item()
