"""Disks that refuse, lose what was not synced, or belong to a process that dies."""

import contextlib
import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self
from unittest import mock

_open, _close, _fstat = os.open, os.close, os.fstat
_CHANGES_NAMES = ("replace", "link", "unlink")
_CALLS = (*_CHANGES_NAMES, "fsync", "open", "write", "chmod")

Trouble = Callable[[int], None]
# File name -> inode number, GONE for a name that was removed.
Names = dict[str, int]
GONE = 0


class Crash(BaseException):
    """The process is gone: nothing after it runs, not even its cleaning up."""


def no_trouble(_: int) -> None:
    """A disk in good health."""


def refuse_once(number: int) -> Trouble:
    """Only the operation of this number fails."""

    def trouble(operation: int) -> None:
        if operation == number:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    return trouble


def refuse_from(number: int, code: int = errno.ENOSPC) -> Trouble:
    """The operation of this number fails, and all after it."""

    def trouble(operation: int) -> None:
        if operation >= number:
            raise OSError(code, os.strerror(code))

    return trouble


def crash_at(number: int) -> Trouble:
    """The process dies just before the operation of this number."""

    def trouble(operation: int) -> None:
        if operation >= number:
            raise Crash

    return trouble


class WatchedDisk:
    """Counts the disk operations of a block and remembers what would survive a power cut.

    A file's bytes survive once the file was synced. Of the changes of names since the folder was
    last synced, any may be lost: those from some moment on, a single one, or all but removals.

    Args:
        folder: Where the block works.
        trouble: Called with the number of each operation before it runs; may raise.
    """

    def __init__(self, folder: Path, trouble: Trouble = no_trouble) -> None:
        self.operations = 0
        self._folder = folder
        self._trouble = trouble
        self._bytes = {path.stat().st_ino: path.read_bytes() for path in self._files()}
        self._held: list[int] = []
        self._synced_names = self._listing()
        self._changes: list[Names] = []

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for name in _CALLS:
                stack.enter_context(mock.patch.object(os, name, self._around(name)))
            stack.enter_context(mock.patch.object(io, "open", self._open_file(io.open)))
            self._patches = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._patches.close()
        for descriptor in self._held:
            _close(descriptor)

    def after_power_cut(self) -> Iterator[dict[str, bytes]]:
        """Every state (name -> bytes) in which the folder may come back."""
        self._note_changes()
        changes = self._changes
        kept = [changes[:length] for length in range(len(changes) + 1)]
        kept += [changes[:index] + changes[index + 1 :] for index in range(len(changes))]
        kept.append([change for change in changes if not any(change.values())])
        for choice in kept:
            names = dict(self._synced_names)
            for change in choice:
                names.update(change)
            yield {name: self._bytes.get(inode, b"") for name, inode in names.items() if inode}

    def _around(self, name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def call(*args: Any, **options: Any) -> Any:
            if name == "open" and not args[1] & os.O_CREAT:
                return real(*args, **options)
            if name == "write" and not stat.S_ISREG(_fstat(args[0]).st_mode):
                return real(*args, **options)
            self._before()
            result = real(*args, **options)
            if name in _CHANGES_NAMES:
                self._note_changes()
            if name == "fsync":
                self._synced(args[0])
            return result

        return call

    def _open_file(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            if mode != "wb":
                return real(file, mode, *args, **options)
            self._before()
            return io.BufferedWriter(_WatchedFile(file, self._before))

        return call

    def _before(self) -> None:
        self.operations += 1
        self._trouble(self.operations)

    def _synced(self, descriptor: int) -> None:
        state = _fstat(descriptor)
        if stat.S_ISDIR(state.st_mode):
            self._synced_names, self._changes = self._listing(), []
            return
        for path in self._files():
            if path.stat().st_ino == state.st_ino:
                self._bytes[state.st_ino] = path.read_bytes()

    def _note_changes(self) -> None:
        before = dict(self._synced_names)
        for earlier in self._changes:
            before.update(earlier)
        now = self._listing()
        change = {
            name: now.get(name, GONE)
            for name in before | now
            if now.get(name, GONE) != before.get(name, GONE)
        }
        if change:
            self._changes.append(change)

    def _files(self) -> list[Path]:
        return sorted(path for path in self._folder.iterdir() if path.is_file())

    def _listing(self) -> Names:
        listing: Names = {}
        for path in self._files():
            # A file that stays open keeps its inode number from being given to another one.
            self._held.append(_open(path, os.O_RDONLY))
            listing[path.name] = path.stat().st_ino
        return listing


class _WatchedFile(io.FileIO):
    def __init__(self, path: Any, before: Callable[[], None]) -> None:
        super().__init__(path, "w")
        self._before = before

    def write(self, data: Any, /) -> int:
        self._before()
        return super().write(data)
