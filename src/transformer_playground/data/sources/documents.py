"""Train/validation split of a corpus, as streams of text and document boundaries."""

import array
import enum
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

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
    """The two parts of a corpus; each call reads the files again.

    The numbers of characters leave out separators between documents.
    """

    train: Callable[[], Iterator[Piece]]
    val: Callable[[], Iterator[Piece]]
    train_characters: int
    val_characters: int
    end_bytes: int
    """Bytes of text counted for an END boundary, for bits per byte."""


def plain_text(pieces: Iterator[Piece]) -> Iterator[str]:
    """A stream as text; a boundary becomes a line end."""
    return ("\n" if isinstance(piece, Boundary) else piece for piece in pieces)


def split_corpus(paths: Sequence[Path], config: PrepareConfig, *, end_of_text: str | None) -> Split:
    r"""Split a corpus into training and validation.

    `documents = "files"`: documents joined by `doc_separator`. For validation is the last
    `val_fraction` of the characters of each file, or of the whole text (as in nanoGPT), or of the
    documents in a random order, as `val_split` says. A separator equal to `end_of_text`, the
    tokenizer's end-of-text token, becomes an END boundary.

    `documents = "lines"`: each stripped non-empty line is a document, between START and END
    boundaries if the tokenizer has an `end_of_text`, else followed by "\n"; random lines are for
    validation.

    Raises:
        DataError: The corpus is empty or too small to divide, or a file is unusable.
    """
    if config.documents == "lines":
        return _split_lines(paths, config, marked=end_of_text is not None)
    separator: Piece = config.doc_separator
    if separator == end_of_text:
        separator = Boundary.END
    if config.val_split == "random_documents":
        return _split_documents(paths, config, separator)
    parts = [paths] if config.val_split == "text_end" else [[path] for path in paths]
    return _split_ends(parts, config, separator)


def held_out(total: int, config: PrepareConfig) -> npt.NDArray[np.bool_]:
    """Random choice of `val_fraction` of `total` >= 2 documents, at least one and not all."""
    count = min(total - 1, max(1, round(total * config.val_fraction)))
    for_val = np.zeros(total, dtype=np.bool_)
    for_val[np.random.default_rng(config.seed).permutation(total)[:count]] = True
    return for_val


def _joined(documents: Iterable[Iterable[Piece]], separator: Piece) -> Iterator[Piece]:
    for number, document in enumerate(documents):
        if number:
            yield separator
        yield from document


def _split_ends(parts: Sequence[Sequence[Path]], config: PrepareConfig, separator: Piece) -> Split:
    """Hold out the end of each part; the parts are joined by the separator, too."""
    mark_length = len(config.doc_separator)

    def text_of(part: Sequence[Path]) -> Iterator[Piece]:
        return _joined(_documents(part, structured=config.add_structure_tokens), separator)

    totals = [0] * len(parts)
    blank = True
    for number, part in enumerate(parts):
        for piece in text_of(part):
            totals[number] += mark_length if isinstance(piece, Boundary) else len(piece)
            blank = blank and (isinstance(piece, Boundary) or not piece.strip())
    if blank:
        raise no_text([path for part in parts for path in part])
    cuts = [int(total * (1 - config.val_fraction)) for total in totals]
    if not 0 < sum(cuts) < sum(totals):
        raise DataError(
            f"A corpus of {sum(totals)} characters cannot be divided with "
            f"val_fraction = {config.val_fraction:g}.",
            "Add text, or change prepare.val_fraction.",
        )

    def side(starts: Sequence[int], stops: Sequence[int]) -> Iterator[Piece]:
        cut_texts = (
            _between(text_of(part), start, stop, mark_length)
            for part, start, stop in zip(parts, starts, stops, strict=True)
            if start < stop
        )
        return _joined(cut_texts, separator)

    return Split(
        train=lambda: side([0] * len(parts), cuts),
        val=lambda: side(cuts, totals),
        train_characters=sum(cuts),
        val_characters=sum(totals) - sum(cuts),
        end_bytes=0,
    )


def _split_documents(paths: Sequence[Path], config: PrepareConfig, separator: Piece) -> Split:
    def texts() -> Iterator[Iterator[str]]:
        return _documents(paths, structured=config.add_structure_tokens)

    indivisible = DataError(
        "A corpus of one document cannot be divided by documents.",
        "Add files, or leave out prepare.val_split to hold out the end of the text.",
    )
    side, characters = _random_side(paths, config, texts, indivisible)
    return Split(
        train=lambda: _joined(side(False), separator),
        val=lambda: _joined(side(True), separator),
        train_characters=characters[False],
        val_characters=characters[True],
        end_bytes=0,
    )


def _random_side(
    paths: Sequence[Path],
    config: PrepareConfig,
    texts: Callable[[], Iterator[Iterable[str]]],
    indivisible: DataError,
) -> tuple[Callable[[bool], Iterator[Iterable[str]]], tuple[int, int]]:
    """Divide documents at random.

    Returns:
        A function that yields the documents for validation (True) or the others, and the
        characters of the others and of those for validation.

    Raises:
        DataError: There is no text, or one document with text: `indivisible`.
    """
    lengths, has_text = _measured(texts())
    total = int(has_text.sum())
    if not total:
        raise no_text(paths)
    if total == 1:
        raise indivisible
    for_val = np.zeros(len(has_text), dtype=np.bool_)
    for_val[has_text] = held_out(total, config)
    characters = int(lengths[~for_val].sum()), int(lengths[for_val].sum())

    def side(wanted: bool) -> Iterator[Iterable[str]]:
        chosen = zip(texts(), for_val, strict=True)
        return (document for document, is_val in chosen if is_val == wanted)

    return side, characters


def _measured(
    documents: Iterator[Iterable[str]],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Characters of each document, and whether it has text.

    A document without text must not be all that one side of a split has.
    """
    lengths, has_text = array.array("q"), bytearray()
    for document in documents:
        length, found = 0, False
        for piece in document:
            length += len(piece)
            found = found or bool(piece.strip())
        lengths.append(length)
        has_text.append(found)
    return np.frombuffer(lengths, dtype=np.int64), np.frombuffer(has_text, dtype=np.bool_)


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
    def lines() -> Iterator[Iterable[str]]:
        for document in _documents(paths, structured=config.add_structure_tokens):
            yield from ((line,) for line in map(str.strip, lines_of(document)) if line)

    def marked_lines(chosen: Iterable[Iterable[str]]) -> Iterator[Piece]:
        for (line,) in chosen:
            if marked:
                yield from (Boundary.START, line, Boundary.END)
            else:
                yield line + "\n"

    indivisible = DataError(
        "A corpus of one line cannot be divided into training and validation.",
        "Add lines, or set prepare.documents = 'files'.",
    )
    side, characters = _random_side(paths, config, lines, indivisible)
    return Split(
        train=lambda: marked_lines(side(False)),
        val=lambda: marked_lines(side(True)),
        train_characters=characters[False],
        val_characters=characters[True],
        end_bytes=len("\n"),
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


def no_text(paths: Sequence[Path]) -> DataError:
    """The error for files that are all empty."""
    shown = ", ".join(str(path) for path in paths[:3]) + (" …" if len(paths) > 3 else "")
    return DataError(f"There is no text in {shown}.", "Add text to this file or add another file.")
