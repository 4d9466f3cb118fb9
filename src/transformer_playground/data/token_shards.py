"""Token files in shards: written as a stream, read as one array."""

import hashlib
import mmap
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import IO, Any, Self, overload

import numpy as np
import numpy.typing as npt

TokenArray = npt.NDArray[np.unsignedinteger[Any]]
_Positions = npt.NDArray[np.integer[Any]]

# Smaller files may be cached in memory completely.
_LARGE_FILE = 64 << 20

_SHARD = re.compile(r"(train|val)-(\d{5})\.bin")


def shard_name(name: str, number: int) -> str:
    """Name of a shard of a token file, counted from 1: train-00001.bin of train.bin."""
    stem, _, suffix = name.rpartition(".")
    return f"{stem}-{number:05}.{suffix}"


def whole_name(name: str) -> str:
    """The token file that a shard belongs to; any other name is returned unchanged."""
    match = _SHARD.fullmatch(name)
    return f"{match[1]}.bin" if match else name


def files_of(name: str, listed: Collection[str]) -> list[str]:
    """The files of a split in order: the token file itself, or its shards; empty if one is missing.

    Args:
        name: The token file, such as train.bin.
        listed: Names of the dataset's files.
    """
    if name in listed:
        return [name]
    shards = sorted(each for each in listed if each != name and whole_name(each) == name)
    wanted = [shard_name(name, number + 1) for number in range(len(shards))]
    return shards if shards == wanted else []


class TokenShards:
    """Arrays of tokens, one after the other, read as one array.

    Reading never copies more than what is asked for.
    """

    def __init__(self, parts: Iterable[TokenArray]) -> None:
        self.parts = tuple(np.asarray(part) for part in parts)
        lengths = [len(part) for part in self.parts]
        self._starts = np.cumsum([0, *lengths])
        self.dtype = self.parts[0].dtype

    def __len__(self) -> int:
        return int(self._starts[-1])

    @property
    def nbytes(self) -> int:
        """Bytes of all tokens."""
        return len(self) * self.dtype.itemsize

    @overload
    def __getitem__(self, key: int) -> np.unsignedinteger[Any]: ...
    @overload
    def __getitem__(self, key: slice) -> TokenArray: ...
    def __getitem__(self, key: int | slice) -> np.unsignedinteger[Any] | TokenArray:
        """A token, or a copy of consecutive ones."""
        if not isinstance(key, slice):
            index = range(len(self))[key]
            number = int(np.searchsorted(self._starts, index, side="right")) - 1
            token: np.unsignedinteger[Any] = self.parts[number][int(index - self._starts[number])]
            return token
        start, stop, step = key.indices(len(self))
        if step != 1:
            raise ValueError("shards are read in steps of one")
        found = [
            part[max(0, start - first) : max(0, stop - first)]
            for part, first in zip(self.parts, self._starts[:-1].tolist(), strict=True)
            if first < stop and start < first + len(part)
        ]
        return np.concatenate(found) if found else np.empty(0, dtype=self.dtype)

    def windows(self, starts: _Positions, length: int) -> TokenArray:
        """Windows of `length` tokens from each start, (starts, length)."""
        windows = np.empty((len(starts), length), dtype=self.dtype)
        first = np.searchsorted(self._starts, starts, side="right") - 1
        last = np.searchsorted(self._starts, starts + length - 1, side="right") - 1
        span = np.arange(length)
        for number in np.unique(first[first == last]).tolist():
            here = (first == number) & (last == number)
            windows[here] = self.parts[number][starts[here, None] - self._starts[number] + span]
        for row in np.flatnonzero(first != last).tolist():
            windows[row] = self[int(starts[row]) : int(starts[row]) + length]
        return windows


TokenSource = TokenArray | TokenShards
"""The tokens of a split: an array, usually a memory map, or several in a row."""


def plain(tokens: TokenSource) -> TokenSource:
    """The tokens without the cost of a memory map's own class at each access."""
    return tokens if isinstance(tokens, TokenShards) else np.asarray(tokens)


def windows_of(tokens: TokenSource, starts: _Positions, length: int) -> TokenArray:
    """Windows of `length` tokens from each start, (starts, length)."""
    if isinstance(tokens, TokenShards):
        return tokens.windows(starts, length)
    windows: TokenArray = tokens[starts[:, None] + np.arange(length)]
    return windows


def parts_of(tokens: TokenSource) -> tuple[TokenArray, ...]:
    """The arrays that hold the tokens."""
    return tokens.parts if isinstance(tokens, TokenShards) else (tokens,)


def mappings_of(tokens: TokenSource) -> list[mmap.mmap]:
    """The memory maps of large files of tokens; small ones may be cached in memory completely."""
    parts = parts_of(tokens) if tokens.nbytes > _LARGE_FILE else ()
    return [mapping for part in parts if (mapping := _mapping_of(part)) is not None]


def release(mappings: Iterable[mmap.mmap]) -> None:
    """Release the pages that were read: they count as memory of the process until then."""
    for mapping in mappings:
        mapping.madvise(mmap.MADV_DONTNEED)


def release_pages(tokens: TokenSource) -> None:
    """`release` the pages of all large files of a split."""
    release(mappings_of(tokens))


def _mapping_of(tokens: TokenArray) -> mmap.mmap | None:
    """The memory map of an array, if its pages can be released."""
    if not hasattr(mmap, "MADV_DONTNEED"):
        return None
    base: Any = tokens
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    return base


class ShardWriter:
    """Writes a token file durably, in shards if it is larger: `with ShardWriter(...) as writer`.

    Args:
        path: The token file. Beyond `most_bytes` it becomes the first shard.
        most_bytes: Size of a shard, a multiple of a token's; 0 = no limit.

    Attributes:
        files: SHA-256 of each file by its name, after the block.
        sha256: SHA-256 of all tokens, whatever the files.
    """

    def __init__(self, path: Path, most_bytes: int = 0) -> None:
        self.files: dict[str, str] = {}
        self.sha256 = ""
        self._path, self._most = path, most_bytes
        self._file: IO[bytes] = path.open("wb")
        self._name, self._size = path.name, 0
        self._whole = hashlib.sha256()
        # Of the present shard; the first one has the digest of the whole.
        self._shard: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._finish_file()
                self.sha256 = self._whole.hexdigest()
        finally:
            self._file.close()

    def write(self, content: bytes) -> None:
        """Append tokens.

        Raises:
            OSError: While writing.
        """
        rest = memoryview(content)
        while rest:
            if self._most and self._size >= self._most:
                self._next_file()
            part = rest[: self._most - self._size] if self._most else rest
            self._whole.update(part)
            if self._shard is not None:
                self._shard.update(part)
            self._file.write(part)
            self._size += len(part)
            rest = rest[len(part) :]

    def _next_file(self) -> None:
        self._finish_file()
        self._file.close()
        if self._shard is None:
            first = shard_name(self._path.name, 1)
            self._path.rename(self._path.with_name(first))
            self.files = {first: self.files.pop(self._path.name)}
        self._name = shard_name(self._path.name, len(self.files) + 1)
        self._file = self._path.with_name(self._name).open("wb")
        self._size, self._shard = 0, hashlib.sha256()

    def _finish_file(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self.files[self._name] = (self._shard or self._whole).hexdigest()
