"""Windows of a token file, chosen by number alone: the position in the data is one integer."""

import math
import mmap
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from transformer_playground.data.dataset import TokenArray
from transformer_playground.errors import DataError

Tokens = npt.NDArray[np.int64]
Batch = tuple[Tokens, Tokens]

IGNORED = -100
"""A target that no loss counts, as in torch and transformers."""

# Keeps the streams of random windows, epoch offsets and evaluation apart.
_RANDOM, _PHASE, _EVALUATION = 1, 2, 3
_WINDOWS_BETWEEN_RELEASES = 32
# A smaller file may lie in memory as a whole.
_LARGE_FILE = 64 << 20

_Words = npt.NDArray[np.uint64]

# Even, so that the two halves end up where they began.
_ROUNDS = 4
_MIX = np.uint64(0x9E3779B97F4A7C15)
_HALF_WORD = np.uint64(32)


class BatchSampler:
    """Training batches; batch `i` depends on `seed` and `i` alone, so `i` is the whole state.

    Args:
        tokens: One split, usually a memory map; never copied as a whole.
        batch_size: Windows per batch.
        block_size: Tokens per window.
        seed: Chooses the windows.
        order: `random` draws each window anywhere. `sequential` cuts the split into
            windows side by side and visits each once per epoch, in an order and from a first
            token that change with the epoch.
        vocab_size: Where given, a batch with a token beyond it is refused.
        end_token: Where given, what follows this token begins a document of its own, which nothing
            before it foretells: that target is `IGNORED`.

    Raises:
        DataError: The split is shorter than one window and the token after it.
    """

    def __init__(
        self,
        tokens: TokenArray,
        *,
        batch_size: int,
        block_size: int,
        seed: int,
        order: Literal["random", "sequential"],
        vocab_size: int | None = None,
        end_token: int | None = None,
    ) -> None:
        _require_window(tokens, block_size)
        self._windows = _Windows(tokens, vocab_size, end_token)
        self._batch_size = batch_size
        self._block_size = block_size
        self._seed = seed
        self._starts = self._random_starts if order == "random" else self._sequential_starts

    @property
    def windows_per_epoch(self) -> int:
        """Windows that a sequential epoch visits, whatever its first token."""
        return max(1, (len(self._windows) - self._block_size) // self._block_size)

    def batch(self, index: int) -> Batch:
        """Return inputs and targets of batch `index`, each (batch_size, block_size) int64.

        Raises:
            DataError: A token of it is outside the vocabulary.
        """
        return self._windows.take(self._starts(index), self._block_size)

    def _random_starts(self, index: int) -> Tokens:
        generator = np.random.default_rng((_RANDOM, self._seed, index))
        return generator.integers(len(self._windows) - self._block_size, size=self._batch_size)

    def _sequential_starts(self, index: int) -> Tokens:
        count = self.windows_per_epoch
        first = index * self._batch_size
        starts = np.empty(self._batch_size, dtype=np.int64)
        done = 0
        while done < self._batch_size:
            epoch, position = divmod(first + done, count)
            several = min(self._batch_size - done, count - position)
            positions = np.arange(position, position + several, dtype=np.int64)
            windows = permuted(positions, count, key=(self._seed, epoch))
            starts[done : done + several] = self._phase(epoch) + windows * self._block_size
            done += several
        return starts

    def _phase(self, epoch: int) -> int:
        """Choose the first token of an epoch's first window."""
        spare = len(self._windows) - 1 - self.windows_per_epoch * self._block_size
        choices = min(self._block_size, spare + 1)
        return int(np.random.default_rng((_PHASE, self._seed, epoch)).integers(choices))


def evaluation_batches(
    tokens: TokenArray,
    *,
    batch_size: int,
    block_size: int,
    n_batches: int,
    seed: int,
    vocab_size: int | None = None,
    end_token: int | None = None,
) -> Iterator[Batch]:
    """Yield the same random windows on each call: (batch_size, block_size) inputs and targets.

    Raises:
        DataError: The split is shorter than one window and the token after it, or a token is
            outside the vocabulary.
    """
    _require_window(tokens, block_size)
    windows = _Windows(tokens, vocab_size, end_token)
    for index in range(n_batches):
        generator = np.random.default_rng((_EVALUATION, seed, index))
        starts = generator.integers(len(windows) - block_size, size=batch_size)
        yield windows.take(starts, block_size)


def all_batches(
    tokens: TokenArray,
    *,
    batch_size: int,
    block_size: int,
    vocab_size: int | None = None,
    end_token: int | None = None,
) -> Iterator[Batch]:
    """Yield windows side by side over the whole split: each token but the first is a target once.

    With an `end_token`, targets that begin a document are `IGNORED`, as in training.

    Batches have up to (batch_size, block_size) tokens; the last ones may be smaller.

    Raises:
        DataError: The split has fewer than two tokens, or a token is outside the vocabulary.
    """
    _require_window(tokens, 1)
    windows = _Windows(tokens, vocab_size, end_token)
    targets = len(tokens) - 1
    whole = targets // block_size
    for first in range(0, whole, batch_size):
        numbers = np.arange(first, min(first + batch_size, whole), dtype=np.int64)
        yield windows.take(numbers * block_size, block_size)
    if rest := targets % block_size:
        yield windows.take(np.array([whole * block_size], dtype=np.int64), rest)


class _Windows:
    """Copies windows out of a token file without letting its pages pile up in memory."""

    def __init__(
        self, tokens: TokenArray, vocab_size: int | None, end_token: int | None = None
    ) -> None:
        self._tokens: TokenArray = np.asarray(tokens)
        self._vocab_size = vocab_size
        self._end_token = end_token
        self._mapping = _mapping_of(tokens) if tokens.nbytes > _LARGE_FILE else None
        self._taken = 0

    def __len__(self) -> int:
        return len(self._tokens)

    def take(self, starts: Tokens, length: int) -> Batch:
        """Copy inputs and targets of the windows at `starts`."""
        tokens = np.empty((len(starts), length + 1), dtype=np.int64)
        span = np.arange(length + 1)
        for first in range(0, len(starts), _WINDOWS_BETWEEN_RELEASES):
            group = slice(first, first + _WINDOWS_BETWEEN_RELEASES)
            tokens[group] = self._tokens[starts[group, None] + span]
            self._release_after(len(starts[group]))
        check_token_ids(tokens, self._vocab_size)
        inputs, targets = np.ascontiguousarray(tokens[:, :-1]), np.ascontiguousarray(tokens[:, 1:])
        if self._end_token is not None:
            targets = np.where(inputs == self._end_token, IGNORED, targets)
        return inputs, targets

    def _release_after(self, windows: int) -> None:
        # Touched pages of a map, up to 2 MiB around each window, count as the process's memory
        # until they are given back; the system's file cache keeps them for the next touch.
        self._taken += windows
        if self._mapping is None or self._taken < _WINDOWS_BETWEEN_RELEASES:
            return
        self._taken = 0
        self._mapping.madvise(mmap.MADV_DONTNEED)


def check_token_ids(tokens: Tokens, vocab_size: int | None) -> None:
    """Refuse tokens that the model does not know.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    if vocab_size is None or (highest := int(tokens.max())) < vocab_size:
        return
    raise DataError(
        f"The token files are damaged: token {highest} is outside the vocabulary of "
        f"{vocab_size:,}.",
        "Write them again: tp prepare --force EXPERIMENT",
    )


def count_targets(targets: Tokens) -> int:
    """How many targets of a batch count."""
    return int(np.count_nonzero(targets != IGNORED))


def _mapping_of(tokens: TokenArray) -> mmap.mmap | None:
    """Find the memory map behind an array, if it has one whose pages can be given back."""
    if not hasattr(mmap, "MADV_DONTNEED"):
        return None
    base: Any = tokens
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    return base


def _require_window(tokens: TokenArray, block_size: int) -> None:
    if len(tokens) > block_size:
        return
    raise DataError(
        f"A split of {len(tokens):,} tokens is too short for block_size = {block_size}: "
        f"one window and its targets need {block_size + 1:,}.",
        "Add text, or lower block_size.",
    )


def permuted(
    positions: npt.NDArray[np.int64], length: int, *, key: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """Where each position of 0 … length - 1 goes under the permutation that `key` names.

    A generalised Feistel network on a rectangle just larger than the range, walked until it lands
    inside (Black & Rogaway 2002, "Ciphers with arbitrary finite domains"): a bijection whatever
    the keys, at constant cost per position.

    Args:
        positions: Values in 0 … length - 1, any number of them.
        length: Size of the range, up to 2^62.
        key: Names the permutation.
    """
    width = math.isqrt(length - 1) + 1
    height = -(-length // width)
    sides = (np.uint64(width), np.uint64(height))
    keys = np.random.default_rng(key).integers(1 << 63, size=_ROUNDS, dtype=np.uint64)
    places = _feistel(positions.astype(np.uint64), sides, keys)
    while (outside := places >= np.uint64(length)).any():
        places[outside] = _feistel(places[outside], sides, keys)
    return places.astype(np.int64)


def _feistel(values: _Words, sides: tuple[np.uint64, np.uint64], keys: _Words) -> _Words:
    width = sides[0]
    left, right = values % width, values // width
    for number, key in enumerate(keys):
        side = sides[number % 2]
        left, right = right, (left + _scrambled(right ^ key) % side) % side
    return right * width + left


def _scrambled(values: _Words) -> _Words:
    """Multiply and fold, so that every input bit reaches every output bit."""
    values = (values ^ (values >> _HALF_WORD)) * _MIX
    values = (values ^ (values >> _HALF_WORD)) * _MIX
    return values ^ (values >> _HALF_WORD)
