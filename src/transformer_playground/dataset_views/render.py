"""Text output of `tp data`, 80 cells wide."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from transformer_playground.formatting import count_text, counted, loss_text, percent_text
from transformer_playground.tables import Column, table_lines
from transformer_playground.terminal import visible, visible_line

Document = Mapping[str, Any]

_WIDTH = 80
_MOST_TOKENS, _MOST_LINES, _MOST_WINDOWS = 40, 20, 20
_LONGEST = 60
_BAR = 30


def data_text(document: Document) -> str:
    """A document of `data_document` for people."""
    return "\n".join(_lines(document))


def _lines(document: Document) -> Iterator[str]:
    yield visible_line(f"{document['name']} · {document['folder']}")
    yield (
        f"train {document['train_tokens']:,} tokens, val {document['val_tokens']:,}, vocabulary "
        f"{document['vocab_size']:,}, {document['val_bytes_per_token']:.2f} bytes per token"
    )
    parts: dict[str, Callable[[Any], Iterator[str]]] = {
        "window": _window,
        "search": _search,
        "batch": _batch,
        "vocabulary": _vocabulary,
        "documents": _documents,
        "overlap": _overlap,
        "hardest": _hardest,
    }
    for name, write in parts.items():
        if document[name] is not None:
            yield ""
            yield from write(document[name])


def _window(found: Document) -> Iterator[str]:
    last = found["first"] + len(found["ids"]) - 1
    yield (
        f"window {found['number']:,} of 0–{found['windows'] - 1:,} of {found['split']}, "
        f"tokens {found['first']:,}–{last:,}"
    )
    yield "·".join(visible_line(piece.replace("\n", "⏎")) for piece in found["pieces"])
    yield " ".join(map(str, found["ids"]))


def _search(found: Document) -> Iterator[str]:
    text = visible_line(found["text"])
    if found["first"] is None:
        yield f"“{text}” is not in {found['split']}"
        return
    yield f"“{text}” stands at token {found['first']:,} of {found['split']}"
    yield visible(found["context"])


def _batch(found: Document) -> Iterator[str]:
    yield (
        f"step {found['step']:,}: {len(found['rows'])} sequences, {found['targets']:,} targets, "
        f"seed {found['seed']}, {found['order']} order"
    )
    for number, row in enumerate(found["rows"]):
        masked = f" ({row['masked']} masked)" if row["masked"] else ""
        yield f"{number:>3}{masked} {visible_line(row['text'])[:_LONGEST]}"


def _vocabulary(rows: list[Document]) -> Iterator[str]:
    shown = rows[:_MOST_TOKENS]
    yield f"vocabulary, {len(shown)} of {len(rows):,} tokens by count"
    yield from table_lines(
        [
            Column("token", [f"“{visible_line(row['text'])}”" for row in shown]),
            Column("id", [str(row["token"]) for row in shown], right_aligned=True),
            Column("train", [count_text(row["train"]) for row in shown], right_aligned=True),
            Column("share", [percent_text(row["train_share"]) for row in shown], True),
            Column("val", [count_text(row["val"]) for row in shown], right_aligned=True),
        ],
        _WIDTH,
    )


def _documents(found: Mapping[str, Document]) -> Iterator[str]:
    for split, each in found.items():
        unit = each["unit"]
        yield (
            f"{split}: {counted(each['count'], unit)}, {counted(each['lines'], 'line')}; "
            f"tokens of a {unit}: median {each['median_tokens']:,}, "
            f"longest {each['longest_tokens']:,}"
        )
        most = max((bar["count"] for bar in each["histogram"]), default=1)
        for bar in each["histogram"]:
            name = f"{bar['from']:,}–{bar['to']:,}"
            yield f"{name:>21} {'█' * -(-_BAR * bar['count'] // most):<{_BAR}} {bar['count']:,}"


def _overlap(found: Document) -> Iterator[str]:
    share = percent_text(found["shared"] / max(1, found["val_lines"]))
    yield (
        f"{found['shared']:,} of {found['val_lines']:,} validation lines ({share}) stand in the "
        "training text, too"
    )
    yield (
        f"repeat an earlier line: {found['train_repeated']:,} of {found['train_lines']:,} training "
        f"lines, {found['val_repeated']:,} validation lines"
    )
    if not found["is_whole"]:
        yield f"only the first {found['train_lines']:,} training lines were compared"
    for line in found["longest"][:_MOST_LINES]:
        yield f"{line['characters']:>6} {visible_line(line['text'])[:_LONGEST]}"


def _hardest(rows: list[Document]) -> Iterator[str]:
    shown = rows[:_MOST_WINDOWS]
    yield (
        f"hardest windows of val, {len(shown)} of {len(rows):,} by loss in nats per token of the "
        "best checkpoint"
    )
    for row in shown:
        text = visible_line(row["text"].replace("\n", "⏎"))[:_LONGEST]
        yield f"{loss_text(row['loss']):>7} {row['first']:>11,} {text}"
