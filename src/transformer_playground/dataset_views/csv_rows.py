"""Parts of the document of a dataset as CSV: one row for each entry, at full precision."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from transformer_playground.tables import csv_text

Row = Sequence[Any]


def part_csv(name: str, part: Any) -> str:
    """A part of a dataset's document as CSV.

    Args:
        name: Which part: window, batch, vocabulary, documents, overlap or hardest.
        part: Its value, which is not null.
    """
    header, rows = _TABLES[name]
    return csv_text(header, rows(part))


def _window(part: Mapping[str, Any]) -> Iterator[Row]:
    for number, token in enumerate(zip(part["ids"], part["pieces"], strict=True)):
        yield (part["first"] + number, *token)


def _batch(part: Mapping[str, Any]) -> Iterator[Row]:
    for number, row in enumerate(part["rows"]):
        ids = " ".join(map(str, row["ids"]))
        yield part["step"], number, row["micro_batch"], row["masked"], ids, row["text"]


def _documents(part: Mapping[str, Any]) -> Iterator[Row]:
    for split, found in part.items():
        for bar in found["histogram"]:
            yield split, found["unit"], bar["from"], bar["to"], bar["count"]


_VOCABULARY = ("token", "text", "train", "train_share", "val", "loss", "loss_share")
_OVERLAP = ("text", "characters", "count", "val_token", "train_token")
_HARDEST = ("first", "loss", "targets", "text")


def _entries(header: Sequence[str]) -> Callable[[Sequence[Mapping[str, Any]]], Iterator[Row]]:
    return lambda part: ([entry[name] for name in header] for entry in part)


_TABLES: Mapping[str, tuple[Sequence[str], Callable[[Any], Iterator[Row]]]] = {
    "window": (("position", "token", "text"), _window),
    "batch": (("step", "sequence", "micro_batch", "masked", "tokens", "text"), _batch),
    "vocabulary": (_VOCABULARY, _entries(_VOCABULARY)),
    "documents": (("split", "unit", "from", "to", "count"), _documents),
    "overlap": (_OVERLAP, lambda part: _entries(_OVERLAP)(part["longest"])),
    "hardest": (_HARDEST, _entries(_HARDEST)),
}
