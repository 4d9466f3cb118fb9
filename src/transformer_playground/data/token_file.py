"""Token files: a stream of text and document boundaries, encoded and written with its metadata."""

import hashlib
import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from transformer_playground.data.dataset import token_dtype
from transformer_playground.data.sources.documents import Boundary, Piece
from transformer_playground.data.tokenizers import Tokenizer
from transformer_playground.files import write_durably

# Characters encoded and tokens written at once. Large enough for threads to gain, small enough for
# the caches of a processor.
_CHUNK = 1 << 19
# Chunks that wait for a thread, so that none is idle while tokens are written.
_WAITING = 1


@dataclass
class EncodedFile:
    """Statistics of a written token file."""

    tokens: int = 0
    text_bytes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    sha256: str = ""


def write_tokens(
    path: Path,
    pieces: Iterator[Piece],
    tokenizer: Tokenizer,
    *,
    end_bytes: int = 0,
    workers: int | None = None,
    advance: Callable[[int], object] = lambda _: None,
) -> EncodedFile:
    """Encode a stream of text and document boundaries into a token file.

    Text is encoded independently of its division into pieces and of the number of threads, which
    gain where the tokenizer's library releases Python's lock. If start and end are the same token,
    it is written once between two documents. A character tokenizer omits and counts unknown
    characters.

    Args:
        path: The file to write.
        pieces: Text and document boundaries.
        tokenizer: Tokenizer of the dataset.
        end_bytes: UTF-8 bytes counted for an END boundary.
        workers: Threads that encode; None = one for each core of this process.
        advance: Called with the number of characters after each part that is written.

    Raises:
        OSError: While writing.
    """
    encoded = EncodedFile()
    digest = hashlib.sha256()
    dtype = np.dtype(token_dtype(tokenizer.vocab_size))
    batches = _batches(_chunks(_slices(pieces), tokenizer.cut_before), tokenizer)

    def encode(batch: _Batch) -> _Encoded:
        return _encode_batch(batch, tokenizer, end_bytes, dtype)

    def write(file: Any) -> None:
        for part in _mapped(encode, batches, workers or core_count()):
            digest.update(part.content)
            file.write(part.content)
            encoded.tokens += len(part.content) // dtype.itemsize
            encoded.text_bytes += part.text_bytes
            encoded.left_out += part.left_out
            advance(part.characters)

    write_durably(path, write)
    encoded.sha256 = digest.hexdigest()
    return encoded


def core_count() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class _Batch:
    """Pieces that one thread encodes; `last_mark` is the boundary token just before them."""

    pieces: list[Piece]
    last_mark: int | None


@dataclass(frozen=True)
class _Encoded:
    """Tokens of a batch as bytes of the file, with its share of the statistics."""

    content: bytes
    characters: int
    text_bytes: int
    left_out: Counter[str]


def _mapped(
    encode: Callable[[_Batch], _Encoded], batches: Iterator[_Batch], workers: int
) -> Iterator[_Encoded]:
    """`map` by threads, in order, with few batches in memory at any time."""
    if workers == 1:
        yield from map(encode, batches)
        return
    waiting: deque[Future[_Encoded]] = deque()
    executor = ThreadPoolExecutor(workers, thread_name_prefix="encode")
    try:
        for batch in batches:
            waiting.append(executor.submit(encode, batch))
            if len(waiting) >= workers + _WAITING:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        executor.shutdown(cancel_futures=True)


def _batches(pieces: Iterator[Piece], tokenizer: Tokenizer) -> Iterator[_Batch]:
    """The stream in batches of about `_CHUNK` characters."""
    waiting: list[Piece] = []
    size = 0
    mark: int | None = None
    for piece in pieces:
        waiting.append(piece)
        size += 1 if isinstance(piece, Boundary) else len(piece)
        if size >= _CHUNK:
            yield _Batch(waiting, mark)
            mark = _mark(piece, tokenizer) if isinstance(piece, Boundary) else None
            waiting, size = [], 0
    if waiting:
        yield _Batch(waiting, mark)


def _mark(piece: Boundary, tokenizer: Tokenizer) -> int | None:
    return tokenizer.bos_id if piece is Boundary.START else tokenizer.eos_id


def _encode_batch(
    batch: _Batch, tokenizer: Tokenizer, end_bytes: int, dtype: np.dtype[Any]
) -> _Encoded:
    parts: list[npt.NDArray[np.uint32]] = []
    characters = text_bytes = 0
    left_out: Counter[str] = Counter()
    last_mark = batch.last_mark
    for piece in batch.pieces:
        if not isinstance(piece, Boundary):
            last_mark = None
            ids, unknown = tokenizer.encode_known(piece)
            parts.append(ids)
            characters += len(piece)
            text_bytes += len(piece.encode("utf-8"))
            text_bytes -= sum(len(char.encode()) * count for char, count in unknown.items())
            left_out += unknown
            continue
        text_bytes += end_bytes if piece is Boundary.END else 0
        token = _mark(piece, tokenizer)
        if token is not None and not (piece is Boundary.START and token == last_mark):
            parts.append(np.array([token], dtype=np.uint32))
        last_mark = token
    content = np.concatenate(parts).astype(dtype).tobytes() if parts else b""
    return _Encoded(content, characters, text_bytes, left_out)


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
