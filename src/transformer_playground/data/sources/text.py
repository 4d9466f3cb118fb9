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

from transformer_playground.errors import DataError

CHUNK_BYTES = 1 << 20


def read_text(path: Path) -> Iterator[str]:
    r"""Text of a UTF-8 file in pieces of about 1 MiB, without byte order mark, with "\n" line ends.

    Raises:
        DataError: The file is not UTF-8; the message has the offset of the first invalid byte.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    offset = 0
    with path.open("rb") as file:
        if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8:
            offset = len(codecs.BOM_UTF8)
        file.seek(offset)
        more = True
        while more:
            chunk = file.read(CHUNK_BYTES)
            more = bool(chunk)
            waiting = len(decoder.getstate()[0])
            try:
                decoded = decoder.decode(chunk, final=not more)
            except UnicodeDecodeError as error:
                raise _not_utf8(path, offset - waiting + error.start) from None
            offset += len(chunk)
            if text := newlines.decode(decoded, final=not more):
                yield text


def _not_utf8(path: Path, offset: int) -> DataError:
    return DataError(
        f"{path} is not UTF-8 text: invalid byte at offset {offset:,}.",
        "Save the file as UTF-8, for example with `iconv -f latin1 -t utf-8 OLD > NEW`.",
    )


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
