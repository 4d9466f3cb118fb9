"""The BLAS library of numpy: when it is faster than that of torch, and its number of threads."""

import ctypes
import functools
import importlib
from collections.abc import Callable

import torch

# OpenBLAS as in numpy's wheels, with 64-bit and 32-bit integers, and as packaged by systems.
_SETTERS = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
)


@functools.cache
def prefers_numpy() -> bool:
    """Whether numpy multiplies a float32 matrix and a vector faster than torch on this CPU.

    Reading 42 MB of weights, MKL of torch 2.15 took 3.0 ms on an AMD EPYC, with one thread or two,
    and OpenBLAS of numpy 2.4 took 2.3 ms with one. On an Intel Xeon MKL took 2.2 and 1.1 ms.
    """
    name = str(torch.cpu.get_capabilities().get("cpu_name", ""))
    return name.startswith("AMD")


def use_one_thread() -> None:
    """Let numpy's BLAS use one thread if it is OpenBLAS, for which numpy has no function.

    A second one would compete with torch's threads for the cores: where these are busy, products
    took ten times as long.
    """
    setter = _setter()
    if setter is not None:
        setter(1)


@functools.cache
def _setter() -> Callable[[int], object] | None:
    try:
        # The library that numpy has loaded is found through the extension that is linked to it.
        extension = importlib.import_module("numpy._core._multiarray_umath").__file__
        library = ctypes.CDLL(extension)
    except (ImportError, OSError, TypeError):
        return None
    for name in _SETTERS:
        if hasattr(library, name):
            setter: Callable[[int], object] = getattr(library, name)
            return setter
    return None
