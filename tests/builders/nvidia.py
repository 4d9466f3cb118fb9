"""A stand-in for NVIDIA's library of one GPU, which no test machine needs to have."""

import os
import sys
from functools import cache
from types import SimpleNamespace

import pytest

from transformer_playground.system import gpus

GIB = 1 << 30
UUID = "GPU-1"


class NvidiaError(Exception):
    """Stands for the library's error."""


def install_library(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The library, as if it were installed; its GPU does not tell its power."""

    def refuse(*_: object) -> None:
        raise NvidiaError

    def handle_of(uuid: str) -> str:
        if uuid != UUID:
            raise NvidiaError
        return "handle 0"

    library = SimpleNamespace(
        NVMLError=NvidiaError,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: f"handle {index}",
        nvmlDeviceGetHandleByUUID=handle_of,
        nvmlDeviceGetName=lambda _: b"H\x1b200",
        nvmlDeviceGetUtilizationRates=lambda _: SimpleNamespace(gpu=75, memory=10),
        nvmlDeviceGetMemoryInfo=lambda _: SimpleNamespace(used=2 * GIB, total=8 * GIB),
        nvmlDeviceGetTemperature=lambda _, sensor: 61 + sensor,
        nvmlDeviceGetPowerUsage=refuse,
        nvmlDeviceGetComputeRunningProcesses=lambda _: [
            SimpleNamespace(pid=os.getpid(), usedGpuMemory=GIB),
            SimpleNamespace(pid=2, usedGpuMemory=None),
        ],
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    # It is initialized once in a process.
    monkeypatch.setattr(gpus, "_library", cache(gpus._library.__wrapped__))
    return library
