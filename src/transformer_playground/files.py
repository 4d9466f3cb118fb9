"""Durable, all-or-nothing file writes, and what tells files apart."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

_HASH_CHUNK = 1 << 20
_SAMPLE_BLOCK = 4096
_SAMPLE_BLOCKS = 256
# What file systems without hard links (FAT, some network mounts) answer to link().
_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes as hex, read in chunks."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sampled_bytes(path: Path) -> bytes:
    """A file's size and a MiB of its bytes, in blocks from beginning to end; quick for any size."""
    size = path.stat().st_size
    content = f"{size} ".encode()
    with path.open("rb") as file:
        for start in spread_indices(max(size - _SAMPLE_BLOCK, 0) + 1, _SAMPLE_BLOCKS):
            file.seek(start)
            content += file.read(_SAMPLE_BLOCK)
    return content


def spread_indices(length: int, count: int) -> list[int]:
    """At most `count` indices below `length`, the first and the last among them."""
    if length <= count:
        return list(range(length))
    return [step * (length - 1) // (count - 1) for step in range(count)]


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
        temporary.replace(path)
    fsync_folder(path.parent)


def link_or_copy(source: Path, target: Path) -> None:
    """Give the bytes of `source` a second name, switching an existing `target` in one step.

    A hard link, or a copy where the file system has none: either way `target` stays whole when
    `source` is deleted or replaced later. The caller syncs the folder.

    Raises:
        OSError: The disk refused; `target` is as it was and nothing is left over.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            os.link(source, temporary)
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            with source.open("rb") as original:
                write_durably(temporary, lambda copy: shutil.copyfileobj(original, copy))
        temporary.replace(target)
    finally:
        # rename() between two names of one file does nothing, so the first name may still be there.
        temporary.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """`replace_file` for UTF-8 text."""
    replace_file(path, lambda file: file.write(text.encode("utf-8")))


def replace_json(path: Path, value: Any) -> None:
    """`replace_file` for one JSON document, readable and with a final newline."""
    document = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A lone surrogate (a file name that is not UTF-8) becomes \udcXX, which JSON reads back.
    encoded = document.encode("utf-8", "backslashreplace")
    replace_file(path, lambda file: file.write(encoded))


def display_path(path: Path) -> str:
    """A path as a user would type it: relative if it lies below the current directory."""
    absolute = path.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)
