"""How the sequences of a step are shared out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.config.train import DataConfig
from transformer_playground.errors import ConfigError
from transformer_playground.training.shares import check_shares, pieces


def config(size: int, n_micro: int) -> DataConfig:
    return DataConfig(batch_size=size, grad_accum_steps=n_micro)


@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 8))
def test_every_sequence_of_a_step_is_read_by_one_process_in_batches_that_fit(
    size: int, n_micro: int, processes: int
) -> None:
    shares = [
        pieces(config(size, n_micro), rank, processes, of_each_batch=False)
        for rank in range(processes)
    ]
    read = [number for share in shares for each in share for number in range(each.start, each.stop)]
    assert read == list(range(size * n_micro))
    assert all(each.stop - each.start <= size for share in shares for each in share)
    # Otherwise processes would wait for each other's passes for ever.
    assert len({len(share) for share in shares}) == 1
    sizes = [sum(each.stop - each.start for each in share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(1, 9), st.integers(1, 5), st.data())
def test_processes_that_share_masks_take_a_part_of_every_batch(
    size: int, n_micro: int, data: st.DataObject
) -> None:
    processes = data.draw(st.integers(1, size))
    for number in range(n_micro):
        parts = [
            pieces(config(size, n_micro), rank, processes, of_each_batch=True)[number]
            for rank in range(processes)
        ]
        rows = [row for part in parts for row in range(size)[part.rows]]
        assert rows == list(range(size))
        assert {part.batch_start for part in parts} == {number * size}


def test_one_process_computes_the_batches_as_configured() -> None:
    whole = pieces(config(4, 3), 0, 1, of_each_batch=False)
    assert [(each.start, each.stop) for each in whole] == [(0, 4), (4, 8), (8, 12)]
    assert not any(each.is_part for each in whole)


def test_more_processes_than_sequences_are_refused() -> None:
    check_shares(config(2, 2), 4)
    with pytest.raises(ConfigError, match="5 processes share the 4 sequences"):
        check_shares(config(2, 2), 5)
