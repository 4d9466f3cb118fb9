"""Ranks: the processes that train one run together, and what they tell each other.

A run is normally one process, without a process group: then every method answers at once. With an
initialised `torch.distributed` group (see `process_group`), each rank computes a part of every
step.
"""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from transformer_playground.errors import PlaygroundError, TrainingError

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class DistInfo:
    """Ranks and world size in the default process group; the defaults describe one process.

    Attributes:
        local_rank: Rank among the processes on this machine.
        local_world_size: Their number.
    """

    rank: int = 0
    local_rank: int = 0
    world_size: int = 1
    local_world_size: int = 1

    @classmethod
    def current(cls) -> "DistInfo":
        """Info of the initialised process group; of a single process if there is none."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        # torchrun sets them; torch exports no function that reads them.
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        local_size = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        return cls(dist.get_rank(), local_rank, dist.get_world_size(), local_size)

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which alone writes the run folder, prints and holds the lock."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether there is no other rank."""
        return self.world_size == 1

    def sum(self, *values: float) -> list[float]:
        """The sum of each value over all ranks; every rank must call this.

        They travel over the CPU, so that no accelerator is waited for. Integers are exact up to
        2**53.
        """
        if self.is_alone:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total)
        sums: list[float] = total.tolist()
        return sums

    def sum_tensor(self, value: Tensor) -> Tensor:
        """Sum of a tensor over all ranks, on its device; every rank must call this."""
        if not self.is_alone:
            value = value.clone()
            dist.all_reduce(value)
        return value

    def compute_shared(self, batch: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """`compute(batch)`, of which every rank computes a part; every rank must call this.

        Args:
            batch: (N, …), the same on every rank.
            compute: Treats each of the N on its own; gives (N, …) of any dtype.
        """
        if self.is_alone:
            return compute(batch)
        count = -(-len(batch) // self.world_size)
        first = min(self.rank * count, len(batch))
        # Every rank needs an equal part to gather; a repeated matrix is not used.
        places = torch.arange(first, first + count, device=batch.device).clamp_(max=len(batch) - 1)
        own = compute(batch[places]).contiguous()
        gathered = own.new_empty((count * self.world_size, *own.shape[1:]))
        dist.all_gather_into_tensor(gathered, own)
        return gathered[: len(batch)]

    def from_main(self, action: Callable[[], _Result]) -> _Result:
        """The result of `action` on rank 0, which alone calls it; every rank must call this.

        Raises:
            PlaygroundError: What it raised, on every rank.
        """
        if self.is_alone:
            return action()
        outcome: list[tuple[_Result | None, PlaygroundError | None]] = [(None, None)]
        if self.is_main:
            try:
                outcome = [(action(), None)]
            except PlaygroundError as error:
                outcome = [(None, error)]
        dist.broadcast_object_list(outcome)
        result, failure = outcome[0]
        if failure is not None:
            raise failure
        return result  # type: ignore[return-value]

    def together(self, action: Callable[[], _Result]) -> _Result:
        """The result of `action` on this rank, once it has succeeded on all of them.

        Raises:
            PlaygroundError: It failed here, or else the error of the first rank where it did.
        """
        if self.is_alone:
            return action()
        result, own = None, None
        try:
            result = action()
        except PlaygroundError as error:
            own = error
        told = None if own is None else (platform.node(), own.message, own.hint)
        failures: list[tuple[str, str, str] | None] = [None] * self.world_size
        dist.all_gather_object(failures, told)
        if own is not None:
            raise own
        for rank, failure in enumerate(failures):
            if failure is not None:
                host, message, hint = failure
                raise TrainingError(f"rank {rank} on {host}: {message}", hint)
        return result  # type: ignore[return-value]

    def require_same(self, value: object, what: str) -> None:
        """Check that every rank has the same value; every rank must call this.

        Raises:
            TrainingError: A rank differs from the first one in `what`.
        """
        if self.is_alone:
            return
        values: list[object] = [None] * self.world_size
        dist.all_gather_object(values, value)
        for rank, other in enumerate(values):
            if other != values[0]:
                raise TrainingError(
                    f"rank {rank} has another {what} than rank 0.",
                    "Give every machine the same files and the same command.",
                )


ALONE = DistInfo()
"""The only process of a run."""
