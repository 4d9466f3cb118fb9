"""Search for a text or a token in the tokens of a split."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from transformer_playground.data.browsing.token_bytes import (
    BLOCK,
    Block,
    Progress,
    TokenBytes,
    read_block,
)
from transformer_playground.data.token_shards import TokenSource, release_pages

# Unused tokens have no bytes, so that a match may have more tokens than bytes.
_SPARE = 64


@dataclass(frozen=True)
class Match:
    """Where a text stands: its first token and the last one, which may hold more than the text."""

    first: int
    last: int


def find_text(
    tokens: TokenSource,
    table: TokenBytes,
    text: str,
    start: int,
    *,
    backwards: bool = False,
    size: int = BLOCK,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _: None,
) -> Match | None:
    """The next place where a text stands; after the end of the split its start follows.

    Args:
        tokens: The split.
        table: Its vocabulary.
        text: What to find, letter for letter.
        start: A match begins at this token or later; backwards, before it.
        backwards: Find the nearest one before.
        size: Tokens that are read at once.
        cancelled: Called before each block; true ends the search.
        progress: Called with the tokens that were read.

    Returns:
        The match; None if there is none, or the search was cancelled.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    needle = text.encode("utf-8", "surrogatepass")
    if not needle:
        return None

    def find(first: int, stop: int) -> Match | None:
        block = read_block(tokens, table, first, stop + 4 * len(needle) + _SPARE)
        return _in_block(block, needle, stop - first, backwards=backwards)

    ranges = _ranges(len(tokens), start, size, backwards=backwards)
    return _first_found(tokens, ranges, find, cancelled, progress)


def find_token(
    tokens: TokenSource,
    token: int,
    start: int,
    *,
    backwards: bool = False,
    size: int = BLOCK,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _: None,
) -> Match | None:
    """`find_text` of a token by its id; it may be part of a character and have no text."""

    def find(first: int, stop: int) -> Match | None:
        places = np.flatnonzero(np.asarray(tokens[first:stop]) == token)
        if not len(places):
            return None
        place = first + int(places[-1 if backwards else 0])
        return Match(place, place)

    ranges = _ranges(len(tokens), start, size, backwards=backwards)
    return _first_found(tokens, ranges, find, cancelled, progress)


def _first_found(
    tokens: TokenSource,
    ranges: Iterable[tuple[int, int]],
    find: Callable[[int, int], Match | None],
    cancelled: Callable[[], bool],
    progress: Progress,
) -> Match | None:
    """The match of the first range that has one; None if cancelled."""
    done = 0
    for first, stop in ranges:
        if cancelled():
            return None
        found = find(first, stop)
        release_pages(tokens)
        if found is not None:
            return found
        done += stop - first
        progress(done)
    return None


def _ranges(length: int, start: int, size: int, *, backwards: bool) -> Iterator[tuple[int, int]]:
    """Ranges of tokens where a match may begin, from `start` on, then those on its other side."""
    start = min(max(0, start), length)
    parts = ((0, start), (start, length)) if backwards else ((start, length), (0, start))
    for low, high in parts:
        if backwards:
            yield from ((max(low, stop - size), stop) for stop in range(high, low, -size))
        else:
            yield from ((first, min(first + size, high)) for first in range(low, high, size))


def _in_block(block: Block, needle: bytes, count: int, *, backwards: bool) -> Match | None:
    """The first or last match that begins in the first `count` tokens of a block."""
    limit = int(block.ends[min(count, len(block.ids)) - 1])
    find = block.text.rfind if backwards else block.text.find
    place = find(needle, 0, limit + len(needle) - 1)
    if place < 0:
        return None
    return Match(block.token_at(place), block.token_at(place + len(needle) - 1))
