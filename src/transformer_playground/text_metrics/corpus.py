"""The text of a dataset, and passages of it that are as long as samples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from transformer_playground.data.dataset import Dataset, TokenArray
from transformer_playground.data.tokenizers import Tokenizer

_TOKENS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Corpus:
    """Both splits as text, from their beginnings on.

    Attributes:
        train: Training text.
        train_share: Share of the training tokens that `train` spells.
        val: Validation text.
        val_share: Share of the validation tokens that `val` spells.
        by_line: Whether each line is a document of its own.
    """

    train: str
    train_share: float
    val: str
    val_share: float
    by_line: bool


@dataclass(frozen=True)
class Pieces:
    """Real text cut to the size of samples.

    Attributes:
        texts: The pieces.
        overlap: Whether some share characters, because the text is too short for so many.
    """

    texts: tuple[str, ...]
    overlap: bool


def read_corpus(dataset: Dataset, tokenizer: Tokenizer, *, by_line: bool, max_bytes: int) -> Corpus:
    """Decode the splits of a dataset.

    Args:
        dataset: The dataset.
        tokenizer: What it was encoded with.
        by_line: Whether each line is a document of its own.
        max_bytes: Most UTF-8 bytes of text to decode of each split.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    train, train_share = decode_split(dataset.train, tokenizer, max_bytes=max_bytes)
    val, val_share = decode_split(dataset.val, tokenizer, max_bytes=max_bytes)
    if by_line:
        train, val = "\n".join(_lines(train)), "\n".join(_lines(val))
    return Corpus(train, train_share, val, val_share, by_line)


def decode_split(tokens: TokenArray, tokenizer: Tokenizer, *, max_bytes: int) -> tuple[str, float]:
    """The text of a split up to a number of bytes, and the share of its tokens that is.

    Where a document ends there is a line break: no model writes across that place.

    Raises:
        DataError: A token is outside the vocabulary.
    """
    spelled: dict[int, bytes] = {}
    if tokenizer.bos_id is not None:
        spelled[tokenizer.bos_id] = b""
    if tokenizer.eos_id is not None:
        spelled[tokenizer.eos_id] = b"\n"
    parts: list[bytes] = []
    room, done = max_bytes, 0
    # No token spells more bytes than there is room for in a chunk of its own.
    while done < len(tokens) and room > 0:
        chunk = tokens[done : done + min(_TOKENS_AT_ONCE, room)].tolist()
        for token in set(chunk) - spelled.keys():
            spelled[token] = tokenizer.token_bytes(token)
        part = b"".join(map(spelled.__getitem__, chunk))
        parts.append(part)
        room -= len(part)
        done += len(chunk)
    return b"".join(parts).decode("utf-8", "replace"), done / len(tokens)


def real_pieces(text: str, lengths: Sequence[int], *, by_line: bool) -> Pieces:
    """As many pieces of a text as there are lengths, spread evenly over it: always the same ones.

    Args:
        text: Validation text.
        lengths: Code points of each piece; one longer than the text becomes the whole text.
        by_line: Take whole lines, whatever the lengths; fewer if the text has fewer.
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
