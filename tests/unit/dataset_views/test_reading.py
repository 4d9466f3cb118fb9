"""Windows and batches of an open dataset, against what training reads."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from builders.commands import make_project
from builders.corpora import prepare
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.browsing.search import Match
from transformer_playground.data.browsing.statistics import split_statistics
from transformer_playground.data.training_batches import training_batches
from transformer_playground.dataset_views.measures import TokenCost, hardest_windows
from transformer_playground.dataset_views.reading import read_batch, read_window
from transformer_playground.dataset_views.source import DataSource, source_of_experiment
from transformer_playground.dataset_views.vocabulary import vocabulary_rows
from transformer_playground.errors import DataError, UsageError


@pytest.fixture
def source(tmp_path: Path) -> DataSource:
    project = make_project(tmp_path / "project")
    folder = project.experiment
    prepare(PrepareConfig(raw_dir=folder / "raw", dataset_dir=folder / "datasets"))
    return source_of_experiment("tiny", project.root / "experiments", {})


def test_a_window_has_the_text_of_the_split_and_marks_what_was_found(source: DataSource) -> None:
    window = read_window(source, "train", 3, 5, match=Match(4, 5))
    ids = [token.token for token in window.tokens]
    assert ids == source.dataset.train[3:8].tolist()
    assert "".join(token.text for token in window.tokens) == source.tokenizer.decode(ids)
    assert [token.is_found for token in window.tokens] == [False, True, True, False, False]
    last = read_window(source, "val", 10**9, 5)
    assert (last.first, len(last.tokens)) == (len(source.dataset.val) - 1, 1)


def test_a_window_knows_its_line_once_lines_are_counted(source: DataSource) -> None:
    statistics = split_statistics(source.dataset.train, source.table, source.end_token, size=100)
    assert statistics is not None
    text = source.tokenizer.decode(source.dataset.train[:300].tolist())
    window = read_window(source, "train", 300, 5, statistics=statistics)
    assert window.line == text.count("\n") + 1


def test_the_batch_of_a_step_is_the_one_that_training_draws(source: DataSource) -> None:
    batch = read_batch(source, 3)
    inputs, targets = training_batches(source.config, source.dataset).batch(8, 4)
    for row, given, wanted in zip(batch.rows, inputs, targets, strict=True):
        assert [token.token for token in row.tokens] == [*given.tolist(), wanted[-1]]
        assert row.masked == 0
    assert batch.targets == targets.size
    for step in (0, 21):
        with pytest.raises(UsageError, match=f"no step {step} in 20"):
            read_batch(source, step)


@pytest.mark.parametrize("packing", [True, False])
def test_what_follows_the_end_of_an_example_is_masked(source: DataSource, packing: bool) -> None:
    end = source.tokenizer.encode("\n")[0]
    base = source.config.hf_model.model_copy(update={"packing": packing})
    examples = dataclasses.replace(
        source,
        dataset=dataclasses.replace(source.dataset, end_token=end),
        config=source.config.model_copy(update={"hf_model": base}),
    )
    seen = 0
    for step in range(1, 6):
        for row in read_batch(examples, step).rows:
            assert row.tokens[-1].is_target
            for before, token in itertools.pairwise(row.tokens):
                assert token.is_target == (before.token != end)
            seen += row.masked
    # A row of its own for each example has nothing after its end.
    assert bool(seen) == packing


def test_a_vocabulary_is_sorted_and_rare_tokens_have_no_loss(source: DataSource) -> None:
    counted = [
        split_statistics(source.split(name), source.table, None) for name in ("train", "val")
    ]
    train, val = counted
    assert train is not None
    assert val is not None
    rows = vocabulary_rows(source.table, train, val, None, "count")
    assert [row.train for row in rows] == sorted((row.train for row in rows), reverse=True)
    assert sum(row.train_share for row in rows) == pytest.approx(1)
    assert [row.token for row in vocabulary_rows(source.table, train, val, None, "id", 3)] == [
        0,
        1,
        2,
    ]
    losses = np.full(source.table.vocab_size, np.nan)
    losses[2], losses[5] = 1.0, 3.0
    cost = TokenCost(losses, np.zeros(source.table.vocab_size))
    hard = vocabulary_rows(source.table, train, val, cost, "loss")
    assert [(row.token, row.loss) for row in hard[:3]] == [(5, 3.0), (2, 1.0), (0, None)]


def test_an_experiment_has_no_model_to_measure_with(source: DataSource) -> None:
    with pytest.raises(UsageError, match="has no model"):
        hardest_windows(source, None)


def test_reading_a_removed_dataset_is_refused(source: DataSource) -> None:
    (source.dataset.folder / "meta.pkl").unlink()
    with pytest.raises(DataError, match="prepared again or removed"):
        read_window(source, "train", 0, 5)
