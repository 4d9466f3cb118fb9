"""Number of threads of numpy's BLAS library, for which numpy has no function."""

import ctypes
import functools
import importlib
from collections.abc import Callable

# OpenBLAS as in numpy's wheels, with 64-bit and 32-bit integers, and as packaged by systems.
_SETTERS = (
    "scipy_openblas_set_num_threads64_",
    "scipy_openblas_set_num_threads",
    "openblas_set_num_threads64_",
    "openblas_set_num_threads",
)


def set_blas_threads(count: int) -> None:
    """Let numpy's BLAS use `count` CPU threads; other libraries than OpenBLAS are left alone."""
    setter = _setter()
    if setter is not None:
        setter(count)


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
