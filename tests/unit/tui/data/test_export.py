"""What a pane of the Data view shows, as a file."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.commands import make_project
from builders.corpora import prepare
from builders.schemas import check
from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.dataset_views.measures import HardWindow, TokenCost
from transformer_playground.dataset_views.reading import (
    StepBatch,
    TokenWindow,
    read_batch,
    read_window,
)
from transformer_playground.dataset_views.source import DataSource
from transformer_playground.errors import ExportError
from transformer_playground.tui.data.export import export_parts, parts_of
from transformer_playground.tui.data.lists import Results
from transformer_playground.tui.data.service import DataService, Target, Task


@pytest.fixture
def service(tmp_path: Path) -> DataService:
    project = make_project(tmp_path / "project")
    folder = project.experiment
    prepare(PrepareConfig(raw_dir=folder / "raw", dataset_dir=folder / "datasets"))
    return DataService(project.root / "experiments", project.root / "runs")


@pytest.fixture
def source(service: DataService) -> DataSource:
    return service.open(Target("experiment", "tiny"))


def written(
    folder: Path,
    pane: str,
    source: DataSource,
    results: Results,
    shown: TokenWindow | StepBatch | None = None,
) -> tuple[list[dict[str, str]], Any]:
    """Rows of the CSV file, and the JSON document."""
    parts = parts_of(pane, source, results, shown)
    table = export_parts("csv", source, parts, folder).read_text(encoding="utf-8")
    document = json.loads(export_parts("json", source, parts, folder).read_text(encoding="utf-8"))
    check("data", document)
    return [*csv.DictReader(table.splitlines())], document


def test_the_text_pane_writes_the_window_or_the_sequence_that_it_shows(
    source: DataSource, tmp_path: Path
) -> None:
    window = read_window(source, "val", 3, 5)
    rows, document = written(tmp_path, "text", source, Results(), window)
    assert [row["position"] for row in rows] == ["3", "4", "5", "6", "7"]
    assert [int(row["token"]) for row in rows] == document["window"]["ids"]
    assert (document["window"]["number"], document["window"]["split"]) == (None, "val")

    batch = read_batch(source, 2)
    one = StepBatch(2, batch.rows[1:2], 16)
    rows, document = written(tmp_path, "text", source, Results(batch=batch), one)
    (row,) = document["batch"]["rows"]
    assert rows[0]["tokens"].split() == [str(token) for token in row["ids"]]
    rows, document = written(tmp_path, "batch", source, Results(batch=batch))
    assert len(rows) == len(document["batch"]["rows"]) == len(batch.rows)


def test_lists_are_written_in_full_and_as_they_are_sorted(
    service: DataService, source: DataSource, tmp_path: Path
) -> None:
    size = source.table.vocab_size
    cost = TokenCost(np.arange(size, dtype=np.float64), np.full(size, 1 / size))
    results = Results(counts=service.count(source, Task("counting")), cost=cost, sort="loss")
    rows, document = written(tmp_path, "vocabulary", source, results)
    assert [float(row["loss"]) for row in rows] == [*reversed(range(size))]
    assert document["vocabulary"][0]["loss_share"] == 1 / size

    rows, document = written(tmp_path, "documents", source, results)
    assert {row["split"] for row in rows} == {"train", "val"}
    assert document["overlap"]["shared"] == 0
    rows, document = written(tmp_path, "shared", source, results)
    assert rows == document["overlap"]["longest"] == []

    results.hardest = (HardWindow(16, 2.5, 16), HardWindow(0, 2.25, 16))
    rows, document = written(tmp_path, "hardest", source, results)
    assert [(row["first"], row["loss"]) for row in rows] == [("16", "2.5"), ("0", "2.25")]
    assert document["hardest"][1]["text"].startswith(
        source.tokenizer.decode(source.dataset.val[:20].tolist())
    )


@pytest.mark.parametrize("pane", ["text", "batch", "vocabulary", "documents", "shared", "hardest"])
def test_a_pane_that_shows_nothing_yet_writes_nothing(source: DataSource, pane: str) -> None:
    with pytest.raises(ExportError, match="nothing to export"):
        parts_of(pane, source, Results(), None)
