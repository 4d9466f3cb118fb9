"""Token files: a stream of text and document boundaries, encoded and written with its metadata."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from transformer_playground.data.dataset import token_dtype
from transformer_playground.data.sources.documents import Boundary, Piece
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.files import write_durably

# Characters encoded and tokens written at once.
_CHUNK = 1 << 20


@dataclass
class EncodedFile:
    """Statistics of a written token file."""

    tokens: int = 0
    text_bytes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    sha256: str = ""


def write_tokens(
    path: Path, pieces: Iterator[Piece], tokenizer: Tokenizer, *, end_bytes: int = 0
) -> EncodedFile:
    """Encode a stream of text and document boundaries into a token file.

    Text is encoded independently of its division into pieces. If start and end are the same token,
    it is written once between two documents. A character tokenizer omits and counts unknown
    characters.

    Args:
        path: The file to write.
        pieces: Text and document boundaries.
        tokenizer: Tokenizer of the dataset.
        end_bytes: UTF-8 bytes counted for an END boundary.

    Raises:
        OSError: While writing.
    """
    encoded = EncodedFile()
    digest = hashlib.sha256()
    dtype = np.dtype(token_dtype(tokenizer.vocab_size))

    def write(file: Any) -> None:
        for ids in _batched(_ids(pieces, tokenizer, encoded, end_bytes), dtype):
            content = ids.tobytes()
            digest.update(content)
            file.write(content)
            encoded.tokens += len(ids)

    write_durably(path, write)
    encoded.sha256 = digest.hexdigest()
    return encoded


def _batched(
    arrays: Iterable[npt.NDArray[np.uint32]], dtype: np.dtype[Any]
) -> Iterator[npt.NDArray[Any]]:
    """Concatenate small arrays into large ones."""
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
    for piece in _chunks(_slices(pieces), tokenizer.cut_before):
        if not isinstance(piece, Boundary):
            last_mark = None
            yield _encode(piece, tokenizer, encoded)
            continue
        encoded.text_bytes += end_bytes if piece is Boundary.END else 0
        token = tokenizer.bos_id if piece is Boundary.START else tokenizer.eos_id
        if token is not None and not (piece is Boundary.START and token == last_mark):
            yield np.array([token], dtype=np.uint32)
        last_mark = token


def _encode(text: str, tokenizer: Tokenizer, encoded: EncodedFile) -> npt.NDArray[np.uint32]:
    encoded.text_bytes += len(text.encode("utf-8"))
    ids, left_out = tokenizer.encode_known(text)
    encoded.left_out += left_out
    encoded.text_bytes -= sum(len(char.encode()) * count for char, count in left_out.items())
    return ids


def _slices(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The stream with long texts divided."""
    for piece in pieces:
        if isinstance(piece, Boundary):
            yield piece
        else:
            yield from (piece[start : start + _CHUNK] for start in range(0, len(piece), _CHUNK))


def _chunks(pieces: Iterator[Piece], cut_before: str | None) -> Iterator[Piece]:
    """Text in chunks that encode like the whole text, and the boundaries between them."""
    waiting: list[str] = []
    size, limit = 0, _CHUNK
    for piece in pieces:
        if isinstance(piece, Boundary):
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
        cut = len(text) if cut_before is None else _boundary(text, cut_before)
        if cut:
            yield text[:cut]
        waiting, size = [text[cut:]], len(text) - cut
        # Searching less often keeps text without white space linear.
        limit = size + max(_CHUNK, size)
    if rest := "".join(waiting):
        yield rest


def _boundary(text: str, cut_before: str) -> int:
    """The last index where white space begins with one of these characters; 0 if there is none."""
    for index in range(len(text) - 1, 0, -1):
        if text[index] in cut_before and not text[index - 1].isspace():
            return index
    return 0


def describe_artifacts(
    target: Path,
    described: Mapping[str, Any],
    train: EncodedFile,
    val: EncodedFile,
    *,
    digests: Mapping[str, str],
    identity: object,
) -> dict[str, Any]:
    """The entries of `meta.pkl` for the artifacts in a folder.

    Args:
        target: The folder.
        described: The entries of the tokenizer.
        train: The training tokens.
        val: The validation tokens.
        digests: SHA-256 of every artifact.
        identity: JSON values of which the fingerprint of tokens and tokenizer is a hash.
    """
    return {
        **described,
        "dtype": token_dtype(described["vocab_size"]),
        "train_tokens": train.tokens,
        "val_tokens": val.tokens,
        "val_bytes": val.text_bytes,
        "files": {
            name: {"size": (target / name).stat().st_size, "sha256": digest}
            for name, digest in digests.items()
        },
        "fingerprint": hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
    }
