"""Pieces of a corpus: text, document boundaries, and blocks of rows that are parsed when needed."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from transformer_playground.data.sources.rows import RowBlock, RowForm


class Boundary(enum.Enum):
    """A document boundary in a stream, encoded as a special token."""

    START = "start of a document"
    END = "end of a document"


Layout = Literal["joined", "marked", "lines"]
"""How documents follow each other: with a separator between two, between boundaries, or each with a
line end."""


@dataclass(frozen=True)
class RowSizes:
    """Sizes of the documents of a block.

    Attributes:
        count: Number of documents.
        characters: Their characters together.
        has_text: Whether any has text.
        lengths: Characters of each; empty unless they are asked for.
        with_text: Whether each has text; empty unless it is asked for.
        size: Bytes of the block in its file, for displays.
    """

    count: int
    characters: int
    has_text: bool
    lengths: npt.NDArray[np.int64]
    with_text: npt.NDArray[np.bool_]
    size: int = 0


def measure(block: RowBlock, *, form: RowForm, each: bool) -> RowSizes:
    """Parse a block for the sizes of its documents, together or of `each`."""
    documents = list(form.documents(block))
    lengths = np.fromiter(map(len, documents), dtype=np.int64, count=len(documents))
    with_text = np.fromiter((bool(text.strip()) for text in documents), dtype=np.bool_)
    kept = slice(None if each else 0)
    together = len(documents), int(lengths.sum()), bool(with_text.any())
    return RowSizes(*together, lengths[kept], with_text[kept], block.size)


@dataclass(frozen=True)
class Rows:
    """Documents of a block of rows, as one piece of a stream.

    Attributes:
        block: The rows; None where only the length is of interest.
        count: Number of chosen documents, at least one.
        characters: Their characters, without separators.
        layout: How they follow each other.
        separator: Text or boundary between two documents (layout "joined").
        mark_length: Characters that a separator counts as.
        is_led: Whether a separator comes before the first document.
        chosen: Which documents are taken; None = all.
    """

    block: RowBlock | None
    form: RowForm
    count: int
    characters: int
    layout: Layout = "joined"
    separator: "str | Boundary" = ""
    mark_length: int = 0
    is_led: bool = False
    chosen: npt.NDArray[np.bool_] | None = None

    @property
    def length(self) -> int:
        """Characters with those of the separators."""
        return self.characters + self.mark_length * (self.count - 1 + self.is_led)

    @property
    def last_boundary(self) -> Boundary | None:
        """The boundary at its end, if any."""
        return Boundary.END if self.layout == "marked" else None

    def led(self) -> "Rows":
        """The same with a separator before it."""
        return replace(self, is_led=True)

    def pieces(self) -> Iterator["str | Boundary"]:
        """Its text and boundaries.

        Raises:
            DataError: A row is not valid, or the file has changed since it was measured.
        """
        if self.block is None:
            raise ValueError("rows without a block have no text")
        documents = self.form.documents(self.block)
        if self.chosen is not None:
            marked = zip(documents, self.chosen, strict=True)
            documents = (document for document, is_chosen in marked if is_chosen)
        for number, document in enumerate(documents):
            match self.layout:
                case "joined":
                    if number or self.is_led:
                        yield self.separator
                    yield document
                case "marked":
                    yield from (Boundary.START, document, Boundary.END)
                case "lines":
                    yield document + "\n"


Piece = str | Boundary | Rows


def plain_text(pieces: Iterator[Piece]) -> Iterator[str]:
    """A stream as text; a boundary becomes a line end."""
    for piece in pieces:
        if isinstance(piece, Rows):
            yield from plain_text(piece.pieces())
        else:
            yield "\n" if isinstance(piece, Boundary) else piece
