"""Padded batches with one document per row (hf_model.packing = false)."""

from collections.abc import Iterator

import numpy as np

from transformer_playground.data.loader import IGNORED, Batch, Tokens, check_token_ids
from transformer_playground.data.order import Order, epoch_items, evenly_spaced, random_items
from transformer_playground.data.token_shards import TokenSource, plain
from transformer_playground.errors import DataError

# Random stream, separate from those in `loader`.
_RANDOM = 4
# Tokens searched at once for document ends.
_SCANNED = 1 << 20


class PaddedDocuments:
    """The documents of a split as rows of at most `block_size` inputs.

    A longer document is split into consecutive rows, so that every token except a document's first
    is a target exactly once. Rows are padded with `end_token` to the longest of their batch;
    padding is not a target.

    Args:
        tokens: One split; each document ends with `end_token`.
        end_token: Last token of each document.
        block_size: Maximum inputs per row.
        vocab_size: Token ids are checked against it.

    Raises:
        DataError: All documents are shorter than two tokens.
    """

    def __init__(
        self, tokens: TokenSource, *, end_token: int, block_size: int, vocab_size: int
    ) -> None:
        self._tokens = plain(tokens)
        self._end_token, self._vocab_size = end_token, vocab_size
        self._starts, self._lengths = _rows(self._tokens, end_token, block_size)
        if not len(self._starts):
            raise DataError(
                "The split has no document of two tokens or more.",
                "Add text, or prepare the dataset again.",
            )

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def starts(self) -> Tokens:
        """Position of the first token of each row, (rows,)."""
        return self._starts

    @property
    def targets(self) -> int:
        """Total number of targets."""
        return int(self._lengths.sum())

    def take(self, rows: Tokens) -> Batch:
        """Inputs and targets of rows, each (rows, longest row) int64.

        Raises:
            DataError: A token is outside the vocabulary.
        """
        starts, lengths = self._starts[rows], self._lengths[rows]
        shape = (len(rows), int(lengths.max()))
        inputs = np.full(shape, self._end_token, dtype=np.int64)
        targets = np.full(shape, IGNORED, dtype=np.int64)
        for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
            read = self._tokens[start : start + length + 1].astype(np.int64)
            inputs[row, :length], targets[row, :length] = read[:-1], read[1:]
        check_token_ids(inputs, self._vocab_size)
        check_token_ids(targets, self._vocab_size)
        return inputs, targets


class PaddedBatchSampler:
    """Training batches of rows; row `i` of a run depends only on `seed` and `i`.

    With order `sequential`, each row is visited once per epoch, in a new order in each epoch.
    """

    def __init__(self, rows: PaddedDocuments, *, seed: int, order: Order) -> None:
        self._rows, self._seed, self._order = rows, seed, order
        # Those of the padding.
        self.ignores_targets = True

    def batch(self, first: int, size: int) -> Batch:
        """Inputs and targets of rows `first` … `first + size - 1`, each (size, longest row) int64.

        Raises:
            DataError: A token is outside the vocabulary.
        """
        numbers = np.arange(first, first + size, dtype=np.int64)
        if self._order == "random":
            return self._rows.take(
                random_items(numbers, len(self._rows), key=(_RANDOM, self._seed))
            )
        _, chosen = epoch_items(numbers, len(self._rows), seed=self._seed)
        return self._rows.take(chosen)


def evaluation_rows(rows: PaddedDocuments, *, batch_size: int, n_rows: int) -> Iterator[Batch]:
    """Rows spread evenly over the split, the same on each call, in batches.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    chosen = evenly_spaced(n_rows, len(rows))
    for first in range(0, len(chosen), batch_size):
        yield rows.take(chosen[first : first + batch_size])


def all_rows(rows: PaddedDocuments, *, batch_size: int) -> Iterator[Batch]:
    """All rows once, in the order of the text.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    return evaluation_rows(rows, batch_size=batch_size, n_rows=len(rows))


def _rows(tokens: TokenSource, end_token: int, block_size: int) -> tuple[Tokens, Tokens]:
    """Start index and number of inputs of each row."""
    ends = _ends(tokens, end_token)
    begins = np.concatenate(([0], ends[:-1] + 1)).astype(np.int64)
    # The last token of a document is only ever a target.
    inputs = ends - begins
    counts = -(-inputs // block_size)
    number_in_document = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = np.repeat(begins, counts) + number_in_document * block_size
    lengths = np.minimum(block_size, np.repeat(inputs, counts) - number_in_document * block_size)
    return starts, lengths


def _ends(tokens: TokenSource, end_token: int) -> Tokens:
    """Indices of document ends; the end of the split always counts as one."""
    found = [
        np.flatnonzero(tokens[first : first + _SCANNED] == end_token) + first
        for first in range(0, len(tokens), _SCANNED)
    ]
    ends = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
    if len(tokens) and (not len(ends) or ends[-1] != len(tokens) - 1):
        ends = np.append(ends, len(tokens) - 1)
    return ends.astype(np.int64)
