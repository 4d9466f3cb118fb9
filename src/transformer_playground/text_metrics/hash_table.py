"""Hash table of integer keys for vectorized lookups."""

from typing import Any

import numpy as np

IntArray = np.ndarray[tuple[int], np.dtype[Any]]

# 2^64 divided by the golden ratio: Knuth's multiplicative hashing, TAOCP volume 3, section 6.4.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_WORD_BITS = 64
EMPTY = -1


class KeyTable:
    """Open-addressed hash table that maps each key to a unique id: its slot.

    Keys are stored and compared, so lookups are exact despite hash collisions.

    Attributes:
        size: Ids are in 0 … size − 1; a power of two above twice the number of keys.
    """

    def __init__(self, keys: IntArray) -> None:
        bits = (2 * len(keys) + 1).bit_length()
        self.size = 1 << bits
        self._shift = np.uint64(_WORD_BITS - bits)
        self._keys = np.full(self.size, EMPTY, dtype=np.int64)
        pending = keys.astype(np.int64)
        slots = self._slots(pending)
        while len(pending):
            empty = self._keys[slots] == EMPTY
            self._keys[slots[empty]] = pending[empty]
            left = self._keys[slots] != pending
            pending, slots = pending[left], self._next(slots[left])

    def find(self, keys: IntArray) -> IntArray:
        """Id (int32) of each key, or −1 for keys not in the table; keys are in 0 … 2^63 − 1."""
        slots = self._slots(keys)
        stored = self._keys[slots]
        ids = np.where(stored == keys, slots, EMPTY).astype(np.int32)
        pending = np.flatnonzero((stored != keys) & (stored != EMPTY))
        slots = slots[pending]
        while len(pending):
            slots = self._next(slots)
            stored, sought = self._keys[slots], keys[pending]
            ids[pending] = np.where(stored == sought, slots, EMPTY)
            left = (stored != sought) & (stored != EMPTY)
            pending, slots = pending[left], slots[left]
        return ids

    def _slots(self, keys: IntArray) -> IntArray:
        hashed = keys.astype(np.uint64) * _MULTIPLIER
        return (hashed >> self._shift).astype(np.int64)

    def _next(self, slots: IntArray) -> IntArray:
        return (slots + 1) & (self.size - 1)


def pair_keys(first: IntArray, second: IntArray, size: int) -> IntArray:
    """Unique int64 key for each pair of ids.

    Args:
        first: Non-negative ids below 2^31.
        second: Ids in 0 … size − 1.
        size: At most 2^32.
    """
    return first.astype(np.int64) * size + second


def remaining_lengths(lengths: list[int]) -> IntArray:
    """For each position of concatenated sequences, the length left in its own sequence."""
    ends = np.cumsum(np.array(lengths, dtype=np.int64))
    return np.repeat(ends, lengths) - np.arange(sum(lengths), dtype=np.int64)
