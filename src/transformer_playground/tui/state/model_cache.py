"""Models that were sampled from lately, so that asking again costs no loading."""

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from transformer_playground.errors import CheckpointError
from transformer_playground.files import sha256_file

if TYPE_CHECKING:
    from transformer_playground.config.train import Device, DType
    from transformer_playground.runs.sampling import LoadedModel

# As many as are drawn from side by side, so that asking all of them again loads none.
_MOST_MODELS = 6
_MOST_HASHES = 256
_K = TypeVar("_K")
_V = TypeVar("_V")
# Device, inode, bytes, time of change: training replaces files, it never writes into one.
_Identity = tuple[int, int, int, int]


class ModelCache:
    """Keeps models and hashes by the identity of their files.

    A file that training has replaced is another file, and two names of one file are the same.

    Args:
        most: How many models are kept.
    """

    def __init__(self, most: int = _MOST_MODELS) -> None:
        self._models: _Recent[tuple[_Identity, str, str], LoadedModel] = _Recent(most)
        self._hashes: _Recent[_Identity, str] = _Recent(_MOST_HASHES)

    def load(self, path: Path, device: "Device", dtype: "DType") -> "LoadedModel":
        """What `runs.sampling.load_model` gives, loaded at most once.

        Raises:
            PlaygroundError: As there.
        """
        from transformer_playground.runs.sampling import load_model

        key = (_identity(path), device, dtype)
        known = self._models.get(key)
        if known is None:
            known = load_model(path, device, dtype)
            self._models.put(key, known)
        return known

    def sha256(self, path: Path) -> str:
        """SHA-256 of a file as hex, computed at most once.

        Raises:
            OSError: The file cannot be read.
        """
        key = _stat_identity(path)
        known = self._hashes.get(key)
        if known is None:
            known = sha256_file(path)
            self._hashes.put(key, known)
        return known


class _Recent(Generic[_K, _V]):
    """The entries used last, at most so many."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: OrderedDict[_K, _V] = OrderedDict()

    def get(self, key: _K) -> _V | None:
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: _K, value: _V) -> None:
        self._entries[key] = value
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)


def _identity(path: Path) -> _Identity:
    try:
        return _stat_identity(path)
    except OSError as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be read: {error.strerror}.", "Choose another one."
        ) from error


def _stat_identity(path: Path) -> _Identity:
    about = path.stat()
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns
