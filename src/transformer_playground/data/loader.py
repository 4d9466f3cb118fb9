"""Batches of token windows; the only state of the sampler is how many windows were drawn."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from transformer_playground.data.order import Order, epoch_items, evenly_spaced, random_items
from transformer_playground.data.token_shards import (
    TokenSource,
    mappings_of,
    plain,
    release,
    windows_of,
)
from transformer_playground.errors import DataError

Tokens = npt.NDArray[np.int64]
Batch = tuple[Tokens, Tokens]

IGNORED = -100
"""Target index that the loss ignores, as in torch and transformers."""

# Separate random streams for windows and epoch offsets.
_RANDOM, _PHASE = 1, 2
_WINDOWS_BETWEEN_RELEASES = 32


class BatchSampler:
    """Training batches of windows; window `i` of a run depends only on `seed` and `i`.

    Args:
        tokens: One split, usually a memory map.
        block_size: Tokens per window.
        seed: Seed of the windows.
        order: `random` draws windows at random positions; `sequential` visits consecutive windows
            once per epoch, with a new order and offset in each epoch.
        vocab_size: If given, token ids are checked against it.
        end_token: If given, targets after this token are `IGNORED`: they start a new document.

    Attributes:
        ignores_targets: Whether there are such targets.

    Raises:
        DataError: The split is shorter than one window and its last target.
    """

    def __init__(
        self,
        tokens: TokenSource,
        *,
        block_size: int,
        seed: int,
        order: Order,
        vocab_size: int | None = None,
        end_token: int | None = None,
    ) -> None:
        _require_window(tokens, block_size)
        self._windows = _Windows(tokens, vocab_size, end_token)
        self._block_size, self._seed, self._order = block_size, seed, order
        self.ignores_targets = end_token is not None

    @property
    def windows_per_epoch(self) -> int:
        """Windows per sequential epoch, for any offset."""
        return max(1, (len(self._windows) - self._block_size) // self._block_size)

    def batch(self, first: int, size: int) -> Batch:
        """Inputs and targets of windows `first` … `first + size - 1`, each (size, T) int64.

        Raises:
            DataError: A token is outside the vocabulary.
        """
        numbers = np.arange(first, first + size, dtype=np.int64)
        if self._order == "random":
            choices = len(self._windows) - self._block_size
            starts = random_items(numbers, choices, key=(_RANDOM, self._seed))
        else:
            starts = self._sequential_starts(numbers)
        return self._windows.take(starts, self._block_size)

    def _sequential_starts(self, numbers: Tokens) -> Tokens:
        epochs, windows = epoch_items(numbers, self.windows_per_epoch, seed=self._seed)
        distinct, places = np.unique(epochs, return_inverse=True)
        offsets = np.array([self._phase(int(epoch)) for epoch in distinct], dtype=np.int64)
        return offsets[places] + windows * self._block_size

    def _phase(self, epoch: int) -> int:
        """Offset of the first window of an epoch."""
        spare = len(self._windows) - 1 - self.windows_per_epoch * self._block_size
        choices = min(self._block_size, spare + 1)
        return int(np.random.default_rng((_PHASE, self._seed, epoch)).integers(choices))


def evaluation_batches(
    tokens: TokenSource,
    *,
    batch_size: int,
    block_size: int,
    n_windows: int,
    vocab_size: int | None = None,
    end_token: int | None = None,
) -> Iterator[Batch]:
    """Windows spread evenly over the split, the same on each call, in batches.

    The windows depend on the split, `block_size` and `n_windows` only. None overlap: a split with
    fewer than `n_windows` is read once as a whole.

    Raises:
        DataError: The split is too short, or a token is outside the vocabulary.
    """
    _require_window(tokens, block_size)
    windows = _Windows(tokens, vocab_size, end_token)
    targets = len(windows) - 1
    n_windows = min(n_windows, targets // block_size)
    starts = evenly_spaced(n_windows, targets - block_size + 1)
    for first in range(0, n_windows, batch_size):
        yield windows.take(starts[first : first + batch_size], block_size)


def all_batches(
    tokens: TokenSource,
    *,
    batch_size: int,
    block_size: int,
    vocab_size: int | None = None,
    end_token: int | None = None,
) -> Iterator[Batch]:
    """Consecutive windows over the whole split: each token except the first is a target once.

    Batches have at most (batch_size, block_size) tokens; the last ones may be smaller.

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
    """Copies windows from a token file and releases its memory-mapped pages."""

    def __init__(
        self, tokens: TokenSource, vocab_size: int | None, end_token: int | None = None
    ) -> None:
        self._tokens = plain(tokens)
        self._vocab_size = vocab_size
        self._end_token = end_token
        self._mappings = mappings_of(tokens)
        self._taken = 0

    def __len__(self) -> int:
        return len(self._tokens)

    def take(self, starts: Tokens, length: int) -> Batch:
        """Inputs and targets of the windows at `starts`."""
        tokens = np.empty((len(starts), length + 1), dtype=np.int64)
        for first in range(0, len(starts), _WINDOWS_BETWEEN_RELEASES):
            group = slice(first, first + _WINDOWS_BETWEEN_RELEASES)
            tokens[group] = windows_of(self._tokens, starts[group], length + 1)
            self._release_after(len(starts[group]))
        check_token_ids(tokens, self._vocab_size)
        inputs, targets = np.ascontiguousarray(tokens[:, :-1]), np.ascontiguousarray(tokens[:, 1:])
        if self._end_token is not None:
            targets = np.where(inputs == self._end_token, IGNORED, targets)
        return inputs, targets

    def _release_after(self, windows: int) -> None:
        # Mapped pages (up to 2 MiB around each window) count as process memory until released;
        # the file cache keeps them.
        self._taken += windows
        if not self._mappings or self._taken < _WINDOWS_BETWEEN_RELEASES:
            return
        self._taken = 0
        release(self._mappings)


def check_token_ids(tokens: Tokens, vocab_size: int | None) -> None:
    """Check that all tokens are below `vocab_size`, if given.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    if vocab_size is None or (highest := int(tokens.max())) < vocab_size:
        return
    raise DataError(
        f"The token files are damaged: token {highest} is outside the vocabulary of "
        f"{vocab_size:,}.",
        "Rebuild them: tp prepare --force EXPERIMENT",
    )


def count_targets(targets: Tokens) -> int:
    """Number of targets that are not `IGNORED`."""
    return int(np.count_nonzero(targets != IGNORED))


def blank(batch: Batch) -> Batch:
    """One sequence of a batch without targets: it has no loss and no gradient."""
    inputs, targets = batch
    return inputs[:1], np.full_like(targets[:1], IGNORED)


def _require_window(tokens: TokenSource, block_size: int) -> None:
    if len(tokens) > block_size:
        return
    raise DataError(
        f"A split of {len(tokens):,} tokens is too short for block_size = {block_size}: "
        f"one window and its targets need {block_size + 1:,}.",
        "Add text, or reduce block_size.",
    )
