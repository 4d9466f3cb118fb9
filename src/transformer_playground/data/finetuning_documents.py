"""Documents to finetune on: whole texts with what is known about them."""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from transformer_playground.config.prepare import PrepareConfig
from transformer_playground.data import bundestag, markers, speeches_csv
from transformer_playground.data.text import lines_of, read_text


@dataclasses.dataclass(frozen=True)
class Document:
    """One text; empty fields are not known."""

    text: str
    source: str
    speaker: str = ""
    party: str = ""
    date: str = ""
    topic: str = ""

    def record(self) -> dict[str, str]:
        """What a line of train.jsonl holds: the text and what is known."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value}


def read_documents(paths: Sequence[Path], config: PrepareConfig) -> Iterator[list[Document]]:
    """Every document with text, without white space around it, in the order of the files.

    A document is a text file, a speech of a protocol or a row of a CSV. With `documents = "lines"`
    it is a line of a text file or protocol; a row of a CSV stays whole.

    Yields:
        What belongs together: the lines of one speech, or a single document.

    Raises:
        DataError: A file is unusable.
    """
    for path in paths:
        for documents in _documents_of(path, config):
            stripped = (dataclasses.replace(each, text=each.text.strip()) for each in documents)
            if together := [document for document in stripped if document.text]:
                yield together


def _documents_of(path: Path, config: PrepareConfig) -> Iterator[Iterable[Document]]:
    suffix = path.suffix.lower()
    by_line = config.documents == "lines"
    if suffix == ".csv":
        for document in _of_csv(path, config):
            yield [document]
    elif suffix == ".xml":
        for document in _of_protocol(path, structured=config.add_structure_tokens):
            yield _lines(document) if by_line else [document]
    else:
        whole = _of_text(path, structured=config.add_structure_tokens)
        for document in _lines(whole) if by_line else [whole]:
            yield [document]


def _lines(document: Document) -> Iterator[Document]:
    for line in lines_of([document.text]):
        yield dataclasses.replace(document, text=line)


def _of_text(path: Path, *, structured: bool) -> Document:
    text = "".join(read_text(path)).strip()
    if text and structured:
        text = f"{markers.SPEECH}\n{text}\n{markers.END}"
    return Document(text, _name(path))


def _of_protocol(path: Path, *, structured: bool) -> Iterator[Document]:
    render = bundestag.marked_text if structured else bundestag.plain_text
    for speech in bundestag.read_speeches(path):
        first = speech.turns[0]
        yield Document(
            text=render(speech),
            source=_name(path),
            speaker=first.speaker,
            party=first.affiliation if first.is_party else "",
            date=speech.date,
        )


def _of_csv(path: Path, config: PrepareConfig) -> Iterator[Document]:
    for speech in speeches_csv.read_speeches(path, config.columns):
        yield Document(
            text=speeches_csv.rendered(
                speech, header=config.conditioning_header, structured=config.add_structure_tokens
            ),
            source=_name(path),
            speaker=speech.speaker,
            party=speech.party,
            date=speech.date,
            topic=speech.topic,
        )


def _name(path: Path) -> str:
    # A file's name may have bytes that are not UTF-8, which JSON cannot hold.
    return os.fsencode(path.name).decode("utf-8", "replace")
