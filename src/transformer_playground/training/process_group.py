"""The process group of a run, joined by processes that torchrun or `tp train --processes` started.

Importing this module does not load torch, so that a single process starts as fast as ever.
"""

import contextlib
import ctypes
import os
import platform
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from transformer_playground.data.workers import core_count
from transformer_playground.errors import ConfigError, TrainingError, is_full_disk

if TYPE_CHECKING:
    from transformer_playground.config.schema import ExperimentConfig
    from transformer_playground.training.distributed import DistInfo

_Result = TypeVar("_Result")

# Preparing a dataset may take long; a rank that dies meanwhile ends the others anyway.
_LONG = timedelta(days=7)
# For the ranks to say why they end.
_REPORT_SECONDS = 3.0
_CONNECTION_LOST = "lost the connection to another rank"
# Of Linux's prctl.
_PR_SET_PDEATHSIG = 1
_ELASTIC = "TORCHELASTIC_RUN_ID"

OWN_LAUNCH = "tp-"
"""How the id of a launch by `tp train --processes` begins."""


class LostRankError(TrainingError):
    """Another rank was killed or does not answer: the run is interrupted, not failed.

    Attributes:
        is_known: Whether the launcher of the processes says so, too.
    """

    is_known = False


@dataclass(frozen=True)
class Place:
    """What the launcher of several processes has told this one.

    Attributes:
        restarts: How often the launcher has started the processes again.
    """

    rank: int
    local_rank: int
    world_size: int
    local_world_size: int
    restarts: int = 0

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Place | None":
        """The place in the environment variables of torchrun; None for a single process."""
        needed = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        if not all(name in environ for name in needed):
            return None
        size = int(environ["WORLD_SIZE"])
        if size == 1:
            return None
        return cls(
            int(environ["RANK"]),
            int(environ.get("LOCAL_RANK", "0")),
            size,
            int(environ.get("LOCAL_WORLD_SIZE", "1")),
            int(environ.get("TORCHELASTIC_RESTART_COUNT", "0")),
        )


class ProcessGroup:
    """Connects this process with the others of its run.

    Args:
        place: From the environment of this process.
    """

    _active: "ProcessGroup | None" = None

    def __init__(self, place: Place) -> None:
        import torch.distributed as dist

        self.place = place
        # torchrun's agent keeps the store, which then outlives its processes.
        self._has_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        self._parent = os.getppid() if _ELASTIC in os.environ else None
        server = dist.TCPStore(  # type: ignore[attr-defined]
            os.environ["MASTER_ADDR"],
            int(os.environ["MASTER_PORT"]),
            place.world_size,
            is_master=place.rank == 0 and not self._has_agent,
        )
        self._lasting = _prefixed("transformer_playground", server)
        self._store = _prefixed(f"transformer_playground/{place.restarts}", server)
        self._store.set(f"who/{place.rank}", f"process {os.getpid()} on {platform.node()}")
        self._actions = 0

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0."""
        return self.place.rank == 0

    def main_first(self, action: Callable[[], _Result]) -> _Result:
        """Call `action` on every rank, on the others when rank 0 has done it."""
        self._actions += 1
        key = f"done/{self._actions}"
        if self.is_main:
            result = action()
            self._store.set(key, "")
            return result
        self._store.wait([key], _LONG)
        return action()

    def earlier_run(self) -> str | None:
        """Id of the run that these processes trained before the launcher restarted them."""
        if not (self.place.restarts and self._has_agent and self._lasting.check(["run"])):
            return None
        return str(self._lasting.get("run").decode())

    def remember_run(self, run_id: str) -> None:
        """Let the processes find their run again if the launcher restarts them."""
        if self._has_agent:
            # A run must not fail because its launcher has just been killed.
            with contextlib.suppress(Exception):
                self._lasting.set("run", run_id)

    @contextlib.contextmanager
    def joined(self, config: "ExperimentConfig") -> Iterator[None]:
        """Context with torch's process group, which all ranks enter.

        Raises:
            ConfigError: The device cannot be shared by so many processes.
        """
        import torch
        import torch.distributed as dist

        backend = self._backend(config)
        self._share_cores(config)
        dist.init_process_group(
            backend,
            store=_prefixed("torch", self._store),
            rank=self.place.rank,
            world_size=self.place.world_size,
            timeout=timedelta(minutes=config.train.distributed.timeout_minutes),
        )
        ProcessGroup._active = self
        threads = torch.get_num_threads()
        try:
            yield
        finally:
            ProcessGroup._active = None
            torch.set_num_threads(threads)
            dist.destroy_process_group()

    def _backend(self, config: "ExperimentConfig") -> str:
        import torch

        from transformer_playground.model.device import choose_device

        kind = choose_device(config.train.runtime.device).type
        if kind == "cpu":
            return "gloo"
        if kind != "cuda":
            raise ConfigError(
                f"several processes cannot share the device '{kind}'.",
                "Set train.runtime.device = 'cpu', or train with one process.",
            )
        gpus = torch.cuda.device_count()
        if self.place.local_world_size > gpus:
            raise ConfigError(
                f"{self.place.local_world_size} processes on this machine need as many GPUs, "
                f"but it has {gpus}.",
                "Start fewer, or set train.runtime.device = 'cpu'.",
            )
        torch.cuda.set_device(self.place.local_rank)
        # Small values travel over the CPU, so that the GPU is not waited for.
        return "cpu:gloo,cuda:nccl"

    def _share_cores(self, config: "ExperimentConfig") -> None:
        """Give this process its share of the cores, unless the number of threads is stated."""
        import torch

        if not config.train.runtime.threads:
            torch.set_num_threads(max(1, core_count() // self.place.local_world_size))

    def is_abandoned(self) -> bool:
        """Whether the launcher of this process was killed."""
        return self._parent is not None and os.getppid() != self._parent

    def report(self, reason: str) -> None:
        """Tell the other ranks why this one ends."""
        with contextlib.suppress(Exception):
            self._store.set(f"ended/{self.place.rank}", reason)

    def reports(self) -> dict[int, str]:
        """Why the other ranks end, as far as they say so within a few seconds."""
        found: dict[int, str] = {}
        others = [rank for rank in range(self.place.world_size) if rank != self.place.rank]
        deadline = time.monotonic() + _REPORT_SECONDS
        # Without its server the store cannot be asked.
        with contextlib.suppress(Exception):
            while len(found) < len(others) and time.monotonic() < deadline:
                for rank in others:
                    key = f"ended/{rank}"
                    if rank not in found and self._store.check([key]):
                        found[rank] = self._store.get(key).decode()
                time.sleep(0.05)
        return found

    def who(self, rank: int) -> str:
        """A rank with its process and machine, as far as known."""
        with contextlib.suppress(Exception):
            if self._store.check([f"who/{rank}"]):
                return f"rank {rank} ({self._store.get(f'who/{rank}').decode()})"
        return f"rank {rank}"


def _prefixed(prefix: str, store: Any) -> Any:
    """A part of torch's key-value store, which exports no type for type checkers."""
    import torch.distributed as dist

    return dist.PrefixStore(prefix, store)  # type: ignore[attr-defined]


def end_with_launcher() -> None:
    """Let the system send SIGTERM to this process when its launcher is killed, where it can."""
    if sys.platform == "linux":
        # Elsewhere, and in training, `launcher_is_gone` is asked.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def launcher_is_gone() -> bool:
    """Whether the launcher of this process was killed, so that nobody would end it."""
    active = ProcessGroup._active
    return active is not None and active.is_abandoned()


def remember_run(run_id: str) -> None:
    """See `ProcessGroup.remember_run`; nothing to do for a single process."""
    if (active := ProcessGroup._active) is not None:
        active.remember_run(run_id)


def explain_failure(error: Exception, ranks: "DistInfo", minutes: float) -> Exception:
    """The error to report: what made another rank end, if that is what this one suffers from.

    Args:
        error: What training has raised on this rank.
        ranks: All ranks.
        minutes: How long an answer of a rank is waited for.
    """
    active = ProcessGroup._active
    if ranks.is_alone or active is None:
        return error
    if not _is_lost_connection(error):
        active.report(str(error))
        return error
    active.report(_CONNECTION_LOST)
    reports = active.reports()
    for rank, reason in sorted(reports.items()):
        if reason != _CONNECTION_LOST:
            return TrainingError(f"{active.who(rank)}: {reason}")
    silent = [
        active.who(rank)
        for rank in range(ranks.world_size)
        if rank != ranks.rank and rank not in reports
    ]
    names = ", ".join(silent) or "another rank"
    late = "imed out" in str(error)
    what = f"did not answer for {minutes:g} minutes" if late else "has ended"
    lost = LostRankError(
        f"{names} {what}, so the run is interrupted.", "Resume it from its newest checkpoint."
    )
    lost.is_known = not late and os.environ.get(_ELASTIC, "").startswith(OWN_LAUNCH)
    return lost


def is_interruption(error: Exception) -> bool:
    """Whether what ended training is no fault of the run, which can be resumed as it is."""
    return isinstance(error, LostRankError) or is_full_disk(error)


def _is_lost_connection(error: Exception) -> bool:
    import torch.distributed as dist

    # gloo raises a plain RuntimeError that names its source file.
    is_gloo = isinstance(error, RuntimeError) and any(
        word in str(error) for word in ("gloo", "Connection closed by peer", "Connection reset")
    )
    return is_gloo or isinstance(error, dist.DistError)
