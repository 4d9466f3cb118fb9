"""Atomic and durable file writes, file hashes and path display."""

import contextlib
import errno
import itertools
import json
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from transformer_playground.errors import ExportError, translate_os_errors

_T = TypeVar("_T")

_HASH_CHUNK = 1 << 20
_SAMPLE_BLOCK = 4096
_SAMPLE_BLOCKS = 256
# Clocks of machines that share a folder differ by less.
_ABANDONED_SECONDS = 3600.0
# Errors of link() on file systems without hard links (FAT, some network mounts).
NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


def sha256_file(path: Path) -> str:
    """SHA-256 of a file as hex."""
    # Late: it loads OpenSSL, which slows the start of programs that never need it.
    import hashlib

    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_HASH_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def refuse_link(path: Path) -> None:
    """Check that a file or folder of a run that is written is not a link.

    Raises:
        OSError: It is a link.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, "It is a link, and links are not followed", str(path))


def open_to_append(path: Path) -> int:
    """Descriptor of a file of a run to append to; never through a link, which may lead elsewhere.

    Raises:
        OSError: While opening, or it is a link or not a regular file.
    """
    refuse_link(path)
    return _open_regular(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)


def open_regular(path: Path, buffering: int = -1) -> IO[bytes]:
    """Open a file of a run for reading: never through a link, nor a pipe, which might block.

    Raises:
        OSError: While opening, or it is a link or not a regular file.
    """
    return os.fdopen(_open_regular(path, os.O_RDONLY), "rb", buffering)


def random_hex(size: int) -> str:
    """`size` random bytes as hexadecimal digits, for names that nothing else has."""
    return os.urandom(size).hex()


def _open_regular(path: Path, flags: int) -> int:
    guards = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags | guards, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return descriptor


def read_regular(path: Path, most: int = 1 << 26) -> bytes:
    """The content of a file of at most `most` bytes, opened with `open_regular`.

    Raises:
        OSError: While reading, or the file is larger, a link or not a regular file.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        # A buffer of `most` bytes would be allocated whole.
        return file.read(size)


def sampled_bytes(path: Path) -> bytes:
    """The size of a file and 1 MiB of evenly spaced blocks of it: fast for any size."""
    size = path.stat().st_size
    content = f"{size} ".encode()
    with path.open("rb") as file:
        for start in spread_indices(max(size - _SAMPLE_BLOCK, 0) + 1, _SAMPLE_BLOCKS):
            file.seek(start)
            content += file.read(_SAMPLE_BLOCK)
    return content


def stat_or_none(path: Path | str) -> os.stat_result | None:
    """Status of a file; None if it is missing or cannot be read."""
    try:
        return os.stat(path)  # noqa: PTH116 - a path would be built from the text
    except OSError:
        return None


def modified(path: Path) -> float | None:
    """Unix time of the last change of a file; None if it is missing or cannot be read."""
    state = stat_or_none(path)
    return None if state is None else state.st_mtime


def spread_indices(length: int, count: int) -> list[int]:
    """At most `count` evenly spaced indices below `length`, including the first and last."""
    if length <= count:
        return list(range(length))
    return [step * (length - 1) // (count - 1) for step in range(count)]


def fsync_folder(folder: Path) -> None:
    """Flush renames inside `folder` to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def temporary_sibling(path: Path) -> Iterator[Path]:
    """A temporary hidden file next to `path`, removed after the block."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def write_durably(path: Path, write: Callable[[IO[bytes]], _T]) -> _T:
    """Call `write` on an open binary file, flush it to disk and return the result."""
    with path.open("wb") as file:
        result = write(file)
        file.flush()
        os.fsync(file.fileno())
    return result


def replace_file(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Create or replace `path` atomically.

    Raises:
        OSError: While writing; `path` is unchanged and no partial file is left.
    """
    with temporary_sibling(path) as temporary:
        write_durably(temporary, write)
        # mkstemp creates private files, but run folders are shared.
        temporary.chmod(0o644)
        temporary.replace(path)
    fsync_folder(path.parent)


def free_space(folder: Path) -> int | None:
    """Free bytes on the disk of a folder; None if the system does not answer."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def remove_abandoned(parent: Path, name: re.Pattern[str]) -> None:
    """Remove the folders that killed processes left while they built them under a hidden name.

    One in which something was written within the last hour stays: a process builds it, perhaps on
    another machine. What cannot be removed stays, too.

    Args:
        parent: Folder in which they are; it may be missing.
        name: Matches the whole hidden name, and no other.
    """
    oldest = time.time() - _ABANDONED_SECONDS
    with contextlib.suppress(OSError):
        for path in [each for each in parent.iterdir() if name.fullmatch(each.name)]:
            if path.is_symlink() or not path.is_dir():
                continue
            if all((modified(each) or 0.0) < oldest for each in (path, *path.rglob("*"))):
                shutil.rmtree(path, ignore_errors=True)


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link `source` to `target`, or copy it where links are not supported; atomic.

    `target` remains valid when `source` is deleted or replaced. The caller syncs the folder.

    Raises:
        OSError: While writing; `target` is unchanged and no partial file is left.
    """
    temporary = target.with_name(f".{target.name}.{random_hex(4)}.tmp")
    try:
        try:
            os.link(source, temporary)
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            with source.open("rb") as original:
                write_durably(temporary, lambda copy: shutil.copyfileobj(original, copy))
        temporary.replace(target)
    finally:
        # rename() between two names of one file does nothing, so the temporary name may remain.
        temporary.unlink(missing_ok=True)


def replace_text(path: Path, text: str) -> None:
    """`replace_file` for UTF-8 text."""
    replace_file(path, lambda file: file.write(text.encode("utf-8")))


def replace_json(path: Path, value: Any) -> None:
    """`replace_file` for an indented JSON document."""
    document = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A lone surrogate (a file name that is not UTF-8) becomes \udcXX, which JSON reads back.
    encoded = document.encode("utf-8", "backslashreplace")
    replace_file(path, lambda file: file.write(encoded))


def display_path(path: Path) -> str:
    """A path, relative if it is below the current directory."""
    absolute = path.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def timestamped(name: str) -> str:
    """The name with the local time, for a file that must not replace an earlier one."""
    return f"{name}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"


def write_new_file(folder: Path, stem: str, suffix: str, write: Callable[[Path], object]) -> Path:
    """Write a file that does not exist yet: `stem.suffix`, else `stem-2.suffix` and so on.

    Raises:
        ExportError: OSError while writing.
    """
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    hint = "Check free disk space and the permissions of the folder."
    what = f"{stem}.{suffix} could not be written to {folder}"
    with translate_os_errors(ExportError, what, hint):
        path = next(path for name in names if not (path := folder / f"{name}.{suffix}").exists())
        write(path)
    return path
