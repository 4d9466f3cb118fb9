"""What `tp data` says of a dataset, as one document."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from transformer_playground.data.browsing.overlap import line_overlap
from transformer_playground.data.browsing.search import find_text
from transformer_playground.data.browsing.statistics import SplitStatistics, split_statistics
from transformer_playground.dataset_views.reading import read_batch, read_window
from transformer_playground.dataset_views.source import SPLITS, DataSource
from transformer_playground.dataset_views.vocabulary import vocabulary_rows
from transformer_playground.errors import UsageError
from transformer_playground.jsonvalues import to_jsonable

_AROUND = 32


@dataclass(frozen=True)
class DataRequest:
    """What to look at; sizes are always part of the document.

    Attributes:
        split: The split of a window or a search.
        window: Number of a window of the block size, counted from 1.
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


def data_document(source: DataSource, request: DataRequest) -> dict[str, Any]:
    """Look at a dataset, as described by docs/schemas/data.json.

    Raises:
        UsageError: There is no such window or step.
        DataError: The dataset has changed, or has a token beyond the vocabulary.
    """
    dataset = source.dataset
    counted: dict[str, SplitStatistics] = {}
    if request.vocabulary or request.documents or request.overlap:
        for name in SPLITS:
            found = split_statistics(source.split(name), source.table, source.end_token)
            if found is not None:
                counted[name] = found
    return {
        "schema_version": 1,
        "name": source.name,
        "folder": str(dataset.folder),
        "fingerprint": dataset.fingerprint,
        "train_tokens": len(dataset.train),
        "val_tokens": len(dataset.val),
        "vocab_size": dataset.vocab_size,
        "val_bytes_per_token": dataset.val_bytes_per_token,
        "window": None if request.window is None else _window(source, request, request.window),
        "search": None if request.search is None else _search(source, request, request.search),
        "vocabulary": _vocabulary(source, counted) if request.vocabulary else None,
        "documents": _documents(counted) if request.documents else None,
        "overlap": _overlap(source, counted) if request.overlap else None,
        "batch": None if request.batch is None else _batch(source, request.batch),
    }


def _window(source: DataSource, request: DataRequest, number: int) -> dict[str, Any]:
    size, total = source.config.train_block_size, len(source.split(request.split))
    windows = -(-total // size)
    if not 1 <= number <= windows:
        raise UsageError(
            f"There is no window {number:,} in {request.split}, which has {windows:,} of {size:,} "
            "tokens.",
            "Windows are counted from 1.",
        )
    window = read_window(source, request.split, (number - 1) * size, size)
    ids = [token.token for token in window.tokens]
    return {
        "split": request.split,
        "number": number,
        "windows": windows,
        "first": window.first,
        "ids": ids,
        "pieces": [token.text for token in window.tokens],
        "text": _text(source, ids),
    }


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


def _vocabulary(source: DataSource, counted: dict[str, SplitStatistics]) -> list[dict[str, Any]]:
    rows = vocabulary_rows(source.table, counted["train"], counted["val"], None, "count")
    return [
        {
            "token": row.token,
            "text": row.text,
            "train": row.train,
            "train_share": row.train_share,
            "val": row.val,
        }
        for row in rows
    ]


def _documents(counted: dict[str, SplitStatistics]) -> dict[str, Any]:
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


def _overlap(source: DataSource, counted: dict[str, SplitStatistics]) -> dict[str, Any] | None:
    dataset, end_token = source.dataset, counted["train"].end_token
    found: dict[str, Any] = to_jsonable(
        line_overlap(dataset.train, dataset.val, source.table, end_token)
    )
    return found


def _batch(source: DataSource, step: int) -> dict[str, Any]:
    batch = read_batch(source, step)
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
        "step": step,
        "seed": source.config.train.runtime.seed,
        "order": source.config.train.data.sampler,
        "targets": batch.targets,
        "rows": rows,
    }


def _text(source: DataSource, ids: list[int]) -> str:
    return source.table.text(np.array(ids, dtype=np.int64)).decode("utf-8", "replace")
