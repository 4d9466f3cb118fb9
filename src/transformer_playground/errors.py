"""Exception classes for errors that the user can fix.

Each interface renders them in one place. Any other exception is a bug and shows its traceback.
"""

import contextlib
import errno
from collections.abc import Iterator

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers of a disk, quota or limit that leaves no room for more bytes."""


class PlaygroundError(Exception):
    """Base class of user errors.

    Args:
        message: One sentence with the problem and its location.
        hint: How to fix it; empty if the message is sufficient.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


def describe_error(error: BaseException) -> str:
    """Text of any exception: the sentence of a `PlaygroundError`, else class and message."""
    if isinstance(error, PlaygroundError):
        return str(error)
    return f"{type(error).__name__}: {error}".rstrip(": ")


def is_full_disk(error: BaseException) -> bool:
    """Whether an error was caused by a full disk, which is not the fault of what was written."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in FULL_DISK:
            return True
        cause = cause.__cause__
    return False


def is_library_fault(error: BaseException) -> bool:
    """Whether a library failed, not the user or the memory.

    A panic in Rust code is a `BaseException`, which `except Exception` does not catch.
    """
    is_panic = type(error).__module__ == "pyo3_runtime"
    return is_panic or (isinstance(error, Exception) and not isinstance(error, MemoryError))


@contextlib.contextmanager
def translate_os_errors(kind: type[PlaygroundError], what: str, hint: str = "") -> Iterator[None]:
    """Turn an OSError of the block into the sentence `what`, followed by the system's reason.

    Raises:
        PlaygroundError: Of this kind, for any OSError in the block.
    """
    try:
        yield
    except OSError as error:
        raise kind(f"{what}: {error.strerror or error}.", hint) from error


class UsageError(PlaygroundError):
    """Invalid command: an unknown name, an invalid id, or flags that exclude each other."""

    exit_code = 2


class ConfigError(UsageError):
    """Invalid configuration: unknown key, wrong type or invalid combination."""


class DataError(PlaygroundError):
    """A corpus, tokenizer or prepared dataset is missing, unusable or damaged."""


class CheckpointError(PlaygroundError):
    """A checkpoint is missing, damaged, incompatible or cannot be written."""


class RunError(PlaygroundError):
    """A run folder is missing, damaged or in use by another process."""


class TrainingError(PlaygroundError):
    """Training failed: a non-finite loss, out of memory or unwritable metrics."""


class SamplingError(PlaygroundError):
    """Sampling failed: a prompt that cannot be encoded, or no model to sample from."""


class ModelError(PlaygroundError):
    """A base model or an adapter is missing, unreadable or incompatible."""


class ExportError(PlaygroundError):
    """An exported file could not be written."""
