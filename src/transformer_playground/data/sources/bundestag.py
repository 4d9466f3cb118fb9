"""Plenary protocols in the Bundestag's open-data XML (19th legislative period onwards).

One `<rede>` is one document: its speaker, the chair's remarks and questions from the floor as
turns, in the order in which they were spoken. What stands between speeches is left out.
"""

import itertools
import operator
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

from transformer_playground.data.sources.text import (
    DATE_TOKEN,
    END_TOKEN,
    INTERJECTION_TOKEN,
    PARTY_TOKEN,
    SPEAKER_TOKEN,
    SPEECH_TOKEN,
)
from transformer_playground.errors import DataError

# Official protocols of the longest sittings have about 3 MB.
MAX_BYTES = 64 << 20

_ROOT = "dbtplenarprotokoll"

# Name, party or office, and whether it is a party.
_Who = tuple[str, str, bool]


@dataclass(frozen=True)
class Line:
    """A paragraph, or an interjection as printed, brackets included."""

    text: str
    interjection: bool = False


@dataclass(frozen=True)
class Turn:
    """What one person says until another one speaks.

    `affiliation` is the party, or the office of someone who speaks for none, or empty.
    """

    speaker: str
    affiliation: str
    is_party: bool
    lines: tuple[Line, ...]

    @property
    def heading(self) -> tuple[str, ...]:
        """Name and party as the printed protocol has them; no line for an unknown speaker."""
        if not self.speaker:
            return ()
        if not self.affiliation:
            return (f"{self.speaker}:",)
        if self.is_party:
            return (f"{self.speaker} ({self.affiliation}):",)
        return (f"{self.speaker}, {self.affiliation}:",)


@dataclass(frozen=True)
class Speech:
    """One `<rede>`: the date of the sitting as printed (13.03.2025) and the turns."""

    date: str
    turns: tuple[Turn, ...]


def read_speeches(path: Path) -> list[Speech]:
    """Every speech of a protocol, in order.

    Raises:
        DataError: The file is not well-formed XML, not a protocol, too large, or declares
            entities.
    """
    root = _parse(path)
    if root.tag != _ROOT:
        raise DataError(
            f"{path} is XML, but not a plenary protocol: its root is <{root.tag}>, not <{_ROOT}>.",
            "Protocols in this format exist from the 19th legislative period on; "
            "save other text as .txt.",
        )
    date = root.get("sitzung-datum", "")
    return [Speech(date, turns) for element in root.iter("rede") if (turns := _turns(element))]


def plain_text(speech: Speech) -> str:
    """Render a speech for readers: each turn under its speaker's name, a blank line between."""
    return "\n\n".join(
        "\n".join((*turn.heading, *(line.text for line in turn.lines))) for turn in speech.turns
    )


def marked_text(speech: Speech) -> str:
    """Render a speech with structure markers; see `markers`."""
    lines = [SPEECH_TOKEN]
    if speech.date:
        lines.append(DATE_TOKEN + speech.date)
    for turn in speech.turns:
        if turn.speaker:
            lines.append(SPEAKER_TOKEN + turn.speaker)
        if turn.affiliation:
            lines.append(PARTY_TOKEN + turn.affiliation)
        lines += [
            INTERJECTION_TOKEN + line.text if line.interjection else line.text
            for line in turn.lines
        ]
    return "\n".join([*lines, END_TOKEN])


def _turns(speech: ET.Element) -> tuple[Turn, ...]:
    return tuple(
        Turn(speaker, affiliation, is_party, tuple(line for _, line in said))
        for (speaker, affiliation, is_party), said in itertools.groupby(
            _spoken(speech), key=operator.itemgetter(0)
        )
    )


def _spoken(speech: ET.Element) -> Iterator[tuple[_Who, Line]]:
    who: _Who = ("", "", False)
    for element in speech:
        if element.tag == "name":
            who = (_clean(element).rstrip(":"), "", False)
        elif element.tag == "p" and element.get("klasse") == "redner":
            who = _speaker(element)
        elif text := _clean(element):
            yield who, Line(text, element.tag == "kommentar")


def _speaker(paragraph: ET.Element) -> _Who:
    name = paragraph.find("redner/name")
    parts = ("titel", "vorname", "namenszusatz", "nachname", "ortszusatz")
    words = [_field(name, part) for part in parts]
    full = " ".join(word for word in words if word)
    if not full:
        return _clean(paragraph).rstrip(":"), "", False
    if party := _field(name, "fraktion"):
        return full, party, True
    return full, _field(name, "rolle/rolle_lang"), False


def _field(name: ET.Element | None, part: str) -> str:
    found = name.find(part) if name is not None else None
    return _clean(found) if found is not None else ""


def _clean(element: ET.Element) -> str:
    """Text of an element with its white space, line breaks included, as single spaces."""
    return " ".join("".join(element.itertext()).split())


def _parse(path: Path) -> ET.Element:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(
            f"{path} has {size:,} bytes; a protocol is read whole and may have "
            f"{MAX_BYTES:,} at most.",
            "Split it, or save its text as .txt.",
        )
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data

    def refuse(*_: object) -> NoReturn:
        raise DataError(
            f"{path} line {parser.CurrentLineNumber} declares or uses an entity, "
            "which no official protocol does.",
            "Remove the declarations in its DOCTYPE.",
        )

    def check_doctype(_name: str, _system: str | None, _public: str | None, subset: int) -> None:
        if subset:
            refuse()

    # Entities expand without bound and can read files (CWE-776, CWE-611). The plain DOCTYPE line
    # of official files stays: expat never fetches what it points at.
    parser.StartDoctypeDeclHandler = check_doctype
    parser.EntityDeclHandler = refuse
    parser.SkippedEntityHandler = refuse
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except LookupError as error:
        raise DataError(f"{path} is written in an encoding unknown here: {error}.") from None
    except expat.ExpatError as error:
        raise DataError(
            f"{path} is not well-formed XML: {expat.ErrorString(error.code)} "
            f"at line {error.lineno}, column {error.offset + 1}.",
            "Download the protocol again, or save other text as .txt.",
        ) from None
    return builder.close()
