"""`meta.pkl`: metadata of a dataset or tokenizer folder, readable by nanoGPT."""

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from transformer_playground.errors import DataError
from transformer_playground.files import replace_file
from transformer_playground.jsonvalues import as_object

META_FILE = "meta.pkl"
META_VERSION = 1

# The largest valid file maps every Unicode character both ways, a few MiB.
_MAX_BYTES = 32 << 20
# Readable by every Python version that runs nanoGPT.
_PROTOCOL = 4


class _PlainUnpickler(pickle.Unpickler):
    """Unpickler for numbers, strings and containers; rejects anything that could run code."""

    def find_class(self, module_name: str, global_name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it refers to {module_name}.{global_name}")

    def persistent_load(self, pid: object) -> NoReturn:
        raise pickle.UnpicklingError(f"it refers to an object outside the file ({pid!r})")


def read_meta(path: Path) -> dict[str, Any]:
    """Read a `meta.pkl` of built-in values without running code.

    Raises:
        DataError: The file is missing, unreadable, too large, damaged or not a plain dictionary.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise DataError(
                f"{path} has {size:,} bytes, more than any real {META_FILE}.",
                "Delete it and prepare the dataset again.",
            )
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", "Prepare the dataset first.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        value = _PlainUnpickler(io.BytesIO(content)).load()
    # Damaged opcodes fail as almost any exception, MemoryError and RecursionError included.
    except Exception as error:  # noqa: BLE001
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{path} is damaged or not a plain {META_FILE}: {reason}.",
            "Nothing in it was run. Delete it and prepare the dataset again.",
        ) from None
    if type(value) is not dict or not all(type(key) is str for key in value):
        raise DataError(
            f"{path} is not a plain dictionary of settings.",
            "Delete it and prepare the dataset again.",
        )
    return value


def tokenizer_digest(meta: Mapping[str, Any]) -> str | None:
    """SHA-256 of the tokenizer in a `meta.pkl`, if recorded."""
    digest: str | None = as_object(meta.get("tokenizer")).get("sha256")
    return digest


def write_meta(path: Path, meta: dict[str, Any]) -> None:
    """Create or replace a `meta.pkl` atomically."""
    content = pickle.dumps(meta, protocol=_PROTOCOL)
    replace_file(path, lambda file: file.write(content))
