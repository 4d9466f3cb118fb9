"""Numbers for windows of a text, so that equal windows of another text are found by arrays."""

from typing import Any

import numpy as np

IntArray = np.ndarray[tuple[int], np.dtype[Any]]

# 2^64 divided by the golden ratio: Knuth's multiplicative hashing, TAOCP volume 3, section 6.4.
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_WORD_BITS = 64
_EMPTY = -1


class KeyTable:
    """Gives each key of a set a number of its own, and looks up many keys at once.

    An open-addressed hash table whose slots are the numbers. Keys are stored whole and compared,
    so a hash collision costs a step and never an error.

    Attributes:
        size: Numbers lie in 0 … size − 1; a power of two above twice the keys.
    """

    def __init__(self, keys: IntArray) -> None:
        bits = (2 * len(keys) + 1).bit_length()
        self.size = 1 << bits
        self._shift = np.uint64(_WORD_BITS - bits)
        self._keys = np.full(self.size, _EMPTY, dtype=np.int64)
        waiting = keys.astype(np.int64)
        slots = self._slots(waiting)
        while len(waiting):
            empty = self._keys[slots] == _EMPTY
            self._keys[slots[empty]] = waiting[empty]
            left = self._keys[slots] != waiting
            waiting, slots = waiting[left], self._next(slots[left])

    def find(self, keys: IntArray) -> IntArray:
        """The number (int32) of each key, or −1 where the set does not hold it.

        Args:
            keys: Non-negative integers below 2^63.
        """
        slots = self._slots(keys)
        stored = self._keys[slots]
        numbers = np.where(stored == keys, slots, _EMPTY).astype(np.int32)
        waiting = np.flatnonzero((stored != keys) & (stored != _EMPTY))
        slots = slots[waiting]
        while len(waiting):
            slots = self._next(slots)
            stored, wanted = self._keys[slots], keys[waiting]
            numbers[waiting] = np.where(stored == wanted, slots, _EMPTY)
            left = (stored != wanted) & (stored != _EMPTY)
            waiting, slots = waiting[left], slots[left]
        return numbers

    def _slots(self, keys: IntArray) -> IntArray:
        hashed = keys.astype(np.uint64) * _MULTIPLIER
        return (hashed >> self._shift).astype(np.int64)

    def _next(self, slots: IntArray) -> IntArray:
        return (slots + 1) & (self.size - 1)


def pair_keys(first: IntArray, second: IntArray, size: int) -> IntArray:
    """One int64 key for each pair of numbers, different for different pairs.

    Args:
        first: Non-negative numbers below 2^31.
        second: Numbers in 0 … size − 1.
        size: At most 2^32.
    """
    return first.astype(np.int64) * size + second


def room_after(lengths: list[int]) -> IntArray:
    """For each place in sequences laid end to end, how many places its own sequence still has.

    Args:
        lengths: Of the sequences, in order.
    """
    ends = np.cumsum(np.array(lengths, dtype=np.int64))
    return np.repeat(ends, lengths) - np.arange(sum(lengths), dtype=np.int64)
