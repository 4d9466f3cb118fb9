"""Choice of device and compute dtype."""

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from transformer_playground.config.train import Device, DType
from transformer_playground.errors import ConfigError

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

# For smaller models, the casts of bfloat16 cost more than it saves.
_CPU_BFLOAT16_MIN_PARAMETERS = 50_000


@dataclass(frozen=True)
class Precision:
    """A compute dtype and the reason for it."""

    dtype: torch.dtype
    reason: str

    @property
    def name(self) -> str:
        """Name of the dtype in the configuration."""
        return str(self.dtype).removeprefix("torch.")


def choose_device(requested: Device) -> torch.device:
    """The compute device; "auto" selects CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: The requested device is not on this machine.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if requested == "auto":
        return torch.device(next(name for name, exists in available.items() if exists))
    if not available[requested]:
        raise ConfigError(
            f"device = '{requested}' is not available on this machine.",
            "Use device = 'auto' or 'cpu'.",
        )
    return torch.device(requested)


def set_tf32(device: torch.device, *, enabled: bool) -> None:
    """Let tensor cores of a CUDA device round the inputs of float32 matrix products to TF32.

    It has 10 bits of mantissa instead of 23 and is several times as fast. No effect elsewhere.
    """
    if device.type == "cuda":
        # This sets the newer `fp32_precision` as well. That alone would make torch's readers of the
        # older setting fail, some of torch.compile among them.
        torch.backends.cuda.matmul.allow_tf32 = enabled


def choose_precision(
    requested: DType, device: torch.device, parameters: int = 0, *, setting: str = "dtype"
) -> Precision:
    """The compute dtype; "auto" depends on the device and the number of `parameters`.

    Raises:
        ConfigError: The device does not support the dtype of `setting`.
    """
    if requested == "auto":
        return auto_precision(device, is_small=lambda: parameters < _CPU_BFLOAT16_MIN_PARAMETERS)
    if requested == "float16" and device.type != "cuda":
        raise ConfigError(
            f"{setting} = 'float16' needs a CUDA device, not {device.type}.",
            "Use 'auto', 'bfloat16' or 'float32'.",
        )
    return Precision(_DTYPES[requested], "as configured")


def auto_precision(device: torch.device, *, is_small: Callable[[], bool]) -> Precision:
    """The fastest safe dtype; `is_small` models gain nothing from bfloat16 on a CPU."""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision(torch.bfloat16, "this GPU supports bfloat16")
        return Precision(torch.float32, "this GPU does not support bfloat16")
    if device.type == "mps":
        return Precision(torch.float32, "the default on MPS")
    if not cpu_has_bfloat16():
        return Precision(torch.float32, "this CPU has no bfloat16 instructions")
    if is_small():
        return Precision(torch.float32, "the model is too small to benefit from bfloat16")
    return Precision(torch.bfloat16, "this CPU has bfloat16 matrix instructions")


def to_device(array: NDArray[np.int64], device: torch.device) -> Tensor:
    """A batch as a tensor on `device`; a copy to CUDA does not wait for earlier work."""
    tensor = torch.from_numpy(array)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def peak_memory(device: torch.device) -> int:
    """Highest memory so far in bytes: of this process, or on a GPU of its tensors."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    # The kernel counts KiB, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def current_memory(device: torch.device) -> int | None:
    """Memory in use now in bytes, as in `peak_memory`; does not wait for a GPU. None = unknown."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    return process_memory()


def process_memory() -> int | None:
    """Resident memory of this process in bytes; None where the system does not tell it."""
    try:
        return _this_process().memory_info().rss
    except (OSError, RuntimeError, psutil.Error):
        return None


def gpu_uuids(first: torch.device, count: int) -> tuple[str, ...]:
    """How NVIDIA's driver identifies some CUDA devices; none for devices of other kinds.

    Args:
        first: A device.
        count: The number of devices from it on.
    """
    if first.type != "cuda":
        return ()
    index = torch.cuda.current_device() if first.index is None else first.index
    found = [
        torch.cuda.get_device_properties(each)
        for each in range(index, min(index + count, torch.cuda.device_count()))
    ]
    # Which devices a process sees, and in which order, is up to CUDA_VISIBLE_DEVICES.
    return tuple(f"GPU-{each.uuid}" for each in found)


@cache
def _this_process() -> psutil.Process:
    # Creating one reads several files.
    return psutil.Process()


def is_out_of_memory(error: Exception) -> bool:
    """Whether torch or numpy ran out of memory, for which only CUDA has an exception type."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(
        words in str(error) for words in ("allocate memory", "Storage size calculation")
    )


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware (AMX or AVX512-BF16)."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
