"""The n-gram baseline of a dataset, counted once and kept beside it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from builders.corpora import prepared
from transformer_playground.data.dataset import Dataset, open_dataset
from transformer_playground.evaluation import baseline
from transformer_playground.evaluation.baseline import (
    BASELINE_FILE,
    NGramBaseline,
    compare_with,
    known_baseline,
    ngram_baseline,
)
from transformer_playground.evaluation.ngram import ngram_losses


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return open_dataset(prepared(tmp_path).dataset_dir, prepare_command="tp prepare")


def test_a_baseline_is_counted_once_and_again_only_for_longer_n_grams(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[int] = []

    def count(*arguments: Any) -> dict[int, float]:
        counted.append(len(arguments[-1]))
        return ngram_losses(*arguments)

    monkeypatch.setattr(baseline, "ngram_losses", count)
    first = ngram_baseline(dataset, 2)
    assert (
        ngram_baseline(dataset, 2) == first == known_baseline(dataset.folder, dataset.fingerprint)
    )
    assert ngram_baseline(dataset, 1) == first
    longer = ngram_baseline(dataset, 3)
    assert counted == [2, 3]
    assert [*longer.losses] == [1, 2, 3]
    assert longer.losses[2] == first.losses[2]
    assert first.train_tokens == len(dataset.train)


def test_a_baseline_of_another_dataset_or_a_damaged_file_is_ignored(dataset: Dataset) -> None:
    path = dataset.folder / BASELINE_FILE
    kept = ngram_baseline(dataset, 1)
    changed = dataclasses.replace(dataset, fingerprint="other")
    assert known_baseline(dataset.folder, changed.fingerprint) is None
    assert known_baseline(dataset.folder, None) is None
    for content in ("", "[]", "[" * 100_000, json.dumps({"losses": {"1": "x"}}), "\udcff"):
        path.write_text(content, encoding="utf-8", errors="surrogateescape")
        assert known_baseline(dataset.folder, dataset.fingerprint) is None
    assert ngram_baseline(dataset, 1) == kept


def test_a_dataset_that_cannot_be_written_is_counted_all_the_same(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(baseline, "replace_json", refuse)
    assert ngram_baseline(dataset, 1).losses[1] > 0
    assert not (dataset.folder / BASELINE_FILE).exists()


def test_a_run_beats_n_grams_at_its_first_evaluation_below_their_loss() -> None:
    counted = NGramBaseline({2: 2.0}, 100)
    result = compare_with(counted, 2, [5, 10, 15], [2.5, 1.9, 2.1])
    assert result is not None
    assert (result.loss, result.beaten_at) == (2.0, 10)
    never = compare_with(counted, 2, [5, 10], [2.5, float("nan")])
    assert never is not None
    assert never.beaten_at is None
    assert compare_with(counted, 3, [5], [1.0]) is None
