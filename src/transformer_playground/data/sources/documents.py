"""Train/validation split of a corpus, as streams of text and document boundaries."""

import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data.sources import bundestag
from transformer_playground.data.sources.pieces import (
    Boundary,
    Layout,
    Piece,
    Rows,
    RowSizes,
    measure,
)
from transformer_playground.data.sources.rows import RowBlock, RowForm, is_row_file, read_blocks
from transformer_playground.data.sources.text import END_TOKEN, SPEECH_TOKEN, lines_of, read_text
from transformer_playground.errors import DataError

Measure = Callable[[Callable[[RowBlock], RowSizes], Iterator[RowBlock]], Iterator[RowSizes]]
"""Applies a function to blocks of rows, in order: `map`, or processes that do the same."""


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


def split_corpus(
    paths: Sequence[Path],
    config: PrepareConfig,
    *,
    end_of_text: str | None,
    measured: Measure = map,
    advance: Callable[[int], object] = lambda _: None,
) -> Split:
    r"""Split a corpus into training and validation.

    `documents = "files"`: documents joined by `doc_separator`; each row of a .jsonl or .parquet is
    a document. For validation is the last `val_fraction` of the characters of each file, or of the
    whole text (as in nanoGPT), or of the documents in a random order, as `val_split` says. A
    separator equal to `end_of_text`, the tokenizer's end-of-text token, becomes an END boundary.

    `documents = "lines"`: each stripped non-empty line or row is a document, between START and END
    boundaries if the tokenizer has an `end_of_text`, else followed by "\n"; random ones are for
    validation.

    Args:
        paths: The files.
        config: The `[prepare]` table.
        end_of_text: Text of the tokenizer's end-of-text token, if it has one.
        measured: Applies a function to all blocks of rows.
        advance: Called with the number of bytes after each block of rows that is measured.

    Raises:
        DataError: The corpus is empty or too small to divide, or a file is unusable.
    """
    by_line = config.documents == "lines"
    form = RowForm(stripped=by_line, structured=config.add_structure_tokens)
    separator: str | Boundary = config.doc_separator
    if separator == end_of_text:
        separator = Boundary.END
    layout: Layout = "joined"
    if by_line:
        layout = "marked" if end_of_text is not None else "lines"
    files = [path for path in paths if is_row_file(path)]
    corpus = _Corpus(config, form, layout, separator, {}, by_line=by_line)
    is_random = by_line or config.val_split == "random_documents"
    for path in files:
        measure_block = partial(measure, form=form, each=is_random)
        sizes = corpus.sizes[path] = []
        for each in measured(measure_block, read_blocks(path, config.text_column)):
            sizes.append(each)
            advance(each.size)
    if is_random:
        return _split_documents(paths, corpus)
    parts = [paths] if config.val_split == "text_end" else [[path] for path in paths]
    return _split_ends(parts, corpus)


def held_out(total: int, config: PrepareConfig) -> npt.NDArray[np.bool_]:
    """Random choice of `val_fraction` of `total` >= 2 documents, at least one and not all."""
    count = min(total - 1, max(1, round(total * config.val_fraction)))
    for_val = np.zeros(total, dtype=np.bool_)
    for_val[np.random.default_rng(config.seed).permutation(total)[:count]] = True
    return for_val


@dataclass(frozen=True)
class _Corpus:
    """How the documents of a corpus are read.

    Attributes:
        sizes: The sizes of each block of each file of rows.
        by_line: Whether each line of a text is a document.
    """

    config: PrepareConfig
    form: RowForm
    layout: Layout
    separator: str | Boundary
    sizes: dict[Path, list[RowSizes]]
    by_line: bool

    @property
    def mark_length(self) -> int:
        """Characters that a separator counts as."""
        return len(self.config.doc_separator)

    def texts(self, path: Path) -> Iterator[Iterable[str]]:
        """The documents of a text or protocol."""
        documents = _documents(path, structured=self.config.add_structure_tokens)
        if not self.by_line:
            yield from documents
            return
        for document in documents:
            yield from ((line,) for line in map(str.strip, lines_of(document)) if line)

    def blocks(self, path: Path) -> Iterator[tuple[RowBlock, RowSizes]]:
        """The blocks of a file of rows with their sizes.

        Raises:
            DataError: The file has other blocks than when it was measured.
        """
        blocks = read_blocks(path, self.config.text_column)
        for block, sizes in zip_longest(blocks, self.sizes[path]):
            if block is None or sizes is None:
                raise DataError(f"{path} has changed while it was read.", "Prepare again.")
            yield block, sizes

    def rows(
        self,
        block: RowBlock | None,
        count: int,
        characters: int,
        chosen: npt.NDArray[np.bool_] | None = None,
    ) -> Rows:
        """A piece of the stream with documents of a block."""
        return Rows(
            block,
            self.form,
            count,
            characters,
            self.layout,
            self.separator,
            self.mark_length,
            chosen=chosen,
        )


def _joined(documents: Iterable[Iterable[Piece]], separator: Piece) -> Iterator[Piece]:
    for number, document in enumerate(documents):
        for place, piece in enumerate(document):
            if not number or place:
                yield piece
            elif isinstance(piece, Rows) and not piece.is_led:
                # Encoded together with the rows.
                yield piece.led()
            else:
                yield separator
                yield piece


def _split_ends(parts: Sequence[Sequence[Path]], corpus: _Corpus) -> Split:
    """Hold out the end of each part; the parts are joined by the separator, too."""
    config, mark_length = corpus.config, corpus.mark_length

    def documents_of(part: Sequence[Path], *, is_read: bool) -> Iterator[Iterable[Piece]]:
        for path in part:
            if path not in corpus.sizes:
                yield from corpus.texts(path)
                continue
            measured = ((None, sizes) for sizes in corpus.sizes[path])
            for block, sizes in corpus.blocks(path) if is_read else measured:
                if sizes.count:
                    yield [corpus.rows(block, sizes.count, sizes.characters)]

    def text_of(part: Sequence[Path], *, is_read: bool = True) -> Iterator[Piece]:
        return _joined(documents_of(part, is_read=is_read), corpus.separator)

    totals = [0] * len(parts)
    blank = not any(each.has_text for sizes in corpus.sizes.values() for each in sizes)
    for number, part in enumerate(parts):
        for piece in text_of(part, is_read=False):
            totals[number] += _length(piece, mark_length)
            blank = blank and not (isinstance(piece, str) and piece.strip())
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
        return _joined(cut_texts, corpus.separator)

    return Split(
        train=lambda: side([0] * len(parts), cuts),
        val=lambda: side(cuts, totals),
        train_characters=sum(cuts),
        val_characters=sum(totals) - sum(cuts),
        end_bytes=0,
    )


def _length(piece: Piece, mark_length: int) -> int:
    if isinstance(piece, Rows):
        return piece.length
    return mark_length if isinstance(piece, Boundary) else len(piece)


def _between(pieces: Iterator[Piece], start: int, stop: int, mark_length: int) -> Iterator[Piece]:
    """Characters `start` to `stop`; a boundary belongs to the side where it begins."""
    position = 0
    for piece in pieces:
        begin = position
        if begin >= stop:
            return
        position += _length(piece, mark_length)
        if isinstance(piece, str):
            if wanted := piece[max(0, start - begin) : stop - begin]:
                yield wanted
        elif begin >= start and (isinstance(piece, Boundary) or position <= stop):
            yield piece
        elif isinstance(piece, Rows) and position > start:
            yield from _between(piece.pieces(), start - begin, stop - begin, mark_length)


def _split_documents(paths: Sequence[Path], corpus: _Corpus) -> Split:
    """Divide documents at random; a document without text is for training."""
    lengths, has_text = _measured(paths, corpus)
    total = int(has_text.sum())
    if not total:
        raise no_text(paths)
    if total == 1:
        raise _indivisible(by_line=corpus.by_line)
    for_val = np.zeros(len(has_text), dtype=np.bool_)
    for_val[has_text] = held_out(total, corpus.config)

    def side(*, is_val: bool) -> Iterator[Piece]:
        documents = _chosen(paths, corpus, for_val == is_val)
        if corpus.layout == "joined":
            yield from _joined(documents, corpus.separator)
            return
        for document in documents:
            for piece in document:
                if isinstance(piece, Rows):
                    yield piece
                elif corpus.layout == "marked":
                    yield from (Boundary.START, piece, Boundary.END)
                else:
                    yield f"{piece}\n"

    return Split(
        train=lambda: side(is_val=False),
        val=lambda: side(is_val=True),
        train_characters=int(lengths[~for_val].sum()),
        val_characters=int(lengths[for_val].sum()),
        end_bytes=len("\n") if corpus.by_line else 0,
    )


def _chosen(
    paths: Sequence[Path], corpus: _Corpus, chosen: npt.NDArray[np.bool_]
) -> Iterator[Iterable[Piece]]:
    """The chosen documents, in order; those of a block of rows together."""
    number = 0
    for path in paths:
        if path not in corpus.sizes:
            for document in corpus.texts(path):
                if chosen[number]:
                    yield document
                number += 1
            continue
        for block, sizes in corpus.blocks(path):
            here = chosen[number : number + sizes.count]
            number += len(here)
            if here.any():
                characters = int(sizes.lengths[here].sum())
                yield [corpus.rows(block, int(here.sum()), characters, here)]


def _measured(
    paths: Sequence[Path], corpus: _Corpus
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Characters of each document, and whether it has text.

    A document without text must not be all that one side of a split has.
    """
    lengths, has_text = array.array("q"), bytearray()
    for path in paths:
        for sizes in corpus.sizes.get(path, ()):
            lengths.frombytes(sizes.lengths.tobytes())
            has_text += sizes.with_text.tobytes()
        if path in corpus.sizes:
            continue
        for document in corpus.texts(path):
            length, found = 0, False
            for piece in document:
                length += len(piece)
                found = found or bool(piece.strip())
            lengths.append(length)
            has_text.append(found)
    return np.frombuffer(lengths, dtype=np.int64), np.frombuffer(has_text, dtype=np.bool_)


def _indivisible(*, by_line: bool) -> DataError:
    if by_line:
        return DataError(
            "A corpus of one line cannot be divided into training and validation.",
            "Add lines, or set prepare.documents = 'files'.",
        )
    return DataError(
        "A corpus of one document cannot be divided by documents.",
        "Add files, or leave out prepare.val_split to hold out the end of the text.",
    )


def _documents(path: Path, *, structured: bool) -> Iterator[Iterator[str]]:
    """Non-empty documents of a text or protocol as iterators over their pieces."""
    if path.suffix.lower() == ".xml":
        render = bundestag.marked_text if structured else bundestag.plain_text
        for speech in bundestag.read_speeches(path):
            yield iter([render(speech)])
        return
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
