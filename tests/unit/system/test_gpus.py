"""GPUs as NVIDIA's library tells them."""

import os
import sys

import pytest

from builders.nvidia import GIB, UUID, NvidiaError, install_library
from transformer_playground.system import gpus
from transformer_playground.system.gpus import Gpu, GpuProbe, GpuUse, read_gpus

USE = GpuUse(0.75, 2 * GIB, 61, None)


def test_a_gpu_tells_what_its_driver_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    install_library(monkeypatch)
    assert read_gpus() == (Gpu("H␛200", USE, 8 * GIB, {os.getpid(): GIB, 2: None}),)


def test_a_single_gpu_is_found_by_its_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    library = install_library(monkeypatch)
    assert GpuProbe(UUID).read() == USE
    library.nvmlDeviceGetPowerUsage = lambda _: 287_500
    assert GpuProbe(UUID).read() == GpuUse(0.75, 2 * GIB, 61, 287.5)
    assert GpuProbe("GPU-unknown").read() is None


def test_without_a_library_or_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise NvidiaError

    library = install_library(monkeypatch)
    library.nvmlInit = no_driver
    assert read_gpus() == ()
    assert GpuProbe(UUID).read() is None
    gpus._library.cache_clear()
    # The import of a module that is None fails.
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert read_gpus() == ()
    assert GpuProbe(UUID).read() is None
