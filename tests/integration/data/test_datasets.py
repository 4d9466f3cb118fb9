import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.corpora import STORY, prepare, prepare_config, prepared, write_raw
from transformer_playground.data.dataset import Dataset, open_dataset
from transformer_playground.data.loader import BatchSampler
from transformer_playground.data.meta import read_meta, write_meta
from transformer_playground.errors import DataError

COMMAND = "tp prepare tiny"


def open_here(folder: Path) -> Dataset:
    return open_dataset(folder, prepare_command=COMMAND)


def test_tokens_are_mapped_and_not_read(tmp_path: Path) -> None:
    dataset = open_here(prepared(tmp_path).dataset_dir)

    assert isinstance(dataset.train, np.memmap)
    assert isinstance(dataset.val, np.memmap)
    assert not dataset.train.flags.writeable


def test_a_moved_dataset_still_opens(tmp_path: Path) -> None:
    folder = prepared(tmp_path).dataset_dir
    fingerprint = open_here(folder).fingerprint
    shutil.move(folder, tmp_path / "elsewhere")

    assert open_here(tmp_path / "elsewhere").fingerprint == fingerprint


def test_a_missing_dataset_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no prepared dataset") as raised:
        open_here(tmp_path / "datasets")

    assert raised.value.hint == "Run `tp prepare tiny`."


@pytest.mark.parametrize("name", ["train.bin", "val.bin"])
def test_tokens_that_were_altered_are_noticed(name: str, tmp_path: Path) -> None:
    folder = prepared(tmp_path).dataset_dir
    path = folder / name
    content = path.read_bytes()
    open_here(folder)
    # The same file again, only newer, is no damage.
    path.write_bytes(content)
    open_here(folder)
    # Other tokens of the vocabulary.
    path.write_bytes(content[2:] + content[:2])
    with pytest.raises(DataError, match="altered") as raised:
        open_here(folder)
    assert raised.value.hint == "Run `tp prepare tiny`."


@pytest.mark.parametrize("name", ["train.bin", "val.bin", "spm.model", "meta.pkl"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "longer"])
def test_a_damaged_artifact_names_itself_and_the_command(
    name: str, damage: str, tmp_path: Path
) -> None:
    folder = prepared(tmp_path, tokenizer_type="sentencepiece", vocab_size=300).dataset_dir
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(content[:-2])
    elif damage == "longer" and name != "meta.pkl":
        path.write_bytes(content + b"\0\0")

    with pytest.raises(DataError, match=name.replace(".", r"\.")) as raised:
        open_here(folder)

    assert raised.value.hint == "Run `tp prepare tiny`."


@pytest.mark.parametrize(
    "change",
    [
        {"version": 99},
        {"dtype": "float64"},
        {"dtype": "uint32"},
        {"vocab_size": "65"},
        {"train_tokens": True},
        {"train_tokens": 7},
        {"fingerprint": None},
        {"files": {}},
        {"files": []},
        {"files": {"train.bin": {}, "val.bin": {}}},
        {"files": {"train.bin": 1, "val.bin": 2}},
    ],
)
def test_a_meta_that_does_not_fit_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    path = prepared(tmp_path).dataset_dir / "meta.pkl"
    write_meta(path, read_meta(path) | change)

    with pytest.raises(DataError, match="does not describe a dataset"):
        open_here(path.parent)


def test_a_meta_cannot_point_outside_the_dataset(tmp_path: Path) -> None:
    path = prepared(tmp_path).dataset_dir / "meta.pkl"
    meta = read_meta(path)
    meta["files"]["../raw/input.txt"] = {"size": 1, "sha256": ""}
    write_meta(path, meta)

    with pytest.raises(DataError, match="does not describe a dataset"):
        open_here(path.parent)


def test_a_bare_nanogpt_dataset_asks_for_prepare(tmp_path: Path) -> None:
    folder = prepared(tmp_path).dataset_dir
    (folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": 2, "stoi": {"a": 0, "b": 1}}))

    with pytest.raises(DataError, match="does not describe a dataset"):
        open_here(folder)


def test_a_dataset_in_use_keeps_its_tokens_while_it_is_replaced(tmp_path: Path) -> None:
    config = prepared(tmp_path)
    dataset = open_here(config.dataset_dir)
    before = dataset.train[:50].tolist()

    write_raw(tmp_path, STORY.swapcase() * 5)
    prepare(config)

    assert dataset.train[:50].tolist() == before
    assert open_here(config.dataset_dir).fingerprint != dataset.fingerprint


def test_a_corpus_shorter_than_a_block_prepares_and_fails_at_the_sampler(tmp_path: Path) -> None:
    write_raw(tmp_path, "A short text.")
    config = prepare_config(tmp_path)
    prepare(config)
    dataset = open_here(config.dataset_dir)

    with pytest.raises(DataError, match="11 tokens is too short for block_size = 64"):
        BatchSampler(dataset.train, block_size=64, seed=1, order="random")
