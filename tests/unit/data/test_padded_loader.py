import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.data.loader import IGNORED, BatchSampler, all_batches, count_targets
from transformer_playground.data.padded_loader import (
    PaddedBatchSampler,
    PaddedDocuments,
    evaluation_rows,
)
from transformer_playground.errors import DataError

END = 0
documents = st.lists(st.lists(st.integers(1, 9), max_size=12), min_size=1, max_size=8)


def joined(texts: list[list[int]]) -> np.ndarray:
    return np.array([token for text in texts for token in (*text, END)], dtype=np.uint16)


def rows_of(tokens: np.ndarray, block_size: int) -> PaddedDocuments:
    return PaddedDocuments(tokens, end_token=END, block_size=block_size, vocab_size=10)


@given(documents.filter(any), st.integers(1, 6))
def test_every_token_but_the_first_of_its_document_is_a_target_once(
    texts: list[list[int]], block_size: int
) -> None:
    rows = rows_of(joined(texts), block_size)
    inputs, targets = rows.take(np.arange(len(rows)))

    assert inputs.shape == targets.shape
    assert inputs.shape[1] <= block_size
    expected = Counter(pair for text in texts for pair in itertools.pairwise([*text, END]))
    counted = targets != IGNORED
    found = Counter(zip(inputs[counted].tolist(), targets[counted].tolist(), strict=True))
    assert found == expected


def test_rows_are_padded_to_the_longest_of_their_batch_and_no_further() -> None:
    rows = rows_of(joined([[1, 2, 3], [4], [5, 6]]), 8)

    inputs, targets = rows.take(np.array([0, 1]))
    assert inputs.tolist() == [[1, 2, 3], [4, END, END]]
    assert targets.tolist() == [[2, 3, END], [END, IGNORED, IGNORED]]
    inputs, targets = rows.take(np.array([1]))
    assert (inputs.tolist(), targets.tolist()) == ([[4]], [[END]])


def test_a_long_document_continues_in_the_next_row() -> None:
    rows = rows_of(joined([[1, 2, 3, 4, 5]]), 2)

    inputs, targets = rows.take(np.arange(len(rows)))
    assert inputs.tolist() == [[1, 2], [3, 4], [5, END]]
    assert targets.tolist() == [[2, 3], [4, 5], [END, IGNORED]]


def test_a_split_that_ends_within_a_document_keeps_its_start() -> None:
    rows = rows_of(np.array([1, 2, END, 3, 4], dtype=np.uint16), 8)

    inputs, targets = rows.take(np.array([1]))
    assert (inputs.tolist(), targets.tolist()) == ([[3]], [[4]])


def test_sequential_rows_visit_each_document_once_an_epoch_in_another_order() -> None:
    tokens = joined([[number] for number in range(1, 8)])
    sampler = PaddedBatchSampler(rows_of(tokens, 4), seed=1, order="sequential")

    seen = [int(token) for index in range(7) for token in sampler.batch(index * 3, 3)[0][:, 0]]
    epochs = [seen[first : first + 7] for first in (0, 7, 14)]
    assert all(sorted(epoch) == list(range(1, 8)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3


@pytest.mark.parametrize("order", ["random", "sequential"])
def test_a_batch_depends_only_on_its_index(order: str) -> None:
    rows = rows_of(joined([[1, 2], [3], [4, 5, 6]]), 4)
    one, other = (
        PaddedBatchSampler(rows, seed=5, order=order)  # type: ignore[arg-type]
        for _ in range(2)
    )
    forward = [one.batch(index * 2, 2)[0].tolist() for index in range(6)]
    backward = [other.batch(index * 2, 2)[0].tolist() for index in reversed(range(6))]
    assert forward == backward[::-1]


def test_rows_do_not_depend_on_how_they_are_divided_into_batches() -> None:
    rows = rows_of(joined([[number % 9 + 1, number // 9 + 1] for number in range(50)]), 4)
    for sampler in (
        PaddedBatchSampler(rows, seed=1, order="random"),
        PaddedBatchSampler(rows, seed=1, order="sequential"),
    ):
        whole = sampler.batch(40, 12)[0].tolist()
        parts = [row for i in range(40, 52, 3) for row in sampler.batch(i, 3)[0].tolist()]
        assert parts == whole


def test_evaluation_reads_the_same_rows_for_every_batch_size() -> None:
    rows = rows_of(joined([[number % 9 + 1, number // 9 + 1] for number in range(50)]), 4)

    def firsts(batch_size: int) -> list[int]:
        batches = evaluation_rows(rows, batch_size=batch_size, n_rows=9)
        return [int(row[0]) - 1 + 9 * (int(row[1]) - 1) for inputs, _ in batches for row in inputs]

    assert firsts(2) == firsts(5) == [0, 6, 12, 18, 24, 30, 36, 42, 49]


def test_a_split_without_targets_is_rejected() -> None:
    with pytest.raises(DataError, match="no document"):
        rows_of(np.array([END, END], dtype=np.uint16), 4)


def test_a_token_outside_the_vocabulary_is_rejected() -> None:
    with pytest.raises(DataError, match="token 12 is outside"):
        rows_of(np.array([1, 12, END], dtype=np.uint16), 4).take(np.array([0]))


@given(documents.filter(lambda texts: sum(map(len, texts)) > 4))
def test_a_packed_window_masks_what_begins_a_document_and_nothing_else(
    texts: list[list[int]],
) -> None:
    tokens = joined(texts)
    for inputs, targets in all_batches(tokens, batch_size=3, block_size=4, end_token=END):
        begins = inputs == END
        assert (targets[begins] == IGNORED).all()
        assert (targets[~begins] != IGNORED).all()
        assert count_targets(targets) == (~begins).sum()
    sampler = BatchSampler(tokens, block_size=3, seed=1, order="random", end_token=END)
    inputs, targets = sampler.batch(0, 2)
    assert ((targets == IGNORED) == (inputs == END)).all()


def test_pretraining_datasets_have_no_masked_targets() -> None:
    _, targets = next(all_batches(joined([[1], [2], [3]]), batch_size=1, block_size=5))
    assert IGNORED not in targets
