"""A shuffled order of any length that costs no memory."""

import numpy as np
import numpy.typing as npt

_ROUNDS = 4
_MIX = np.uint64(0x9E3779B97F4A7C15)
_HALF_WORD = np.uint64(32)


def permuted(
    positions: npt.NDArray[np.int64], length: int, *, key: tuple[int, ...]
) -> npt.NDArray[np.int64]:
    """Where each position of 0 … length - 1 goes under the permutation that `key` names.

    A Feistel network on the next power of four, walked until it lands inside the range (Black &
    Rogaway 2002, "Ciphers with arbitrary finite domains"): a bijection for any keys, at constant
    cost per position.

    Args:
        positions: Values in 0 … length - 1, any number of them.
        length: Size of the range, up to 2^62.
        key: Names the permutation.
    """
    half = np.uint64(max(1, ((length - 1).bit_length() + 1) // 2))
    keys = np.random.default_rng(key).integers(1 << 63, size=_ROUNDS, dtype=np.uint64)
    places = _feistel(positions.astype(np.uint64), half, keys)
    while (outside := places >= np.uint64(length)).any():
        places[outside] = _feistel(places[outside], half, keys)
    return places.astype(np.int64)


def _feistel(
    values: npt.NDArray[np.uint64], half: np.uint64, keys: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    mask = np.uint64((1 << int(half)) - 1)
    left, right = values >> half, values & mask
    for key in keys:
        left, right = right, left ^ (_scrambled(right ^ key) & mask)
    return (left << half) | right


def _scrambled(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Multiply and fold twice, so that every input bit reaches the low bits."""
    values = (values ^ (values >> _HALF_WORD)) * _MIX
    values = (values ^ (values >> _HALF_WORD)) * _MIX
    return values ^ (values >> _HALF_WORD)
