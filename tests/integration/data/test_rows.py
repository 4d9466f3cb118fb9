"""Rows of text, prepared by several processes and written in shards."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.corpora import STORY, files_of, prepare, prepare_config, write_raw, write_rows
from builders.hf_tokenizers import tokenizer_folder
from transformer_playground.config.finetuning import HfModelConfig
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data import build_pretraining
from transformer_playground.data.dataset import Dataset, open_dataset
from transformer_playground.data.prepare import dataset_state, prepare_dataset
from transformer_playground.data.progress import Progress
from transformer_playground.data.sources import rows
from transformer_playground.data.tokenizers import load_tokenizer
from transformer_playground.errors import DataError

DOCUMENTS = [f"{number}. {STORY.strip()} {number}" for number in range(40)]
ROWS = [{"id": number, "text": text} for number, text in enumerate(DOCUMENTS)]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "_BLOCK_BYTES", 1 << 11)


def opened(config: PrepareConfig) -> Dataset:
    return open_dataset(config.dataset_dir, prepare_command="tp prepare")


def tokens(config: PrepareConfig) -> tuple[list[int], list[int]]:
    dataset = opened(config)
    return dataset.train[:].tolist(), dataset.val[:].tolist()


@pytest.mark.parametrize("kind", ["char", "gpt2"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.jsonl.zst", "rows.parquet"])
def test_rows_become_the_tokens_of_the_same_texts_as_files(
    kind: str, name: str, tmp_path: Path
) -> None:
    made = []
    for folder in (tmp_path / "rows", tmp_path / "files"):
        if folder.name == "rows":
            write_rows(folder, ROWS, name)
        else:
            for number, text in enumerate(DOCUMENTS):
                write_raw(folder, text, f"{number:02}.txt")
        config = prepare_config(folder, tokenizer_type=kind, val_split="text_end")
        prepare(config)
        made.append(config)
    assert tokens(made[0]) == tokens(made[1])
    assert opened(made[0]).fingerprint == opened(made[1]).fingerprint
    assert prepare(made[0]).skipped


SETTINGS: list[dict[str, Any]] = [
    {"tokenizer_type": "char", "val_split": "random_documents", "doc_separator": "<|endoftext|>"},
    {"tokenizer_type": "gpt2", "documents": "lines"},
]


def test_processes_change_nothing_but_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path, ROWS)
    for settings in SETTINGS:
        made = []
        for processes, least in ((None, 1 << 30), (2, 0)):
            monkeypatch.setattr(build_pretraining, "_FOR_PROCESSES", least)
            config = prepare_config(tmp_path, processes=processes, **settings)
            prepare(config, force=True)
            made.append(files_of(config.dataset_dir))
        assert made[0] == made[1]


def test_an_error_in_a_process_is_the_same_sentence_and_leaves_the_old_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rows(tmp_path, ROWS)
    config = prepare_config(tmp_path, processes=2)
    prepare(config)
    before = files_of(config.dataset_dir)
    write_rows(tmp_path, [*ROWS, {"text": 5}, *ROWS])
    monkeypatch.setattr(build_pretraining, "_FOR_PROCESSES", 0)
    with pytest.raises(DataError, match=r"rows\.jsonl, line 41: the line has a number as 'text'"):
        prepare(config)
    assert files_of(config.dataset_dir) == before
    assert not list(config.dataset_dir.glob(".building*"))


def test_a_killed_process_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(tmp_path, ROWS)
    monkeypatch.setattr(build_pretraining, "_FOR_PROCESSES", 0)
    monkeypatch.setattr(build_pretraining, "split_corpus", _killed)
    with pytest.raises(DataError, match="was killed; memory may be short") as error:
        prepare(prepare_config(tmp_path, processes=2))
    assert "prepare.processes" in error.value.hint


def _killed(*_: object, measured: Any, **__: object) -> None:
    list(measured(os._exit, [1]))


def test_a_long_split_is_written_in_shards_that_read_as_one_file(tmp_path: Path) -> None:
    write_rows(tmp_path, ROWS * 60)
    whole = prepare_config(tmp_path)
    prepare(whole)
    expected = opened(whole)
    train, val = (np.array(part[:]) for part in (expected.train, expected.val))

    config = prepare_config(tmp_path, shard_mb=1)
    assert dataset_state(config) == "stale"
    report = prepare(config)
    assert report.created == ("train-00001.bin", "train-00002.bin")
    assert report.refreshed == ("val.bin", "meta.pkl")
    assert "train.bin" not in files_of(config.dataset_dir)
    assert (config.dataset_dir / "train-00001.bin").stat().st_size == 1 << 20
    dataset = opened(config)
    assert dataset.record() == expected.record()
    assert np.array_equal(dataset.train[:], train)
    assert np.array_equal(dataset.val[:], val)
    assert prepare(config).skipped

    (config.dataset_dir / "train-00002.bin").unlink()
    assert dataset_state(config) == "stale"
    with pytest.raises(DataError, match=r"train-00002\.bin is missing"):
        opened(config)
    prepare(whole)
    assert set(files_of(whole.dataset_dir)) == {"train.bin", "val.bin", "meta.pkl"}


def test_the_column_belongs_to_the_dataset(tmp_path: Path) -> None:
    write_rows(tmp_path, [{"text": f"a {n}", "title": f"b {n}"} for n in range(20)])
    config = prepare_config(tmp_path)
    prepare(config)
    assert dataset_state(prepare_config(tmp_path, processes=3)) == "prepared"
    other = prepare_config(tmp_path, text_column="title")
    assert dataset_state(other) == "stale"
    prepare(other)
    text = load_tokenizer(other.dataset_dir).decode(tokens(other)[0])
    assert "b 3" in text
    assert "a 3" not in text


def test_rows_are_documents_for_finetuning_too(tmp_path: Path) -> None:
    base = HfModelConfig(model_name=str(tokenizer_folder("bytelevel")))
    made = []
    for name in ("rows.jsonl", "rows.parquet"):
        folder = tmp_path / name
        write_rows(folder, ROWS[:6], name)
        config = prepare_config(folder, tokenizer_type="huggingface")
        prepare_dataset(config, base, report=lambda _: None)
        assert opened(config).end_token is not None
        made.append(tokens(config))
    assert made[0] == made[1]
    assert sum(part.count(made[0][0][-1]) for part in made[0]) == 6


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.jsonl.zst", "rows.parquet"])
def test_progress_is_shown_while_rows_are_read_and_can_end_the_preparation(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_pretraining, "_WATCHED", 1 << 10)
    path = write_rows(tmp_path, ROWS, name)
    config = prepare_config(tmp_path)
    shown: list[Progress] = []
    prepare_dataset(config, report=lambda _: None, progress=shown.append)
    assert list(dict.fromkeys(each.stage for each in shown)) == [
        *("Reading", "Reading again", "Encoding")
    ]
    read = [each for each in shown if each.stage == "Reading"]
    assert read[-1].unit == "bytes"
    assert path.stat().st_size - 2 * len(read) <= read[-1].done <= path.stat().st_size
    again = [each for each in shown if each.stage == "Reading again"]
    assert 0 < again[-1].done <= again[-1].total

    def stop(_: Progress) -> None:
        raise RuntimeError("enough")

    before = files_of(config.dataset_dir)
    with pytest.raises(RuntimeError, match="enough"):
        prepare_dataset(config, report=lambda _: None, progress=stop, force=True)
    assert files_of(config.dataset_dir) == before
