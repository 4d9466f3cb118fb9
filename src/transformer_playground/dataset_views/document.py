"""What is said of a dataset, as one document: by `tp data`, and by the exports of the console."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from transformer_playground.data.browsing.overlap import Overlap, line_overlap
from transformer_playground.data.browsing.search import find_text
from transformer_playground.data.browsing.statistics import SplitStatistics, split_statistics
from transformer_playground.dataset_views.measures import HardWindow, beginnings, hardest_windows
from transformer_playground.dataset_views.reading import (
    StepBatch,
    TokenWindow,
    read_batch,
    read_window,
)
from transformer_playground.dataset_views.source import SPLITS, DataSource
from transformer_playground.dataset_views.vocabulary import VocabularyRow, vocabulary_rows
from transformer_playground.errors import UsageError
from transformer_playground.jsonvalues import to_jsonable

PARTS = ("window", "search", "batch", "vocabulary", "documents", "overlap", "hardest")
"""What a document may hold beside the sizes."""

_AROUND = 32


@dataclass(frozen=True)
class DataRequest:
    """What to look at; sizes are always part of the document.

    Attributes:
        split: The split of a window or a search.
        window: Number of a window of the block size, counted from 0.
        search: A text to find, letter for letter.
        batch: Number of a step, counted from 1.
    """

    split: str = SPLITS[0]
    window: int | None = None
    search: str | None = None
    vocabulary: bool = False
    documents: bool = False
    overlap: bool = False
    batch: int | None = None
    hardest: bool = False


def dataset_document(source: DataSource, parts: Mapping[str, Any]) -> dict[str, Any]:
    """A document as described by docs/schemas/data.json.

    Args:
        source: The dataset.
        parts: Some of `PARTS` by name; the others are null.
    """
    dataset = source.dataset
    return {
        "schema_version": 1,
        "name": source.name,
        "folder": str(dataset.folder),
        "fingerprint": dataset.fingerprint,
        "train_tokens": len(dataset.train),
        "val_tokens": len(dataset.val),
        "vocab_size": dataset.vocab_size,
        "val_bytes_per_token": dataset.val_bytes_per_token,
        **{name: parts.get(name) for name in PARTS},
    }


def data_document(
    source: DataSource, request: DataRequest, experiments_dir: Path | None = None
) -> dict[str, Any]:
    """Look at a dataset, as described by docs/schemas/data.json.

    Args:
        source: The dataset.
        request: What to look at.
        experiments_dir: Where the dataset of a run that is measured may be, too.

    Raises:
        UsageError: There is no such window or step, or an experiment is to be measured.
        PlaygroundError: The dataset has changed or has a token beyond the vocabulary, or the run
            has no intact checkpoint to measure with.
    """
    counted: dict[str, SplitStatistics] = {}
    if request.vocabulary or request.documents or request.overlap:
        for name in SPLITS:
            found = split_statistics(source.split(name), source.table, source.end_token)
            if found is not None:
                counted[name] = found
    parts: dict[str, Any] = {}
    if request.window is not None:
        parts["window"] = _window(source, request, request.window)
    if request.search is not None:
        parts["search"] = _search(source, request, request.search)
    if request.batch is not None:
        parts["batch"] = batch_part(source, read_batch(source, request.batch))
    if request.vocabulary:
        rows = vocabulary_rows(source.table, counted["train"], counted["val"], None, "count")
        parts["vocabulary"] = vocabulary_part(rows)
    if request.documents:
        parts["documents"] = documents_part(counted)
    if request.overlap:
        dataset, end_token = source.dataset, counted["train"].end_token
        overlap = line_overlap(dataset.train, dataset.val, source.table, end_token)
        parts["overlap"] = None if overlap is None else overlap_part(overlap)
    if request.hardest:
        parts["hardest"] = hardest_part(source, hardest_windows(source, experiments_dir) or ())
    return dataset_document(source, parts)


def window_part(source: DataSource, window: TokenWindow) -> dict[str, Any]:
    """Consecutive tokens of a split."""
    size = source.config.train_block_size
    ids = [token.token for token in window.tokens]
    is_numbered = window.first % size == 0 and len(ids) <= size
    return {
        "split": window.split,
        "number": window.first // size if is_numbered else None,
        "windows": -(-window.total // size),
        "first": window.first,
        "ids": ids,
        "pieces": [token.text for token in window.tokens],
        "text": _text(source, ids),
    }


def batch_part(source: DataSource, batch: StepBatch) -> dict[str, Any]:
    """Sequences that a step draws."""
    rows = []
    for row in batch.rows:
        ids = [token.token for token in row.tokens]
        rows.append(
            {
                "micro_batch": row.micro_batch,
                "ids": ids,
                "is_target": [token.is_target for token in row.tokens],
                "masked": row.masked,
                "text": _text(source, ids),
            }
        )
    return {
        "step": batch.step,
        "seed": source.config.train.runtime.seed,
        "order": source.config.train.data.sampler,
        "targets": batch.targets,
        "rows": rows,
    }


def vocabulary_part(rows: Iterable[VocabularyRow]) -> list[dict[str, Any]]:
    """Tokens with their counts, and with their losses if these were measured."""
    return [
        {
            "token": row.token,
            "text": row.text,
            "train": row.train,
            "train_share": row.train_share,
            "val": row.val,
            "loss": row.loss,
            "loss_share": row.cost,
        }
        for row in rows
    ]


def documents_part(counted: Mapping[str, SplitStatistics]) -> dict[str, Any]:
    """Documents of each split by length."""
    return {
        name: {
            "unit": found.unit,
            "count": found.parts,
            "lines": found.lines,
            "median_tokens": found.median_length(),
            "longest_tokens": max(found.lengths, default=0),
            "longest_first": found.longest,
            "histogram": [
                {"from": low, "to": high, "count": count} for low, high, count in found.histogram()
            ],
        }
        for name, found in counted.items()
    }


def overlap_part(overlap: Overlap) -> dict[str, Any]:
    """Lines that both splits have."""
    found: dict[str, Any] = to_jsonable(overlap)
    return found


def hardest_part(source: DataSource, windows: Sequence[HardWindow]) -> list[dict[str, Any]]:
    """Windows of the validation split, the hardest first."""
    texts = beginnings(source, windows)
    return [
        {"first": window.first, "loss": window.loss, "targets": window.targets, "text": text}
        for window, text in zip(windows, texts, strict=True)
    ]


def _window(source: DataSource, request: DataRequest, number: int) -> dict[str, Any]:
    size, total = source.config.train_block_size, len(source.split(request.split))
    windows = -(-total // size)
    if not 0 <= number < windows:
        raise UsageError(
            f"There is no window {number:,} in {request.split}, which has {windows:,} of {size:,} "
            "tokens.",
            f"Windows are counted from 0 to {windows - 1:,}.",
        )
    return window_part(source, read_window(source, request.split, number * size, size))


def _search(source: DataSource, request: DataRequest, text: str) -> dict[str, Any]:
    tokens = source.split(request.split)
    if not text:
        raise UsageError("There is nothing to search for.", "Give --search a text.")
    match = find_text(tokens, source.table, text, 0)
    found: dict[str, Any] = {"split": request.split, "text": text, "first": None, "context": None}
    if match is not None:
        first = max(0, match.first - _AROUND)
        around = np.asarray(tokens[first : match.last + 1 + _AROUND]).tolist()
        found |= {"first": match.first, "context": _text(source, around)}
    return found


def _text(source: DataSource, ids: list[int]) -> str:
    return source.table.text(np.array(ids, dtype=np.int64)).decode("utf-8", "replace")
