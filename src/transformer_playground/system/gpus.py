"""NVIDIA GPUs through `nvidia-ml-py`, which is optional: without it or a driver there are none."""

import importlib
from dataclasses import dataclass
from functools import cache
from typing import Any

from transformer_playground.terminal import visible_line

_MODULE = "pynvml"


@dataclass(frozen=True)
class GpuUse:
    """What one GPU does at a moment; None = its driver does not say.

    Attributes:
        busy: Share of the last moments in which something computed on it, 0 to 1.
        memory: Bytes in use, by all processes.
        temperature: Degrees Celsius.
        power: Watts.
    """

    busy: float | None
    memory: int | None
    temperature: int | None
    power: float | None


@dataclass(frozen=True)
class Gpu:
    """One GPU at a moment.

    Attributes:
        total: Bytes of its memory; None = unknown.
        processes: Process id -> bytes; None = unknown.
    """

    name: str
    use: GpuUse
    total: int | None
    processes: dict[int, int | None]


class GpuProbe:
    """Reads what one GPU does.

    Args:
        uuid: How NVIDIA's driver identifies it, such as "GPU-8932f937-…".
    """

    def __init__(self, uuid: str) -> None:
        library = _library()
        self._handle = library and _ask(library, "nvmlDeviceGetHandleByUUID", uuid)

    def read(self) -> GpuUse | None:
        """What it does now; None without a driver or if the driver does not know it."""
        return None if self._handle is None else _read_use(_library(), self._handle)


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


def _ask(library: Any, function: str, *words: Any) -> Any:
    # A driver answers only what its card can tell.
    try:
        return getattr(library, function)(*words)
    except library.NVMLError:
        return None


def _read_use(library: Any, handle: Any) -> GpuUse:
    use = _ask(library, "nvmlDeviceGetUtilizationRates", handle)
    memory = _ask(library, "nvmlDeviceGetMemoryInfo", handle)
    power = _ask(library, "nvmlDeviceGetPowerUsage", handle)
    sensor = library.NVML_TEMPERATURE_GPU
    return GpuUse(
        None if use is None else use.gpu / 100,
        None if memory is None else memory.used,
        _ask(library, "nvmlDeviceGetTemperature", handle, sensor),
        None if power is None else power / 1000,
    )


def _read(library: Any, handle: Any) -> Gpu:
    name = _ask(library, "nvmlDeviceGetName", handle)
    memory = _ask(library, "nvmlDeviceGetMemoryInfo", handle)
    processes = _ask(library, "nvmlDeviceGetComputeRunningProcesses", handle) or ()
    return Gpu(
        # Older versions answer in bytes.
        visible_line(name.decode("utf-8", "replace") if isinstance(name, bytes) else name or "GPU"),
        _read_use(library, handle),
        None if memory is None else memory.total,
        {each.pid: each.usedGpuMemory for each in processes},
    )
