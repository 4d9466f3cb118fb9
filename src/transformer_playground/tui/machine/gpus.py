"""NVIDIA GPUs through `nvidia-ml-py`, which is optional: without it or a driver there are none."""

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from transformer_playground.terminal import visible_line

_MODULE = "pynvml"


@dataclass(frozen=True)
class Gpu:
    """One GPU at a moment; None = its driver does not say.

    Attributes:
        busy: Share of the last moments in which something computed on it, 0 to 1.
        memory: Bytes in use, by all processes.
        temperature: Degrees Celsius.
        power: Watts.
        processes: Process id -> bytes; None = unknown.
    """

    name: str
    busy: float | None
    memory: int | None
    total: int | None
    temperature: int | None
    power: float | None
    processes: dict[int, int | None]


def read_gpus() -> tuple[Gpu, ...]:
    """All GPUs that NVIDIA's driver knows."""
    library = _library()
    if library is None:
        return ()
    try:
        handles = [
            library.nvmlDeviceGetHandleByIndex(index)
            for index in range(library.nvmlDeviceGetCount())
        ]
    except library.NVMLError:
        return ()
    return tuple(_read(library, handle) for handle in handles)


@cache
def _library() -> Any:
    """The library, initialized once; None without it or without a driver."""
    try:
        library = importlib.import_module(_MODULE)
    except ImportError:
        return None
    try:
        library.nvmlInit()
    except library.NVMLError:
        return None
    return library


def _read(library: Any, handle: Any) -> Gpu:
    def ask(function: str, *words: Any) -> Any:
        # A driver answers only what its card can tell.
        try:
            return getattr(library, function)(handle, *words)
        except library.NVMLError:
            return None

    name, use = ask("nvmlDeviceGetName"), ask("nvmlDeviceGetUtilizationRates")
    memory = ask("nvmlDeviceGetMemoryInfo")
    power = ask("nvmlDeviceGetPowerUsage")
    processes = ask("nvmlDeviceGetComputeRunningProcesses") or ()
    return Gpu(
        # Older versions answer in bytes.
        visible_line(name.decode("utf-8", "replace") if isinstance(name, bytes) else name or "GPU"),
        None if use is None else use.gpu / 100,
        None if memory is None else memory.used,
        None if memory is None else memory.total,
        ask("nvmlDeviceGetTemperature", library.NVML_TEMPERATURE_GPU),
        None if power is None else power / 1000,
        {each.pid: each.usedGpuMemory for each in processes},
    )
