"""The text of tokens in blocks, and the token at each byte of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from transformer_playground.data.loader import check_token_ids
from transformer_playground.data.token_shards import TokenSource, release_pages
from transformer_playground.data.tokenizers import Tokenizer

Ids = npt.NDArray[np.int64]
Progress = Callable[[int], object]
"""Called with the number of tokens that a pass has read."""

BLOCK = 1 << 20
"""Tokens that are read at once."""


class TokenBytes:
    """The bytes of each token of a vocabulary.

    Args:
        tokenizer: Tokenizer of the dataset.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.vocab_size = tokenizer.vocab_size
        self.pieces = [tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)]
        self.lengths = np.array([len(piece) for piece in self.pieces], dtype=np.int64)
        is_single = bool((self.lengths == 1).all())
        joined = b"".join(self.pieces)
        self._single = np.frombuffer(joined, dtype=np.uint8) if is_single else None

    def text(self, ids: npt.NDArray[Any]) -> bytes:
        """The bytes of tokens, one after the other.

        Raises:
            DataError: A token is outside the vocabulary.
        """
        if len(ids):
            check_token_ids(ids, self.vocab_size)
        if self._single is not None:
            text: bytes = self._single[ids].tobytes()
            return text
        return b"".join([self.pieces[token] for token in ids.tolist()])

    def ends(self, ids: npt.NDArray[Any]) -> Ids:
        """Where the bytes of each token end in their text, shape of `ids`."""
        ends: Ids = np.cumsum(self.lengths[ids])
        return ends

    def shown(self, token: int) -> str:
        """The text of one token; bytes that are no character are written as hexadecimal."""
        if not 0 <= token < self.vocab_size:
            return f"<{token}>"
        return self.pieces[token].decode("utf-8", "backslashreplace")


@dataclass(frozen=True)
class Block:
    """Consecutive tokens of a split with their text.

    Attributes:
        first: Position of the first token in the split.
        ends: Where the bytes of each token end in `text`.
    """

    first: int
    ids: npt.NDArray[Any]
    text: bytes
    ends: Ids

    def token_at(self, place: int) -> int:
        """Position in the split of the token that holds a byte of the text."""
        return self.first + int(np.searchsorted(self.ends, place, side="right"))

    def tokens_at(self, places: npt.NDArray[np.int64]) -> Ids:
        """`token_at` of many bytes."""
        found: Ids = self.first + np.searchsorted(self.ends, places, side="right")
        return found


def blocks(
    tokens: TokenSource,
    table: TokenBytes,
    *,
    start: int = 0,
    size: int = BLOCK,
    more: int = 0,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _: None,
) -> Iterator[Block]:
    """The tokens of a split from a position on, in blocks; ends early if cancelled.

    Args:
        tokens: The split.
        table: Its vocabulary.
        start: Position of the first token.
        size: Tokens of a block.
        more: Tokens of the next block at the end of each, for what reaches over the border.
        cancelled: Called before each block.
        progress: Called after each block with the tokens read so far.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    for first in range(start, len(tokens), size):
        if cancelled():
            return
        yield read_block(tokens, table, first, first + size + more)
        release_pages(tokens)
        progress(min(first + size, len(tokens)) - start)


def read_block(tokens: TokenSource, table: TokenBytes, first: int, stop: int) -> Block:
    """The tokens from one position to another, which may be beyond the end.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    ids = np.asarray(tokens[first:stop])
    text = table.text(ids)
    return Block(first, ids, text, table.ends(ids))
