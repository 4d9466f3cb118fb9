"""Lines of the validation text that stand in the training text, and lines that repeat."""

import array
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from transformer_playground.data.browsing.token_bytes import (
    BLOCK,
    Progress,
    TokenBytes,
    blocks,
    read_block,
)
from transformer_playground.data.token_shards import TokenSource

MOST_LINES = 5_000_000
"""Lines of each split that are compared; beyond, memory would grow with the text."""
MOST_LISTED = 200
_LONGEST_SHOWN = 200
# Of a longer line only the start is compared.
_LONGEST_LINE = 1 << 20

_Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SharedLine:
    """A validation line that stands in the training text.

    Attributes:
        text: Its first characters, untrusted.
        characters: Length in bytes without surrounding white space.
        count: How often it occurs in the validation split.
        val_token: Position of the first one in the validation split.
        train_token: Position of the first one in the training split.
    """

    text: str
    characters: int
    count: int
    val_token: int
    train_token: int


@dataclass(frozen=True)
class Overlap:
    """How the lines of both splits overlap; lines without text do not count.

    Attributes:
        train_lines: Training lines that were compared.
        val_lines: Validation lines that were compared.
        is_whole: Whether these are all lines of both splits.
        shared: Validation lines that stand in the training text.
        train_repeated: Training lines that occur earlier in it, too.
        val_repeated: Validation lines that occur earlier in it, too.
        longest: The longest distinct shared lines.
    """

    train_lines: int
    val_lines: int
    is_whole: bool
    shared: int
    train_repeated: int
    val_repeated: int
    longest: tuple[SharedLine, ...]


@dataclass
class _Lines:
    """The lines of a split, 20 bytes for each.

    Attributes:
        hashes: Of the text of each, 64 bits: two lines of a billion are confused by chance with a
            probability of 3 %.
        lengths: Bytes of each.
        tokens: Position of the first token of each.
    """

    hashes: _Integers
    lengths: npt.NDArray[np.int32]
    tokens: _Integers
    is_whole: bool


def line_overlap(
    train: TokenSource,
    val: TokenSource,
    table: TokenBytes,
    end_token: int | None,
    *,
    most_lines: int = MOST_LINES,
    size: int = BLOCK,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Progress = lambda _: None,
) -> Overlap | None:
    """Compare the lines of both splits; None if cancelled.

    Args:
        train: The training split.
        val: The validation split.
        table: Their vocabulary.
        end_token: Ends a document, and so a line; None = nothing does.
        most_lines: Lines of each split to read.
        size: Tokens that are read at once.
        cancelled: Called before each block.
        progress: Called with the tokens that were read of both splits together.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    of_val = _lines_of(
        val,
        table,
        end_token,
        most_lines=most_lines,
        size=size,
        cancelled=cancelled,
        progress=progress,
    )
    of_train = of_val and _lines_of(
        train,
        table,
        end_token,
        most_lines=most_lines,
        size=size,
        cancelled=cancelled,
        progress=lambda read: progress(len(val) + read),
    )
    if of_val is None or of_train is None:
        return None
    distinct_train, first_train = np.unique(of_train.hashes, return_index=True)
    distinct_val, first_val, counts = np.unique(
        of_val.hashes, return_index=True, return_counts=True
    )
    is_shared = np.isin(distinct_val, distinct_train, assume_unique=True)
    chosen = np.flatnonzero(is_shared)
    # Of equally long ones the first comes first: hashes differ from one process to the next.
    order = np.lexsort((first_val[chosen], -of_val.lengths[first_val[chosen]]))
    chosen = chosen[order[:MOST_LISTED]]
    places = np.searchsorted(distinct_train, distinct_val[chosen])
    return Overlap(
        train_lines=len(of_train.hashes),
        val_lines=len(of_val.hashes),
        is_whole=of_val.is_whole and of_train.is_whole,
        shared=int(counts[is_shared].sum()),
        train_repeated=len(of_train.hashes) - len(distinct_train),
        val_repeated=len(of_val.hashes) - len(distinct_val),
        longest=tuple(
            SharedLine(
                _text_at(val, table, int(of_val.tokens[line])),
                int(of_val.lengths[line]),
                int(count),
                int(of_val.tokens[line]),
                int(of_train.tokens[first_train[place]]),
            )
            for line, count, place in zip(first_val[chosen], counts[chosen], places, strict=True)
        ),
    )


def _lines_of(
    tokens: TokenSource,
    table: TokenBytes,
    end_token: int | None,
    *,
    most_lines: int,
    size: int,
    cancelled: Callable[[], bool],
    progress: Progress,
) -> _Lines | None:
    hashes, lengths, starts = array.array("q"), array.array("i"), array.array("q")
    # Of the line that is not complete yet: its text, and the token it begins with.
    rest, begin, read = b"", 0, 0
    mark = b"" if end_token is None else table.pieces[end_token]

    def add(line: bytes, first: int) -> None:
        text = line[:_LONGEST_LINE].strip()
        if text:
            hashes.append(hash(text))
            lengths.append(len(text))
            starts.append(first)

    for block in blocks(tokens, table, size=size, cancelled=cancelled, progress=progress):
        text = block.text.replace(mark, b"\n" * len(mark)) if mark else block.text
        parts = text.split(b"\n")
        # The first byte of each line but the first one.
        ends = np.cumsum([len(part) + 1 for part in parts[:-1]], dtype=np.int64)
        firsts = block.tokens_at(ends).tolist()
        if len(parts) > 1:
            add(rest + parts[0], begin)
            for part, first in zip(parts[1:-1], firsts, strict=False):
                add(part, first)
            rest, begin = b"", firsts[-1]
        rest = (rest + parts[-1])[:_LONGEST_LINE]
        read += len(block.ids)
        if len(hashes) >= most_lines:
            break
    else:
        if read < len(tokens):
            return None
        add(rest, begin)
    return _Lines(
        np.array(hashes, dtype=np.int64),
        np.array(lengths, dtype=np.int32),
        np.array(starts, dtype=np.int64),
        is_whole=read >= len(tokens),
    )


def _text_at(tokens: TokenSource, table: TokenBytes, first: int) -> str:
    """The start of the line that begins with a token."""
    text = read_block(tokens, table, first, first + _LONGEST_SHOWN).text.lstrip()
    return text.partition(b"\n")[0][: 4 * _LONGEST_SHOWN].decode("utf-8", "replace")
