"""Stream a checkpoint to its file and hash it on the way."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from transformer_playground.files import write_durably


@dataclass(frozen=True)
class Written:
    """What went to the disk."""

    size: int
    sha256: str


class _HashingWriter(io.BufferedIOBase):
    """Passes bytes on to a file, counting and hashing them.

    The first error is kept instead of raised and the rest of the stream dropped: torch's archive
    writer is native code that answers a Python exception with an unrelated one of its own.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0
        self.error: OSError | None = None

    def write(self, data: Any, /) -> int:
        view = memoryview(data)
        if self.error is None:
            try:
                self._file.write(view)
            except OSError as error:
                self.error = error
            self._digest.update(view)
            self.size += view.nbytes
        return view.nbytes

    def finish(self) -> Written:
        if self.error is not None:
            raise self.error
        return Written(self.size, self._digest.hexdigest())


def write_payload(path: Path, payload: Mapping[str, Any]) -> Written:
    """Serialise `payload` into `path` and sync it to the disk.

    Raises:
        OSError: The disk refused; `path` is not complete.
    """
    # Discovery of checkpoints must not pay for torch.
    import torch

    written: list[Written] = []

    def serialise(file: IO[bytes]) -> None:
        writer = _HashingWriter(file)
        torch.save(dict(payload), cast("IO[bytes]", writer))
        written.append(writer.finish())

    write_durably(path, serialise)
    return written[0]


def estimated_size(value: object) -> int:
    """Bytes of all tensors and arrays nested in `value`; tensors that share memory count twice."""
    if isinstance(value, Mapping):
        return sum(estimated_size(item) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(estimated_size(item) for item in value)
    size = getattr(value, "nbytes", 0)
    return size if isinstance(size, int) else 0
