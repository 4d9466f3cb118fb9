"""Train/validation split of a corpus, as streams of text and document boundaries."""

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.sources import bundestag
from transformer_playground.data.sources.text import END_TOKEN, SPEECH_TOKEN, lines_of, read_text
from transformer_playground.errors import DataError


class Boundary(enum.Enum):
    """A document boundary in a stream, encoded as a special token."""

    START = "start of a document"
    END = "end of a document"


Piece = str | Boundary


@dataclass(frozen=True)
class Split:
    """The two parts of a corpus; each call reads the files again."""

    train: Callable[[], Iterator[Piece]]
    val: Callable[[], Iterator[Piece]]
    end_bytes: int
    """Bytes of text counted for an END boundary, for bits per byte."""


def plain_text(pieces: Iterator[Piece]) -> Iterator[str]:
    """A stream as text; a boundary becomes a line end."""
    return ("\n" if isinstance(piece, Boundary) else piece for piece in pieces)


def split_corpus(paths: Sequence[Path], config: PrepareConfig, *, end_of_text: str | None) -> Split:
    r"""Split a corpus into training and validation.

    `documents = "files"`: documents joined by `doc_separator`; the last `val_fraction` of the
    characters is for validation (as in nanoGPT). A separator equal to `end_of_text`, the
    tokenizer's end-of-text token, becomes an END boundary.

    `documents = "lines"`: each stripped non-empty line is a document, between START and END
    boundaries if the tokenizer has an `end_of_text`, else followed by "\n"; random lines are for
    validation.

    Raises:
        DataError: The corpus is empty or too small to divide, or a file is unusable.
    """
    if config.documents == "lines":
        return _split_lines(paths, config, marked=end_of_text is not None)
    return _split_files(paths, config, end_of_text)


def _split_files(paths: Sequence[Path], config: PrepareConfig, end_of_text: str | None) -> Split:
    separator: Piece = config.doc_separator
    if separator == end_of_text:
        separator = Boundary.END
    mark_length = len(config.doc_separator)

    def joined() -> Iterator[Piece]:
        first = True
        for document in _documents(paths, structured=config.add_structure_tokens):
            if not first:
                yield separator
            first = False
            yield from document

    total, blank = 0, True
    for piece in joined():
        total += mark_length if isinstance(piece, Boundary) else len(piece)
        blank = blank and (isinstance(piece, Boundary) or not piece.strip())
    if blank:
        raise _empty(paths)
    cut = int(total * (1 - config.val_fraction))
    if not 0 < cut < total:
        raise DataError(
            f"A corpus of {total} characters cannot be divided with "
            f"val_fraction = {config.val_fraction:g}.",
            "Add text, or change prepare.val_fraction.",
        )
    return Split(
        train=lambda: _between(joined(), 0, cut, mark_length),
        val=lambda: _between(joined(), cut, total, mark_length),
        end_bytes=0,
    )


def _between(pieces: Iterator[Piece], start: int, stop: int, mark_length: int) -> Iterator[Piece]:
    """Characters `start` to `stop`; a boundary belongs to the side where it begins."""
    position = 0
    for piece in pieces:
        begin = position
        if begin >= stop:
            return
        if isinstance(piece, Boundary):
            position += mark_length
            if begin >= start:
                yield piece
            continue
        position += len(piece)
        if wanted := piece[max(0, start - begin) : stop - begin]:
            yield wanted


def _split_lines(paths: Sequence[Path], config: PrepareConfig, *, marked: bool) -> Split:
    def lines() -> Iterator[str]:
        for document in _documents(paths, structured=config.add_structure_tokens):
            yield from filter(None, map(str.strip, lines_of(document)))

    total = sum(1 for _ in lines())
    if not total:
        raise _empty(paths)
    if total == 1:
        raise DataError(
            "A corpus of one line cannot be divided into training and validation.",
            "Add lines, or set prepare.documents = 'files'.",
        )
    held_out = min(total - 1, max(1, round(total * config.val_fraction)))
    for_val = np.zeros(total, dtype=np.bool_)
    chosen = np.random.default_rng(config.seed).permutation(total)[:held_out]
    for_val[chosen] = True

    def part(*, wanted: bool) -> Iterator[Piece]:
        for line, is_val in zip(lines(), for_val, strict=True):
            if is_val != wanted:
                continue
            if marked:
                yield Boundary.START
                yield line
                yield Boundary.END
            else:
                yield line + "\n"

    return Split(
        train=lambda: part(wanted=False), val=lambda: part(wanted=True), end_bytes=len("\n")
    )


def _documents(paths: Sequence[Path], *, structured: bool) -> Iterator[Iterator[str]]:
    """Non-empty documents as iterators over their pieces."""
    for path in paths:
        if path.suffix.lower() == ".xml":
            render = bundestag.marked_text if structured else bundestag.plain_text
            for speech in bundestag.read_speeches(path):
                yield iter([render(speech)])
            continue
        pieces = read_text(path)
        if (first := next(pieces, None)) is not None:
            yield _text_document(first, pieces, structured=structured)


def _text_document(first: str, others: Iterator[str], *, structured: bool) -> Iterator[str]:
    if structured:
        yield SPEECH_TOKEN + "\n"
    yield first
    yield from others
    if structured:
        yield "\n" + END_TOKEN


def _empty(paths: Sequence[Path]) -> DataError:
    shown = ", ".join(str(path) for path in paths[:3]) + (" …" if len(paths) > 3 else "")
    return DataError(f"There is no text in {shown}.", "Add text to this file or add another file.")
