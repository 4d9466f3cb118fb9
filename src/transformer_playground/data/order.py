"""Sampling order: which item of a split has which number in training, and which are evaluated.

Items are windows or rows of a split. The number of an item counts from the first one of the run, so
the only state is how many have been drawn, however they are divided into batches.
"""

import functools
import math
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Order = Literal["random", "sequential"]
Positions = npt.NDArray[np.int64]
_UInt64Array = npt.NDArray[np.uint64]

# Even, so that both halves end in their original positions.
_ROUNDS = 4
_MIX = np.uint64(0x9E3779B97F4A7C15)
_HALF_WORD = np.uint64(32)
# SplitMix64: increment, multipliers and shifts of its output function.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIERS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


class EvaluationSet(NamedTuple):
    """Validation windows that a loss is measured on; equal sets of a dataset hold equal windows.

    `window_tokens` is the length of a window, the largest one where documents are padded.
    """

    windows: int
    window_tokens: int

    def __str__(self) -> str:
        return f"{self.windows:,} windows of {self.window_tokens:,} tokens"


def random_items(numbers: Positions, length: int, *, key: tuple[int, ...]) -> Positions:
    """Independent random items of 0 … length - 1, each a function of its number and `key` only.

    SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators"), read
    at the position of each number; the bias of the remainder is below length / 2^64.
    """
    values = _state(key) + (numbers.astype(np.uint64) + np.uint64(1)) * _GAMMA
    values = (values ^ (values >> _SHIFTS[0])) * _MULTIPLIERS[0]
    values = (values ^ (values >> _SHIFTS[1])) * _MULTIPLIERS[1]
    values ^= values >> _SHIFTS[2]
    items: Positions = (values % np.uint64(length)).astype(np.int64)
    return items


@functools.cache
def _state(key: tuple[int, ...]) -> _UInt64Array:
    """The random state of a key; drawing it takes longer than the items of a batch."""
    return np.random.default_rng(key).integers(1 << 63, size=1, dtype=np.uint64)


def epoch_items(numbers: Positions, length: int, *, seed: int) -> tuple[Positions, Positions]:
    """Epochs and items of shuffled epochs, in which every item occurs once.

    Args:
        numbers: Numbers of the items to draw.
        length: Items per epoch.
        seed: Seed of the shuffles; each epoch has its own.
    """
    epochs, places = np.divmod(numbers, length)
    items = np.empty_like(numbers)
    for epoch in np.unique(epochs):
        here = epochs == epoch
        items[here] = permuted(places[here], length, key=(seed, int(epoch)))
    return epochs, items


def evenly_spaced(count: int, length: int) -> Positions:
    """At most `count` items of 0 … length - 1, spread evenly over the whole range."""
    count = min(count, length)
    return np.arange(count, dtype=np.int64) * (length - 1) // max(1, count - 1)


def permuted(positions: Positions, length: int, *, key: tuple[int, ...]) -> Positions:
    """Apply a pseudorandom permutation of 0 … length - 1 (up to 2^62) seeded by `key`.

    A generalised Feistel network with cycle walking (Black & Rogaway 2002, "Ciphers with arbitrary
    finite domains"): a bijection for any key, at constant cost per position.
    """
    width = math.isqrt(length - 1) + 1
    height = -(-length // width)
    sides = (np.uint64(width), np.uint64(height))
    keys = np.random.default_rng(key).integers(1 << 63, size=_ROUNDS, dtype=np.uint64)
    places = _feistel(positions.astype(np.uint64), sides, keys)
    while (outside := places >= np.uint64(length)).any():
        places[outside] = _feistel(places[outside], sides, keys)
    return places.astype(np.int64)


def _feistel(
    values: _UInt64Array, sides: tuple[np.uint64, np.uint64], keys: _UInt64Array
) -> _UInt64Array:
    width = sides[0]
    left, right = values % width, values // width
    for number, key in enumerate(keys):
        side = sides[number % 2]
        left, right = right, (left + _mix(right ^ key) % side) % side
    return right * width + left


def _mix(values: _UInt64Array) -> _UInt64Array:
    """Hash in which every input bit affects every output bit."""
    values = (values ^ (values >> _HALF_WORD)) * _MIX
    values = (values ^ (values >> _HALF_WORD)) * _MIX
    return values ^ (values >> _HALF_WORD)
