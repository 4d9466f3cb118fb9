"""System metrics: what the training process and its machine use, for the rows of the log."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, process_time

import torch

from transformer_playground.files import free_space
from transformer_playground.model.device import gpu_uuids, process_memory
from transformer_playground.system.cores import CoreTimes
from transformer_playground.system.gpus import GpuProbe
from transformer_playground.training.distributed import DistInfo
from transformer_playground.training.setup import TrainingSetup

# Seconds before the first reading: the system counts the times of cores in hundredths of a second.
_FIRST = 0.1
# Seconds from one reading to the next: more where it takes long, such as that of some GPUs, so that
# it takes less than this share of the time; but one slow reading must not be the last.
_SHORTEST, _LONGEST = 1.0, 30.0
_SHARE = 1 / 4000


@dataclass(frozen=True)
class _Clocks:
    """Seconds at a moment: passed, computed by this process, and of the cores."""

    passed: float
    own: float
    cores: CoreTimes | None

    @classmethod
    def now(cls) -> "_Clocks":
        return cls(monotonic(), process_time(), CoreTimes.of_all())

    def cpu_since(self, earlier: "_Clocks") -> float:
        """Percent of a core that this process used."""
        return 100 * (self.own - earlier.own) / max(self.passed - earlier.passed, 1e-9)

    def others_since(self, earlier: "_Clocks") -> float | None:
        """Percent of a core that all other processes of the machine used together."""
        if self.cores is None or earlier.cores is None:
            return None
        busy = self.cores.busy_since(earlier.cores)
        if busy is None:
            return None
        passed = max(self.passed - earlier.passed, 1e-9)
        return max(0.0, 100 * busy / passed - self.cpu_since(earlier))


class SystemMetrics:
    """Reads what the process and its machine use, seldom enough to cost nothing.

    Args:
        folder: On the disk whose free space is told.
        device: Where the process computes.
        ranks: The processes of the run.
    """

    def __init__(self, folder: Path, device: torch.device, ranks: DistInfo) -> None:
        self._folder, self._device = folder, device
        self._processes = ranks.local_world_size
        self._gpus: tuple[GpuProbe, ...] | None = None
        self._values: Mapping[str, float] = {}
        self._before = _Clocks.now()
        self._due = self._before.passed + _FIRST

    @classmethod
    def of(cls, setup: TrainingSetup, folder: Path, ranks: DistInfo) -> "SystemMetrics | None":
        """Those of a run, as its settings say; None on all ranks but the first, which logs."""
        is_on = setup.config.train.runtime.system_metrics and ranks.is_main
        return cls(folder, setup.device, ranks) if is_on else None

    def newest(self) -> Mapping[str, float]:
        """Numbers by their key in the rows, at most a second old or as old as reading costs.

        What the system does not tell is left out.
        """
        if monotonic() < self._due:
            return self._values
        if self._gpus is None:
            # Takes longer than reading them, but only once.
            uuids = gpu_uuids(self._device, self._processes)
            self._gpus = tuple(GpuProbe(uuid) for uuid in uuids)
        now = _Clocks.now()
        figures = {**self._figures(now), **dict(_gpu_figures(self._gpus))}
        self._values = {key: value for key, value in figures.items() if value is not None}
        self._before = now
        pause = (monotonic() - now.passed) / _SHARE
        self._due = now.passed + min(_LONGEST, max(_SHORTEST, pause))
        return self._values

    def _figures(self, now: _Clocks) -> dict[str, float | None]:
        # Other ranks of the run are not others, but nobody knows what they use.
        others = now.others_since(self._before) if self._processes == 1 else None
        return {
            "cpu_percent": round(now.cpu_since(self._before), 1),
            "others_cpu_percent": None if others is None else round(others, 1),
            # Elsewhere `memory` is that of the process.
            "host_memory": process_memory() if self._device.type == "cuda" else None,
            "disk_free": free_space(self._folder),
        }


def _gpu_figures(gpus: tuple[GpuProbe, ...]) -> Iterator[tuple[str, float | None]]:
    for number, gpu in enumerate(gpus):
        use = gpu.read()
        if use is not None:
            yield f"gpu{number}_percent", None if use.busy is None else round(100 * use.busy, 1)
            yield f"gpu{number}_memory", use.memory
            yield f"gpu{number}_watts", None if use.power is None else round(use.power, 1)
            yield f"gpu{number}_celsius", use.temperature
