"""Corpus: decoded text of a dataset, and real passages as long as the samples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformer_playground.data.dataset import Dataset
from transformer_playground.data.token_shards import TokenSource
from transformer_playground.data.tokenizers import Tokenizer

MAX_SEARCHED_BYTES = 50_000_000
"""UTF-8 bytes of a split that texts are compared with, unless another number is asked for."""
_CHUNK_TOKENS = 1 << 20


@dataclass(frozen=True)
class Corpus:
    """Decoded text of both splits, from their start.

    Attributes:
        train_share: Share of the training tokens that were decoded.
        val_share: Share of the validation tokens that were decoded.
        by_line: Whether each line is a document.
    """

    train: str
    train_share: float
    val: str
    val_share: float
    by_line: bool


@dataclass(frozen=True)
class Pieces:
    """Real text cut to the lengths of samples.

    Attributes:
        overlap: Whether pieces overlap, because the text is shorter than all of them together.
    """

    texts: tuple[str, ...]
    overlap: bool


def read_corpus(dataset: Dataset, tokenizer: Tokenizer, *, by_line: bool, max_bytes: int) -> Corpus:
    """Decode the splits of a dataset.

    Args:
        by_line: Whether each line is a document.
        max_bytes: Maximum UTF-8 bytes of text to decode per split.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    train, train_share = decode_split(dataset.train, tokenizer, max_bytes=max_bytes)
    val, val_share = decode_split(dataset.val, tokenizer, max_bytes=max_bytes)
    if by_line:
        train, val = "\n".join(_lines(train)), "\n".join(_lines(val))
    return Corpus(train, train_share, val, val_share, by_line)


def decode_split(tokens: TokenSource, tokenizer: Tokenizer, *, max_bytes: int) -> tuple[str, float]:
    """Text of a split up to a number of bytes, and the share of its tokens decoded.

    The end-of-text token becomes a line break, because no sample crosses it.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    token_bytes: dict[int, bytes] = {}
    if tokenizer.bos_id is not None:
        token_bytes[tokenizer.bos_id] = b""
    if tokenizer.eos_id is not None:
        token_bytes[tokenizer.eos_id] = b"\n"
    parts: list[bytes] = []
    left, done = max_bytes, 0
    while done < len(tokens) and left > 0:
        chunk = tokens[done : done + min(_CHUNK_TOKENS, left)].tolist()
        for token in set(chunk) - token_bytes.keys():
            token_bytes[token] = tokenizer.token_bytes(token)
        part = b"".join(map(token_bytes.__getitem__, chunk))
        parts.append(part)
        left -= len(part)
        done += len(chunk)
    return b"".join(parts).decode("utf-8", "replace"), done / len(tokens)


def real_pieces(text: str, lengths: Sequence[int], *, by_line: bool) -> Pieces:
    """Pieces of a text, spread evenly over it and without randomness.

    Args:
        lengths: Code points of each piece; a piece longer than the text is the whole text.
        by_line: Take whole lines, one per length; fewer if the text has fewer.
    """
    if by_line:
        lines = list(_lines(text))
        count = min(len(lengths), len(lines))
        return Pieces(tuple(lines[number * len(lines) // count] for number in range(count)), False)
    starts = list(_starts(lengths, len(text)))
    texts = tuple(
        text[start : start + length] for start, length in zip(starts, lengths, strict=True)
    )
    return Pieces(texts, sum(lengths) > len(text))


def _starts(lengths: Sequence[int], total: int) -> Iterator[int]:
    spare, before = total - sum(lengths), 0
    for number, length in enumerate(lengths):
        if spare >= 0:
            yield before + number * spare // len(lengths)
        else:
            yield number * max(0, total - length) // max(1, len(lengths) - 1)
        before += length


def _lines(text: str) -> Iterator[str]:
    return (stripped for line in text.split("\n") if (stripped := line.strip()))
