"""Reading of the machine: cores, memory, disk, GPUs, and the processes that use them."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from transformer_playground.files import free_space
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.status import read_writer
from transformer_playground.system.cores import CoreTimes
from transformer_playground.system.gpus import Gpu, read_gpus
from transformer_playground.terminal import visible_line
from transformer_playground.tui.core.run_tails import RunTails
from transformer_playground.tui.machine.step_split import StepSplit, split_of

MOST_PROCESSES = 12
# Processes below this share of a core and without a GPU are not busy.
_BUSY = 0.02
# Bytes of the metrics file of the run whose step is split.
_TAIL = 1 << 18


@dataclass(frozen=True)
class BusyProcess:
    """A process that computes.

    Attributes:
        name: Its command, printable.
        cores: Cores in use, such as 1.7.
        memory: Bytes; None if the system does not say.
        gpu_memory: Bytes on all GPUs, 0 without any.
        run_id: The run that it trains.
        is_own: Whether it is this console.
    """

    pid: int
    name: str
    cores: float
    memory: int | None
    gpu_memory: int = 0
    run_id: str | None = None
    is_own: bool = False


@dataclass(frozen=True)
class Reading:
    """The machine at a moment.

    Attributes:
        cores: Share of each core in use since the reading before, 0 to 1; None = unknown.
        load: Processes that wanted a core in the last minute, on average.
        written: Bytes written per second since the reading before; None = unknown.
        free: Free bytes on the disk of the runs; None = unknown.
    """

    cores: tuple[float | None, ...] = ()
    load: float = 0.0
    memory: int = 0
    total: int = 0
    free: int | None = None
    written: float | None = None
    gpus: tuple[Gpu, ...] = ()
    processes: tuple[BusyProcess, ...] = ()
    split: StepSplit | None = None


@dataclass
class MachineReader:
    """Reads the machine; blocks for some milliseconds, so call it in a thread.

    The first reading knows no speeds: they are those since the one before.
    """

    runs_dir: Path
    _disk: tuple[float, int] | None = None
    _core_times: tuple[CoreTimes, ...] = ()

    def __post_init__(self) -> None:
        self._tails = RunTails(self.runs_dir, _TAIL)

    def read(self, running: tuple[str, ...], focus: str | None) -> Reading:
        """A reading.

        Args:
            running: Runs in training, whose processes are named.
            focus: The run whose step is split into its parts.
        """
        gpus = read_gpus()
        memory = psutil.virtual_memory()
        return Reading(
            self._cores(),
            os.getloadavg()[0],
            memory.total - memory.available,
            memory.total,
            self._free(),
            self._written(),
            gpus,
            self._processes(gpus, self._trainers(running)),
            self._split(focus),
        )

    def _cores(self) -> tuple[float | None, ...]:
        # `psutil.cpu_percent` remembers a reading for each thread, and every reading here may be
        # made by another thread of a pool.
        now = tuple(CoreTimes.of(each) for each in psutil.cpu_times(percpu=True))
        before, self._core_times = self._core_times, now
        if len(before) != len(now):
            return (None,) * len(now)
        return tuple(core.share_since(earlier) for core, earlier in zip(now, before, strict=True))

    def _free(self) -> int | None:
        # The folder may not exist yet.
        folder = next(each for each in (self.runs_dir, *self.runs_dir.parents) if each.is_dir())
        return free_space(folder)

    def _written(self) -> float | None:
        counters = psutil.disk_io_counters()
        if counters is None:
            return None
        now, before = (time.monotonic(), counters.write_bytes), self._disk
        self._disk = now
        if before is None or now[0] <= before[0]:
            return None
        return max(0.0, (now[1] - before[1]) / (now[0] - before[0]))

    def _trainers(self, running: tuple[str, ...]) -> dict[int, str]:
        """Process id on this host -> the run that it trains."""
        writers = {run_id: read_writer(RunFolder(self.runs_dir / run_id)) for run_id in running}
        return {
            writer.pid: run_id
            for run_id, writer in writers.items()
            if writer is not None and writer.is_here
        }

    def _processes(
        self, gpus: tuple[Gpu, ...], trainers: Mapping[int, str]
    ) -> tuple[BusyProcess, ...]:
        on_gpus: dict[int, int] = {}
        for gpu in gpus:
            for pid, size in gpu.processes.items():
                on_gpus[pid] = on_gpus.get(pid, 0) + (size or 0)
        found = []
        for process in psutil.process_iter(["name", "cpu_percent", "memory_info"]):
            known = process.info
            cores = (known["cpu_percent"] or 0.0) / 100
            is_ours = process.pid in trainers or process.pid == os.getpid()
            if cores < _BUSY and process.pid not in on_gpus and not is_ours:
                continue
            memory = known["memory_info"]
            found.append(
                BusyProcess(
                    process.pid,
                    visible_line(_command(process) or known["name"] or "?"),
                    cores,
                    memory.rss if memory else None,
                    on_gpus.get(process.pid, 0),
                    trainers.get(process.pid),
                    process.pid == os.getpid(),
                )
            )
        found.sort(key=_importance, reverse=True)
        return tuple(sorted(found[:MOST_PROCESSES], key=_share, reverse=True))

    def _split(self, focus: str | None) -> StepSplit | None:
        if focus is None:
            return None
        self._tails.keep_only((focus,))
        return split_of(self._tails.read(focus))


def _importance(process: BusyProcess) -> tuple[bool, tuple[float, int]]:
    """Sorts the processes of this console and of runs after those of others."""
    return process.is_own or process.run_id is not None, _share(process)


def _share(process: BusyProcess) -> tuple[float, int]:
    return process.cores, process.gpu_memory


def _command(process: psutil.Process) -> str:
    """The command line of a process without folder and interpreter; "" if it is not told."""
    try:
        arguments = process.cmdline()
    except (psutil.Error, OSError):
        return ""
    if len(arguments) > 1 and _is_python(arguments[0]) and not arguments[1].startswith("-"):
        arguments = arguments[1:]
    return " ".join([Path(arguments[0]).name, *arguments[1:]]) if arguments else ""


def _is_python(path: str) -> bool:
    return Path(path).name.lower().startswith("python")
