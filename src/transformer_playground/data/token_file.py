"""Token files: a stream of text and document boundaries, encoded and written with its metadata."""

import contextlib
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from transformer_playground.data.dataset import token_dtype
from transformer_playground.data.sources.pieces import Boundary, Piece, Rows
from transformer_playground.data.token_shards import ShardWriter
from transformer_playground.data.tokenizers import Tokenizer, load_tokenizer
from transformer_playground.data.workers import Workers, core_count

# Characters encoded and tokens written at once. Large enough for threads to gain, small enough for
# the caches of a processor.
_CHUNK = 1 << 19


@dataclass
class EncodedFile:
    """Statistics of a written token file.

    Attributes:
        sha256: SHA-256 of all tokens, however they are divided into shards.
        files: SHA-256 of each file by its name: the token file, or its shards.
    """

    tokens: int = 0
    text_bytes: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    sha256: str = ""
    files: dict[str, str] = field(default_factory=dict)


def write_tokens(
    path: Path,
    pieces: Iterator[Piece],
    tokenizer: Tokenizer,
    *,
    end_bytes: int = 0,
    workers: Workers | None = None,
    shard_bytes: int = 0,
    advance: Callable[[int], object] = lambda _: None,
) -> EncodedFile:
    """Encode a stream of text and document boundaries into a token file.

    Text is encoded independently of its division into pieces and of the number of workers. Threads
    gain where the tokenizer's library releases Python's lock. Rows are parsed by the workers, and
    the text of a block of rows is encoded by itself. If start and end are the same token, it is
    written once between two documents. A character tokenizer omits and counts unknown characters.

    Args:
        path: The file to write.
        pieces: Text and document boundaries.
        tokenizer: Tokenizer of the dataset.
        end_bytes: UTF-8 bytes counted for an END boundary.
        workers: Encode the text; None = a thread for each core of this process. Processes load the
            tokenizer from the folder of `path`.
        shard_bytes: Size of a shard, if the file is larger; 0 = one file of any size.
        advance: Called with the number of characters after each part that is written.

    Raises:
        OSError: While writing.
    """
    encoded = EncodedFile()
    dtype = np.dtype(token_dtype(tokenizer.vocab_size))
    batches = _batches(_chunks(_slices(pieces), tokenizer.cut_before), tokenizer)
    with contextlib.ExitStack() as opened:
        workers = workers or opened.enter_context(Workers(core_count()))
        encode = partial(_encode_batch, tokenizer, end_bytes=end_bytes, dtype=dtype)
        if workers.are_processes:
            encode = partial(_encode_saved, path.parent, end_bytes=end_bytes, dtype=dtype)
        writer = opened.enter_context(ShardWriter(path, shard_bytes))
        for part in workers.map(encode, batches):
            writer.write(part.content)
            encoded.tokens += len(part.content) // dtype.itemsize
            encoded.text_bytes += part.text_bytes
            encoded.left_out += part.left_out
            advance(part.characters)
    encoded.sha256, encoded.files = writer.sha256, writer.files
    return encoded


@dataclass(frozen=True)
class _Batch:
    """Pieces that one worker encodes; `last_mark` is the boundary token just before them."""

    pieces: list[Piece]
    last_mark: int | None


@dataclass(frozen=True)
class _Encoded:
    """Tokens of a batch as bytes of the file, with its share of the statistics."""

    content: bytes
    characters: int
    text_bytes: int
    left_out: Counter[str]


def _batches(pieces: Iterator[Piece], tokenizer: Tokenizer) -> Iterator[_Batch]:
    """The stream in batches of about `_CHUNK` characters."""
    waiting: list[Piece] = []
    size = 0
    mark: int | None = None
    for piece in pieces:
        if isinstance(piece, Rows):
            if waiting:
                yield _Batch(waiting, mark)
                mark = _mark_after(waiting[-1], tokenizer)
                waiting, size = [], 0
            yield _Batch([piece], mark)
            mark = _mark_after(piece, tokenizer)
            continue
        waiting.append(piece)
        size += 1 if isinstance(piece, Boundary) else len(piece)
        if size >= _CHUNK:
            yield _Batch(waiting, mark)
            mark = _mark_after(piece, tokenizer)
            waiting, size = [], 0
    if waiting:
        yield _Batch(waiting, mark)


def _mark_after(piece: Piece, tokenizer: Tokenizer) -> int | None:
    """The boundary token at the end of a piece, if it ends with one."""
    boundary = piece.last_boundary if isinstance(piece, Rows) else piece
    return _mark(boundary, tokenizer) if isinstance(boundary, Boundary) else None


def _mark(piece: Boundary, tokenizer: Tokenizer) -> int | None:
    return tokenizer.bos_id if piece is Boundary.START else tokenizer.eos_id


@functools.lru_cache(maxsize=1)
def _saved_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer that another process has saved."""
    return load_tokenizer(folder)


def _encode_saved(folder: Path, batch: _Batch, *, end_bytes: int, dtype: np.dtype[Any]) -> _Encoded:
    return _encode_batch(_saved_tokenizer(folder), batch, end_bytes=end_bytes, dtype=dtype)


def _parsed(pieces: Iterable[Piece], cut_before: str | None) -> Iterator[str | Boundary]:
    """The pieces of a batch, with rows as the text that they stand for."""
    for piece in pieces:
        if isinstance(piece, Rows):
            # They hold no rows themselves.
            yield from _parsed(_chunks(_slices(piece.pieces()), cut_before), cut_before)
        else:
            yield piece


def _encode_batch(
    tokenizer: Tokenizer, batch: _Batch, *, end_bytes: int, dtype: np.dtype[Any]
) -> _Encoded:
    parts: list[npt.NDArray[np.uint32]] = []
    characters = text_bytes = 0
    left_out: Counter[str] = Counter()
    last_mark = batch.last_mark
    for piece in _parsed(batch.pieces, tokenizer.cut_before):
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
        if not isinstance(piece, str):
            yield piece
        else:
            yield from (piece[start : start + _CHUNK] for start in range(0, len(piece), _CHUNK))


def _chunks(pieces: Iterator[Piece], cut_before: str | None) -> Iterator[Piece]:
    """Text in chunks that encode like the whole text, and what stands between them."""
    waiting: list[str] = []
    size, limit = 0, _CHUNK
    for piece in pieces:
        if not isinstance(piece, str):
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
