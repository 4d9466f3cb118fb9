"""Strict UTF-8 text from files, lines, and the structure tokens of speeches.

With `prepare.add_structure_tokens`, a speech of a plenary protocol has one token at the start of a
line::

    <|rede|>
    <|datum|>13.03.2025
    <|sprecher|>Dr. Erika Beispiel
    <|partei|>Beispielpartei
    First paragraph.
    <|zwischenruf|>(Beifall)
    Second paragraph.
    <|sprecher|>Präsident Max Muster
    A remark from the chair, without a party.
    <|ende|>

A plain text file only has `<|rede|>` and `<|ende|>` around it. A SentencePiece or Hugging Face
tokenizer has one token for each; other tokenizers encode them as ordinary text.
"""

import codecs
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from transformer_playground.encodings import conversion_hint, wide_encoding
from transformer_playground.errors import DataError

CHUNK_BYTES = 1 << 20


def read_text(path: Path) -> Iterator[str]:
    """Text of a UTF-8 file: `decode_text`.

    Raises:
        DataError: The file is not UTF-8; the message has the offset of the first invalid byte.
    """
    with path.open("rb") as file:
        yield from decode_text(file, str(path))


def decode_text(file: BinaryIO, name: str) -> Iterator[str]:
    r"""UTF-8 text in pieces of about 1 MiB, without byte order mark, with "\n" line ends.

    Args:
        file: An open file; it need not be seekable.
        name: What errors call the file.

    Raises:
        DataError: The file is not UTF-8; the message has the offset of the first invalid byte.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    start = file.read(len(codecs.BOM_UTF8))
    offset = len(start) if start == codecs.BOM_UTF8 else 0
    chunk = start[offset:] + file.read(CHUNK_BYTES)
    # UTF-16 of ASCII characters is valid UTF-8 with control characters.
    if wide_encoding(chunk):
        raise DataError(f"{name} is not UTF-8 text.", conversion_hint(chunk))
    seen, seen_at = chunk, offset
    while True:
        waiting = len(decoder.getstate()[0])
        try:
            decoded = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name} is not UTF-8 text: invalid byte 0x{error.object[error.start]:02x} "
                f"at offset {offset - waiting + error.start:,}.",
                conversion_hint(seen[-seen_at % 4 :]),
            ) from None
        if text := newlines.decode(decoded, final=not chunk):
            yield text
        if not chunk:
            return
        offset += len(chunk)
        if chunk := file.read(CHUNK_BYTES):
            seen, seen_at = chunk, offset


def lines_of(pieces: Iterable[str]) -> Iterator[str]:
    r"""Lines of a text given in pieces, without their "\n"."""
    rest: list[str] = []
    for piece in pieces:
        first, newline, others = piece.partition("\n")
        rest.append(first)
        if not newline:
            continue
        yield "".join(rest)
        *whole, last = others.split("\n")
        yield from whole
        rest = [last]
    if last := "".join(rest):
        yield last


SPEECH_TOKEN = "<|rede|>"
DATE_TOKEN = "<|datum|>"
SPEAKER_TOKEN = "<|sprecher|>"
PARTY_TOKEN = "<|partei|>"
INTERJECTION_TOKEN = "<|zwischenruf|>"
END_TOKEN = "<|ende|>"

STRUCTURE_TOKENS = (
    SPEECH_TOKEN,
    DATE_TOKEN,
    SPEAKER_TOKEN,
    PARTY_TOKEN,
    INTERJECTION_TOKEN,
    END_TOKEN,
)
