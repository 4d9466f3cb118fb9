"""A shuffled order of any length that costs no memory."""

import math

import numpy as np
import numpy.typing as npt

_Words = npt.NDArray[np.uint64]

# Even, so that the two halves end up where they began.
_ROUNDS = 4
_MIX = np.uint64(0x9E3779B97F4A7C15)
_HALF_WORD = np.uint64(32)


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
