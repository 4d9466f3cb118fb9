from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_playground.data.loader import (
    BatchSampler,
    all_batches,
    evaluation_batches,
)
from transformer_playground.data.order import evenly_spaced, permuted, random_items
from transformer_playground.data.token_shards import TokenArray
from transformer_playground.errors import DataError

ORDERS = ("random", "sequential")

sizes = st.integers(2, 200).flatmap(
    lambda count: st.tuples(st.just(count), st.integers(1, count - 1), st.integers(1, 9))
)


def counting(count: int) -> TokenArray:
    """Tokens whose value is their position, so that a window shows where it starts."""
    return np.arange(count, dtype=np.uint16)


@pytest.mark.parametrize("order", ORDERS)
@settings(max_examples=60, deadline=None)
@given(size=sizes, seed=st.integers(0, 2**70), index=st.integers(0, 10**9))
def test_every_window_is_within_the_split_and_targets_follow_inputs(
    order: str, size: tuple[int, int, int], seed: int, index: int
) -> None:
    count, block_size, batch_size = size
    sampler = BatchSampler(
        counting(count),
        block_size=block_size,
        seed=seed,
        order="random" if order == "random" else "sequential",
    )

    inputs, targets = sampler.batch(index, batch_size)

    assert inputs.shape == targets.shape == (batch_size, block_size)
    assert inputs.dtype == targets.dtype == np.int64
    assert (np.diff(inputs, axis=1) == 1).all()
    assert (targets == inputs + 1).all()
    assert inputs.min() >= 0
    assert targets.max() < count


@pytest.mark.parametrize("order", ORDERS)
def test_a_batch_depends_only_on_seed_and_index(order: str) -> None:
    def sampler(seed: int) -> BatchSampler:
        return BatchSampler(
            counting(5000),
            block_size=8,
            seed=seed,
            order="random" if order == "random" else "sequential",
        )

    busy, fresh = sampler(1), sampler(1)
    in_order = [busy.batch(index * 4, 4)[0].tolist() for index in range(30)]

    assert [fresh.batch(index * 4, 4)[0].tolist() for index in reversed(range(30))] == in_order[
        ::-1
    ]
    assert sampler(2).batch(0, 4)[0].tolist() != in_order[0]
    assert len({str(batch) for batch in in_order}) == 30


@settings(max_examples=60, deadline=None)
@given(size=sizes, seed=st.integers(0, 99), epoch=st.integers(0, 3))
def test_a_sequential_epoch_visits_each_window_exactly_once(
    size: tuple[int, int, int], seed: int, epoch: int
) -> None:
    count, block_size, batch_size = size
    sampler = BatchSampler(
        counting(count),
        block_size=block_size,
        seed=seed,
        order="sequential",
    )
    windows = sampler.windows_per_epoch

    drawn = [
        int(row[0])
        for index in range(-(-windows * (epoch + 1) // batch_size))
        for row in sampler.batch(index * batch_size, batch_size)[0]
    ][windows * epoch : windows * (epoch + 1)]

    first = min(drawn)
    assert first < block_size
    assert sorted(drawn) == [first + number * block_size for number in range(windows)]
    assert count - (max(drawn) + block_size) <= 2 * block_size


def test_sequential_epochs_differ_in_order_and_offset() -> None:
    sampler = BatchSampler(counting(4000), block_size=10, seed=3, order="sequential")
    windows = sampler.windows_per_epoch
    epochs = [
        [int(sampler.batch(epoch * windows + number, 1)[0][0, 0]) for number in range(windows)]
        for epoch in range(4)
    ]

    assert len({min(epoch) for epoch in epochs}) > 1
    assert len({tuple(start // 10 for start in epoch) for epoch in epochs}) == 4
    assert epochs[0] != sorted(epochs[0])


def test_random_windows_reach_both_ends_of_the_split() -> None:
    sampler = BatchSampler(counting(12), block_size=8, seed=1, order="random")

    inputs, targets = sampler.batch(0, 200)

    assert inputs.min() == 0
    assert targets.max() == 11


@pytest.mark.parametrize("order", ORDERS)
def test_a_split_shorter_than_a_window_names_both_lengths(order: str) -> None:
    with pytest.raises(DataError, match=r"split of 8 tokens .* block_size = 8.* need 9"):
        BatchSampler(
            counting(8),
            block_size=8,
            seed=1,
            order="random" if order == "random" else "sequential",
        )


@pytest.mark.parametrize("order", ORDERS)
def test_windows_do_not_depend_on_how_they_are_divided_into_batches(order: str) -> None:
    sampler = BatchSampler(
        counting(5000),
        block_size=8,
        seed=1,
        order="random" if order == "random" else "sequential",
    )
    whole = sampler.batch(24, 24)[0].tolist()
    for size in (1, 2, 3, 8, 12):
        parts = [
            row for first in range(24, 48, size) for row in sampler.batch(first, size)[0].tolist()
        ]
        assert parts == whole


def evaluation_starts(count: int, *, batch_size: int, n_windows: int) -> list[int]:
    batches = evaluation_batches(
        counting(count), batch_size=batch_size, block_size=7, n_windows=n_windows
    )
    return [int(row[0]) for inputs, _ in batches for row in inputs]


def test_evaluation_reads_the_same_windows_for_every_batch_size() -> None:
    starts = evaluation_starts(500, batch_size=3, n_windows=20)
    assert starts == evaluation_starts(500, batch_size=8, n_windows=20)
    assert len(set(starts)) == 20


@settings(max_examples=60, deadline=None)
@given(count=st.integers(8, 400), n_windows=st.integers(1, 80))
def test_evaluation_windows_cover_the_split_without_overlap(count: int, n_windows: int) -> None:
    starts = evaluation_starts(count, batch_size=4, n_windows=n_windows)
    assert len(starts) == min(n_windows, (count - 1) // 7)
    assert all(later - earlier >= 7 for earlier, later in pairwise(starts))
    assert starts[0] == 0
    if len(starts) > 1:
        assert starts[-1] + 7 == count - 1


def test_random_items_are_spread_evenly_and_independent_of_their_neighbours() -> None:
    items = random_items(np.arange(100_000), 10, key=(1, 2))
    counts = np.bincount(items, minlength=10)
    assert np.abs(counts - 10_000).max() < 5 * np.sqrt(9_000)
    pairs = np.bincount(items[:-1] * 10 + items[1:], minlength=100)
    assert np.abs(pairs - 1_000).max() < 5 * np.sqrt(990)
    assert items.tolist() != random_items(np.arange(100_000), 10, key=(1, 3)).tolist()


def test_evenly_spaced_items_reach_both_ends() -> None:
    assert evenly_spaced(3, 101).tolist() == [0, 50, 100]
    assert evenly_spaced(5, 3).tolist() == [0, 1, 2]
    assert evenly_spaced(1, 9).tolist() == [0]


def test_evaluation_rejects_a_split_shorter_than_a_window() -> None:
    with pytest.raises(DataError, match="too short"):
        list(evaluation_batches(counting(4), batch_size=1, block_size=4, n_windows=1))


@settings(max_examples=60, deadline=None)
@given(count=st.integers(2, 100), batch_size=st.integers(1, 5), block_size=st.integers(1, 30))
def test_all_batches_predict_every_token_but_the_first_once(
    count: int, batch_size: int, block_size: int
) -> None:
    batches = list(all_batches(counting(count), batch_size=batch_size, block_size=block_size))

    assert [int(token) for _, targets in batches for token in targets.flat] == [*range(1, count)]
    assert all((targets == inputs + 1).all() for inputs, targets in batches)
    assert all(inputs.shape[0] <= batch_size for inputs, _ in batches)
    assert all(inputs.shape[1] <= block_size for inputs, _ in batches)


def test_all_batches_needs_two_tokens() -> None:
    with pytest.raises(DataError, match="too short"):
        list(all_batches(counting(1), batch_size=1, block_size=4))


@settings(max_examples=60, deadline=None)
@given(length=st.integers(1, 3000), key=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_a_permutation_maps_positions_one_to_one(length: int, key: tuple[int, int]) -> None:
    places = permuted(np.arange(length), length, key=key)

    assert sorted(places.tolist()) == list(range(length))


def test_a_permutation_works_far_beyond_memory() -> None:
    length = 1 << 61
    positions = np.array([0, 1, 12345, length - 1])

    places = permuted(positions, length, key=(1, 2))

    assert len(set(places.tolist())) == 4
    assert all(0 <= place < length for place in places)


def test_a_large_map_is_read_window_by_window(tmp_path: Path) -> None:
    # A sparse file: 256 MiB of zeros that take no disk. Reading it all would map it all.
    path = tmp_path / "train.bin"
    with path.open("wb") as file:
        file.truncate(256 << 20)
    tokens = np.memmap(path, dtype=np.uint16, mode="r")
    sampler = BatchSampler(tokens, block_size=16, seed=1, order="random")

    before = _resident_bytes()
    for index in range(400):
        sampler.batch(index * 8, 8)

    assert _resident_bytes() - before < 128 << 20


def _resident_bytes() -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        pytest.skip("needs /proc")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) << 10


@pytest.mark.parametrize("order", ORDERS)
def test_a_token_outside_the_vocabulary_is_reported_as_a_damaged_file(order: str) -> None:
    def first_batch(vocab_size: int | None) -> None:
        BatchSampler(
            counting(20),
            block_size=8,
            seed=1,
            order="random" if order == "random" else "sequential",
            vocab_size=vocab_size,
        ).batch(0, 64)

    first_batch(20)
    first_batch(None)
    with pytest.raises(DataError, match=r"outside the vocabulary of 10\..*tp prepare --force"):
        first_batch(10)


def test_evaluation_also_rejects_tokens_outside_the_vocabulary() -> None:
    fixed = evaluation_batches(
        counting(20), batch_size=64, block_size=8, n_windows=2, vocab_size=10
    )
    whole = all_batches(counting(20), batch_size=4, block_size=8, vocab_size=19)
    for batches in (fixed, whole):
        with pytest.raises(DataError, match="outside the vocabulary"):
            list(batches)
    assert list(all_batches(counting(20), batch_size=4, block_size=8, vocab_size=20))
