"""Export of what a pane of the Data view shows, as CSV or in the form of `tp data --json`."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from transformer_playground.dataset_views.csv_rows import part_csv
from transformer_playground.dataset_views.document import (
    batch_part,
    dataset_document,
    documents_part,
    hardest_part,
    overlap_part,
    vocabulary_part,
    window_part,
)
from transformer_playground.dataset_views.measures import TokenCost
from transformer_playground.dataset_views.reading import StepBatch, TokenWindow
from transformer_playground.dataset_views.source import DataSource
from transformer_playground.dataset_views.vocabulary import Sort, vocabulary_rows
from transformer_playground.errors import ExportError
from transformer_playground.files import replace_json, replace_text, timestamped, write_new_file
from transformer_playground.tui.data.lists import Results
from transformer_playground.tui.data.service import Counts

FORMATS: Mapping[str, str] = {
    "csv": "CSV, a row for each entry",
    "json": "JSON, as printed by tp data --json",
}

Parts = Mapping[str, Any]
"""Parts of the document of a dataset by name; the first one is that of a table."""


def parts_of(
    pane: str, source: DataSource, results: Results, shown: TokenWindow | StepBatch | None
) -> Callable[[], Parts]:
    """What a pane shows, all of it; called in a thread.

    Args:
        pane: Its name.
        source: The dataset.
        results: What is known of it now.
        shown: What the text pane shows.

    Raises:
        ExportError: It shows nothing yet.
    """
    counts, batch = results.counts, results.batch
    if pane == "text":
        if isinstance(shown, TokenWindow):
            return partial(_part, "window", window_part, source, shown)
        batch = shown
    if pane in ("text", "batch") and batch is not None:
        return partial(_part, "batch", batch_part, source, batch)
    if pane == "hardest" and results.hardest is not None:
        return partial(_part, "hardest", hardest_part, source, results.hardest)
    if counts is None or pane in ("text", "batch", "hardest"):
        raise ExportError("There is nothing to export here yet.", "Count or measure it first.")
    if pane == "vocabulary":
        return partial(_vocabulary, source, counts, results.cost, results.sort)
    return partial(_documents if pane == "documents" else _overlap, counts)


def _part(name: str, part: Callable[..., Any], *arguments: Any) -> Parts:
    return {name: part(*arguments)}


def _vocabulary(source: DataSource, counts: Counts, cost: TokenCost | None, sort: Sort) -> Parts:
    rows = vocabulary_rows(source.table, counts.train, counts.val, cost, sort)
    return {"vocabulary": vocabulary_part(rows)}


def _overlap(counts: Counts) -> Parts:
    return {"overlap": overlap_part(counts.overlap)}


def _documents(counts: Counts) -> Parts:
    documents = documents_part({"train": counts.train, "val": counts.val})
    return {"documents": documents, **_overlap(counts)}


def export_parts(kind: str, source: DataSource, parts: Callable[[], Parts], folder: Path) -> Path:
    """Write to a new file of `folder`.

    Args:
        kind: A key of `FORMATS`.
        source: The dataset.
        parts: From `parts_of`.
        folder: The folder.

    Raises:
        PlaygroundError: OSError while writing, or the dataset has changed.
    """
    found = parts()
    name = next(iter(found))

    def write(path: Path) -> None:
        if kind == "json":
            replace_json(path, dataset_document(source, found))
        else:
            replace_text(path, part_csv(name, found[name]))

    return write_new_file(folder, timestamped(f"data-{name}"), kind, write)
