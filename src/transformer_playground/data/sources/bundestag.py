"""Reader of plenary protocols in the Bundestag's XML format (19th legislative period onwards).

One `<rede>` is one document of turns: speaker, chair and questions from the floor, in spoken
order. Text between speeches is omitted.
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

# The largest official protocols have about 3 MB.
MAX_BYTES = 64 << 20

_ROOT = "dbtplenarprotokoll"

# Name, affiliation, and whether the affiliation is a party.
_Speaker = tuple[str, str, bool]


@dataclass(frozen=True)
class Line:
    """A paragraph, or an interjection with its brackets."""

    text: str
    interjection: bool = False


@dataclass(frozen=True)
class Turn:
    """Consecutive lines of one speaker; `affiliation` is a party, an office or empty."""

    speaker: str
    affiliation: str
    is_party: bool
    lines: tuple[Line, ...]

    @property
    def heading(self) -> tuple[str, ...]:
        """Name and affiliation as printed in the protocol; empty for an unknown speaker."""
        if not self.speaker:
            return ()
        if not self.affiliation:
            return (f"{self.speaker}:",)
        if self.is_party:
            return (f"{self.speaker} ({self.affiliation}):",)
        return (f"{self.speaker}, {self.affiliation}:",)


@dataclass(frozen=True)
class Speech:
    """A `<rede>`: the date of the sitting as printed (13.03.2025) and the turns."""

    date: str
    turns: tuple[Turn, ...]


def read_speeches(path: Path) -> list[Speech]:
    """All speeches of a protocol, in order.

    Raises:
        DataError: The file is not well-formed XML, not a protocol, too large or declares entities.
    """
    root = _parse(path)
    if root.tag != _ROOT:
        raise DataError(
            f"{path} is XML, but not a plenary protocol: its root is <{root.tag}>, not <{_ROOT}>.",
            "This format exists since the 19th legislative period; save other text as .txt.",
        )
    date = root.get("sitzung-datum", "")
    return [Speech(date, turns) for element in root.iter("rede") if (turns := _turns(element))]


def plain_text(speech: Speech) -> str:
    """A speech as plain text: turns with a heading, separated by blank lines."""
    return "\n\n".join(
        "\n".join((*turn.heading, *(line.text for line in turn.lines))) for turn in speech.turns
    )


def marked_text(speech: Speech) -> str:
    """A speech with structure tokens; see `text`."""
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


def _spoken(speech: ET.Element) -> Iterator[tuple[_Speaker, Line]]:
    who: _Speaker = ("", "", False)
    for element in speech:
        if element.tag == "name":
            who = (_clean(element).rstrip(":"), "", False)
        elif element.tag == "p" and element.get("klasse") == "redner":
            who = _speaker(element)
        elif text := _clean(element):
            yield who, Line(text, element.tag == "kommentar")


def _speaker(paragraph: ET.Element) -> _Speaker:
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
    """Text of an element with normalised white space."""
    return " ".join("".join(element.itertext()).split())


def _parse(path: Path) -> ET.Element:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DataError(
            f"{path} has {size:,} bytes; a protocol may have at most {MAX_BYTES:,}.",
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
            "which official protocols do not have.",
            "Remove the declarations in its DOCTYPE.",
        )

    def check_doctype(_name: str, _system: str | None, _public: str | None, subset: int) -> None:
        if subset:
            refuse()

    # Entities can expand without bound and read files (CWE-776, CWE-611). The plain DOCTYPE line
    # of official files is harmless: expat does not fetch its target.
    parser.StartDoctypeDeclHandler = check_doctype
    parser.EntityDeclHandler = refuse
    parser.SkippedEntityHandler = refuse
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
    except LookupError as error:
        raise DataError(f"{path} has an unknown encoding: {error}.") from None
    except expat.ExpatError as error:
        raise DataError(
            f"{path} is not well-formed XML: {expat.ErrorString(error.code)} "
            f"at line {error.lineno}, column {error.offset + 1}.",
            "Download the protocol again, or save other text as .txt.",
        ) from None
    return builder.close()
