"""Token files: text encoded piece by piece, never held as a whole."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from transformer_playground.data.sources.documents import Mark, Piece
from transformer_playground.data.tokenizers.base import Tokenizer
from transformer_playground.files import write_durably

# Characters encoded, and tokens written, in one go.
_CHUNK = 1 << 20


@dataclass
class EncodedFile:
    """What was written to a token file."""

    tokens: int = 0
    text_bytes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    sha256: str = ""


def token_dtype(vocab_size: int) -> str:
    """Choose the smaller of nanoGPT's uint16 and uint32 that holds every id."""
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


def write_tokens(
    path: Path, pieces: Iterator[Piece], tokenizer: Tokenizer, *, end_bytes: int
) -> EncodedFile:
    """Encode a stream of text and marks into a token file.

    A tokenizer whose start and end are the same token writes it once between two documents.
    Characters that the tokenizer lacks are left out and counted where it can do so.

    Args:
        path: The file to write.
        pieces: Text in any division; tokens come out as if it had been one text between marks.
        tokenizer: Gives ids.
        end_bytes: UTF-8 bytes that an END mark counts for.

    Raises:
        OSError: The disk refused.
    """
    encoded = EncodedFile()
    digest = hashlib.sha256()
    dtype = np.dtype(token_dtype(tokenizer.vocab_size))

    def write(file: Any) -> None:
        for ids in _gathered(_ids(pieces, tokenizer, encoded, end_bytes), dtype):
            content = ids.tobytes()
            digest.update(content)
            file.write(content)
            encoded.tokens += len(ids)

    write_durably(path, write)
    encoded.sha256 = digest.hexdigest()
    return encoded


def _gathered(
    arrays: Iterable[npt.NDArray[np.uint32]], dtype: np.dtype[Any]
) -> Iterator[npt.NDArray[Any]]:
    """Many small arrays as few large ones."""
    waiting: list[npt.NDArray[np.uint32]] = []
    size = 0
    for array in arrays:
        waiting.append(array)
        size += len(array)
        if size >= _CHUNK:
            yield np.concatenate(waiting).astype(dtype)
            waiting, size = [], 0
    if waiting:
        yield np.concatenate(waiting).astype(dtype)


def _ids(
    pieces: Iterator[Piece], tokenizer: Tokenizer, encoded: EncodedFile, end_bytes: int
) -> Iterator[npt.NDArray[np.uint32]]:
    last_mark: int | None = None
    for piece in _chunks(pieces, whole_words=not tokenizer.cuts_anywhere):
        if not isinstance(piece, Mark):
            last_mark = None
            yield _encode(piece, tokenizer, encoded)
            continue
        encoded.text_bytes += end_bytes if piece is Mark.END else 0
        token = tokenizer.bos_id if piece is Mark.START else tokenizer.eos_id
        if token is not None and not (piece is Mark.START and token == last_mark):
            yield np.array([token], dtype=np.uint32)
        last_mark = token


def _encode(text: str, tokenizer: Tokenizer, encoded: EncodedFile) -> npt.NDArray[np.uint32]:
    encoded.text_bytes += len(text.encode("utf-8"))
    ids, left_out = tokenizer.encode_known(text)
    encoded.left_out += left_out
    encoded.text_bytes -= sum(len(char.encode()) * count for char, count in left_out.items())
    return ids


def _chunks(pieces: Iterator[Piece], *, whole_words: bool) -> Iterator[Piece]:
    """Text in chunks that encode as the whole would, and the marks between them."""
    waiting: list[str] = []
    size, limit = 0, _CHUNK
    for piece in pieces:
        if isinstance(piece, Mark):
            if waiting:
                yield "".join(waiting)
            yield piece
            waiting, size, limit = [], 0, _CHUNK
            continue
        waiting.append(piece)
        size += len(piece)
        if size < limit:
            continue
        text = "".join(waiting)
        cut = _boundary(text) if whole_words else len(text)
        if cut:
            yield text[:cut]
        waiting, size = [text[cut:]], len(text) - cut
        # Text without white space has no place to cut; looking ever less often stays linear.
        limit = size + max(_CHUNK, size)
    if rest := "".join(waiting):
        yield rest


def _boundary(text: str) -> int:
    """Find the last place where white space begins: no GPT-2 or SentencePiece token spans it."""
    for index in range(len(text) - 1, 0, -1):
        if text[index] in " \n" and not text[index - 1].isspace():
            return index
    return 0
