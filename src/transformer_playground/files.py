"""Durable, all-or-nothing file writes."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

_HASH_CHUNK = 1 << 20


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes as hex, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def temporary_sibling(path: Path) -> Iterator[Path]:
    """A fresh hidden file name beside `path` that is gone after the block, whatever happens."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write_durably(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Call `write` on an open binary file and flush its bytes to the disk."""
    with path.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Create or replace `path` so that a reader sees the old bytes or the new, never a mixture.

    Raises:
        OSError: The disk refused; `path` is as it was and no partial file is left.
    """
    with temporary_sibling(path) as temporary:
        write_durably(temporary, write)
        # mkstemp makes private files; a run folder is meant to be shared.
        temporary.chmod(0o644)
        os.replace(temporary, path)
    fsync_folder(path.parent)


def replace_text(path: Path, text: str) -> None:
    """`replace_file` for UTF-8 text."""
    replace_file(path, lambda file: file.write(text.encode("utf-8")))


def replace_json(path: Path, value: Any) -> None:
    """`replace_file` for one JSON document, readable and with a final newline."""
    replace_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
