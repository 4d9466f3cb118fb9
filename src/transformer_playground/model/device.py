"""Which device and which number format a model computes with."""

from dataclasses import dataclass

import torch

from transformer_playground.config.train import Device, DType
from transformer_playground.errors import ConfigError

_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}

# Below this many weights a step is mostly small kernels, and bfloat16's casts eat its gain.
_CPU_BFLOAT16_MIN_PARAMETERS = 500_000


@dataclass(frozen=True)
class Precision:
    """A number format and, for the user, why it was chosen."""

    dtype: torch.dtype
    reason: str

    @property
    def name(self) -> str:
        """The format's name as configuration writes it."""
        return str(self.dtype).removeprefix("torch.")


def choose_device(requested: Device) -> torch.device:
    """The device to compute on; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: The requested device is not on this machine.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if requested == "auto":
        return torch.device(next(name for name, here in available.items() if here))
    if not available[requested]:
        raise ConfigError(
            f"device = '{requested}' is not available on this machine.",
            "Use device = 'auto' or 'cpu'.",
        )
    return torch.device(requested)


def choose_precision(requested: DType, device: torch.device, parameters: int) -> Precision:
    """The format of forward and backward.

    Args:
        requested: The configured dtype.
        device: Where the model computes.
        parameters: Number of weights; small models gain nothing from bfloat16 on a CPU.

    Raises:
        ConfigError: The device cannot compute in the requested format.
    """
    if requested == "auto":
        return _automatic(device, parameters)
    if requested == "float16" and device.type != "cuda":
        raise ConfigError(
            f"dtype = 'float16' needs a CUDA device, not {device.type}.",
            "Use 'auto', 'bfloat16' or 'float32'.",
        )
    return Precision(_DTYPES[requested], "as configured")


def _automatic(device: torch.device, parameters: int) -> Precision:
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision(torch.bfloat16, "this GPU computes in bfloat16")
        return Precision(torch.float32, "this GPU has no bfloat16")
    if device.type == "mps":
        return Precision(torch.float32, "the safe choice on MPS")
    if not cpu_has_bfloat16():
        return Precision(torch.float32, "this CPU has no bfloat16 arithmetic")
    if parameters < _CPU_BFLOAT16_MIN_PARAMETERS:
        return Precision(torch.float32, "the model is too small to gain from bfloat16")
    return Precision(torch.bfloat16, "this CPU multiplies matrices in bfloat16")


def cpu_has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware (AMX or AVX512-BF16)."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))
