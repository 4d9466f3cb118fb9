"""Out-of-memory errors as `TrainingError`."""

import contextlib
from collections.abc import Iterator

import torch

from transformer_playground.errors import TrainingError


@contextlib.contextmanager
def translate_oom() -> Iterator[None]:
    """Translate every out-of-memory error of torch and numpy into a `TrainingError`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # The CPU allocator raises a plain RuntimeError, numpy a subclass of MemoryError.
        if not (
            isinstance(error, torch.OutOfMemoryError | MemoryError)
            or "allocate memory" in str(error)
            or "Storage size calculation" in str(error)
        ):
            raise
        raise TrainingError(
            "out of memory.",
            "Lower train.data.batch_size and raise grad_accum_steps, or shrink the model.",
        ) from error
