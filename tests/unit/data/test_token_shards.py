"""Token files in shards read and written as one."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_playground.data import loader, token_shards
from transformer_playground.data.loader import BatchSampler, all_batches, evaluation_batches
from transformer_playground.data.padded_loader import PaddedDocuments, all_rows
from transformer_playground.data.token_shards import (
    ShardWriter,
    TokenShards,
    files_of,
    shard_name,
    whole_name,
)

WHOLE = np.random.default_rng(0).integers(0, 50, 1000).astype(np.uint16)


def shards(*cuts: int) -> TokenShards:
    return TokenShards(np.split(WHOLE, cuts))


def write(path: Path, most: int, *parts: bytes) -> ShardWriter:
    with ShardWriter(path, most) as writer:
        for part in parts:
            writer.write(part)
    return writer


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 999), unique=True, max_size=5).map(sorted),
    st.integers(-1000, 999),
    st.integers(-1100, 1100),
    st.integers(-1100, 1100),
)
def test_shards_are_read_as_one_array(cuts: list[int], index: int, start: int, stop: int) -> None:
    tokens = shards(*cuts)
    assert (len(tokens), tokens.nbytes, tokens.dtype) == (1000, 2000, WHOLE.dtype)
    assert tokens[index] == WHOLE[index]
    for part in (slice(start, stop), slice(start, None), slice(None, stop)):
        assert np.array_equal(tokens[part], WHOLE[part])


@pytest.mark.parametrize("index", [1000, -1001])
def test_a_place_outside_is_an_error(index: int) -> None:
    with pytest.raises(IndexError):
        shards(10)[index]


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(1, 999), unique=True, min_size=1, max_size=40).map(sorted))
def test_every_window_is_the_same_in_shards(cuts: list[int]) -> None:
    tokens = shards(*cuts)
    for order in ("random", "sequential"):
        batches = [
            BatchSampler(each, block_size=16, seed=1, order=order, vocab_size=50).batch(5, 64)
            for each in (WHOLE, tokens)
        ]
        assert np.array_equal(batches[0], batches[1])
    sizes = {"batch_size": 4, "block_size": 16}
    for each in (
        [list(evaluation_batches(part, n_windows=9, **sizes)) for part in (WHOLE, tokens)],
        [list(all_batches(part, **sizes)) for part in (WHOLE, tokens)],
    ):
        assert all(np.array_equal(one, other) for one, other in zip(*each, strict=True))


def test_padded_documents_are_the_same_in_shards() -> None:
    found = []
    for tokens in (WHOLE, shards(1, 7, 500, 999)):
        rows = PaddedDocuments(tokens, end_token=3, block_size=16, vocab_size=50)
        found.append(list(all_rows(rows, batch_size=8)))
    for one, other in zip(*found, strict=True):
        assert all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def test_pages_of_every_shard_are_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_shards, "_LARGE_FILE", 100)
    (tmp_path / "x").write_bytes(WHOLE.tobytes())
    parts = [np.memmap(tmp_path / "x", dtype=np.uint16, mode="r") for _ in range(3)]
    windows = loader._Windows(TokenShards(parts), None)
    assert len(windows._mappings) == 3
    starts = np.arange(0, 2900, 40)
    inputs, _ = windows.take(starts, 16)
    assert np.array_equal(inputs[0], WHOLE[:16])


def test_a_file_within_the_limit_stays_one(tmp_path: Path) -> None:
    content = WHOLE.tobytes()
    for most in (0, len(content), 10**6):
        writer = write(tmp_path / "train.bin", most, content[:900], content[900:])
        assert (tmp_path / "train.bin").read_bytes() == content
        assert writer.files == {"train.bin": writer.sha256}
        assert writer.sha256 == hashlib.sha256(content).hexdigest()


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 12), st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_shards_hold_what_one_file_would(
    tmp_path_factory: pytest.TempPathFactory, most: int, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("x")
    parts = [bytes([number]) * 2 * size for number, size in enumerate(sizes)]
    writer = write(folder / "train.bin", 2 * most, *parts)
    files = files_of("train.bin", writer.files)
    written = [(folder / name).read_bytes() for name in files]
    assert b"".join(written) == b"".join(parts)
    assert {path.name for path in folder.iterdir()} == set(files) == set(writer.files)
    assert all(len(each) == 2 * most for each in written[:-1])
    assert 0 < len(written[-1]) <= 2 * most
    digests = [hashlib.sha256(each).hexdigest() for each in written]
    assert digests == [writer.files[name] for name in files]
    assert writer.sha256 == hashlib.sha256(b"".join(parts)).hexdigest()


def test_names_of_shards_lead_to_their_file_and_gaps_are_found() -> None:
    names = [shard_name("val.bin", number) for number in (1, 2, 12)]
    assert names == ["val-00001.bin", "val-00002.bin", "val-00012.bin"]
    assert {whole_name(name) for name in names} == {"val.bin"}
    for other in ("val.bin", "val-1.bin", "meta.pkl", "val-000001.bin", "test-00001.bin"):
        assert whole_name(other) == other
    assert files_of("val.bin", ["meta.pkl", *reversed(names[:2])]) == names[:2]
    assert files_of("val.bin", names) == []
    assert files_of("val.bin", ["train.bin"]) == []
