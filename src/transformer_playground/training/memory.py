"""Running out of memory, in words."""

import contextlib
from collections.abc import Iterator

import torch

from transformer_playground.errors import TrainingError


@contextlib.contextmanager
def memory_as_sentence() -> Iterator[None]:
    """Turn the several ways of torch and numpy to run out of memory into a `TrainingError`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        raise TrainingError(
            "out of memory.",
            "Lower train.data.batch_size and raise grad_accum_steps, or shrink the model.",
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    # The CPU allocator raises a plain RuntimeError, numpy a subclass of MemoryError.
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or "allocate memory" in str(error) or "Storage size calculation" in str(error)
