"""Reader of CSV files with one speech per row, as in SpeakGer (Lange & Jentsch 2023)."""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformer_playground.config.prepare import ColumnsConfig
from transformer_playground.data.sources.text import (
    DATE_TOKEN,
    END_TOKEN,
    PARTY_TOKEN,
    SPEAKER_TOKEN,
    SPEECH_TOKEN,
    lines_of,
    read_text,
)
from transformer_playground.errors import DataError

# Column names in German and English corpora, without case, spaces and underscores.
_NAMES: Mapping[str, tuple[str, ...]] = {
    "speech": ("speech", "speechtext", "speechcontent", "text", "rede", "redetext", "content"),
    "speaker": ("speaker", "speakername", "redner", "rednerin", "sprecher", "sprecherin", "name"),
    "party": ("party", "partei", "fraktion", "faction", "parliamentarygroup"),
    "date": ("date", "datum", "speechdate", "sitzungsdatum", "year", "jahr"),
    "topic": ("topic", "thema", "agenda", "agendaitem", "tagesordnungspunkt", "top"),
}
_DELIMITERS = ",;\t|"
# Excel's line before the first row; after saving again, delimiters may follow.
_STATED_DELIMITER = re.compile(rf'\s*"?sep=([{_DELIMITERS}])"?[{_DELIMITERS}\s]*', re.IGNORECASE)
_LABELS = {"speaker": "Sprecher", "party": "Partei", "year": "Jahr", "topic": "Thema"}
_FULL_YEAR = r"(?:1[6-9]|20)\d\d"
_DAY, _MONTH = r"(?:0[1-9]|[12]\d|3[01])", r"(?:0[1-9]|1[0-2])"
# Tried in this order. A compact date is never both: a year that begins with 16 to 20 would have to
# be the day and month of the other form, and those have no such month.
_DATES = (
    re.compile(rf"(?<!\d)({_FULL_YEAR})(?!\d)"),
    re.compile(rf"(?<!\d)({_FULL_YEAR}){_MONTH}{_DAY}(?!\d)"),
    re.compile(rf"(?<!\d){_DAY}{_MONTH}({_FULL_YEAR})(?!\d)"),
)
# 13.03.90, 3/13/90, 13. März 90 and 13-Mar-90. Numbers with hyphens may begin with the year.
_SHORT_YEAR = re.compile(
    r"(?<!\d)(?:\d{1,2}\s*([./])\s*\d{1,2}\s*\1|\d{1,2}[-.\s]+[^\W\d_]{3,}[-.\s]+)\s*'?(\d\d)(?!\d)"
)
# As in POSIX: 69 is 1969, 68 is 2068.
_PIVOT = 69
# Python's default of 128 KiB is too short for long speeches.
_LONGEST_FIELD = 1 << 30
# Characters of an example in a note.
_SHOWN = 30
# Missing values in tables from pandas and R.
_MISSING = {"", "nan", "na", "n/a", "none", "null"}


@dataclass(frozen=True)
class CsvSpeech:
    """One row; empty fields are unknown."""

    speech: str
    speaker: str = ""
    party: str = ""
    date: str = ""
    topic: str = ""

    @property
    def year(self) -> str:
        """Four-digit year of the date, 1969 to 2068 if it has two digits; empty if unknown."""
        for pattern in _DATES:
            if found := pattern.search(self.date):
                return found[1]
        if found := _SHORT_YEAR.search(self.date):
            return str(int(found[2]) + (1900 if int(found[2]) >= _PIVOT else 2000))
        return ""

    @property
    def has_full_year(self) -> bool:
        """Whether the year is written with four digits."""
        return self.year in self.date


def read_speeches(path: Path, stated: ColumnsConfig) -> Iterator[CsvSpeech]:
    """All rows with a speech; columns that `stated` omits are inferred.

    The delimiter (comma, semicolon, tab or bar) is inferred from the header row, or given by
    Excel's `sep=;` before it.

    Raises:
        DataError: The file is not UTF-8 or not a table, or has no such column.
    """
    skipped, delimiter = _opening(path)
    rows = _rows(path, skipped, delimiter)
    header = next(rows, [])
    columns = _columns(path, header, stated)
    for number, row in enumerate(rows, start=skipped + 2):
        if not row:
            continue
        if len(row) != len(header):
            raise DataError(
                f"{path}, row {number}, has {len(row)} cells; the first row names {len(header)} "
                "columns.",
                "Text with a delimiter or a line break in it must stand in double quotes.",
            )
        cells = {field: row[index].strip() for field, index in columns.items()}
        known = {field: text for field, text in cells.items() if text.casefold() not in _MISSING}
        if "speech" in known:
            yield CsvSpeech(**known)


def table_notes(path: Path, stated: ColumnsConfig, *, years: bool) -> Iterator[str]:
    """Notes for the user: the column of each field, and whether no row has a speech.

    With `years`, also how many dates have no known year or one of two digits.

    Raises:
        DataError: The file is not UTF-8 or not a table, or has no such column.
    """
    header = next(_rows(path, *_opening(path)), [])
    chosen = _columns(path, header, stated)
    columns = ", ".join(f"{field} = {header[index].strip()}" for field, index in chosen.items())
    empty = next(read_speeches(path, stated), None) is None
    yield f"{path.name}: {columns}{'; no row has a speech' if empty else ''}"
    if years and "date" in chosen:
        yield from _year_notes(path, stated)


def _year_notes(path: Path, stated: ColumnsConfig) -> Iterator[str]:
    unknown, short = Counter[str](), Counter[str]()
    for speech in read_speeches(path, stated):
        if speech.date and not speech.year:
            unknown[speech.date] += 1
        elif speech.date and not speech.has_full_year:
            short[speech.date] += 1
    if unknown:
        yield (
            f"{path.name}: {_dates(unknown)} without a known year, so the year is omitted there; "
            "write dates as 2021-03-25 to keep it"
        )
    if short:
        yield f"{path.name}: {_dates(short)} with a year of two digits, read as 1969 to 2068"


def _dates(found: Counter[str]) -> str:
    count = found.total()
    example = _one_line(next(iter(found)))[:_SHOWN]
    return (
        f"{count:,} {'date' if count == 1 else 'dates'} ('{example}'{', …' if count > 1 else ''})"
    )


def render(speech: CsvSpeech, *, header: bool, structured: bool) -> str:
    """Training text of a speech.

    Args:
        speech: The row.
        header: Start with lines for the known speaker, party, year and topic, and an empty line.
        structured: Add structure tokens; without `header` also for date, speaker and party.
    """
    parts = [speech.speech]
    if header and (lines := _header(speech)):
        parts = [*lines, "", *parts]
    if not structured:
        return "\n".join(parts)
    marked = (
        (DATE_TOKEN, speech.date),
        (SPEAKER_TOKEN, speech.speaker),
        (PARTY_TOKEN, speech.party),
    )
    known = [] if header else [marker + _one_line(value) for marker, value in marked if value]
    return "\n".join([SPEECH_TOKEN, *known, *parts, END_TOKEN])


def _header(speech: CsvSpeech) -> list[str]:
    values = ((label, _one_line(getattr(speech, name))) for name, label in _LABELS.items())
    return [f"{label}: {value}" for label, value in values if value]


def _one_line(value: str) -> str:
    return " ".join(value.split())


def _opening(path: Path) -> tuple[int, str]:
    """Number of lines before the header row, and the delimiter."""
    stated = ""
    for number, line in enumerate(lines_of(read_text(path))):
        if not stated and (found := _STATED_DELIMITER.fullmatch(line)):
            stated = found[1]
        elif line.strip():
            return number, stated or _delimiter(line)
    return 0, _DELIMITERS[0]


def _rows(path: Path, skipped: int, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(_LONGEST_FIELD)
    lines = (line + "\n" for line in itertools.islice(lines_of(read_text(path)), skipped, None))
    # Blanks beside a delimiter belong to no quoted cell; kept before a quote, they would make the
    # quotes part of the text.
    reader = csv.reader(
        _without_blanks_after_quotes(lines, delimiter),
        delimiter=delimiter,
        skipinitialspace=True,
        strict=True,
    )
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(
            f"{path} is not a readable CSV: {error}, at line {skipped + reader.line_num}.",
            "Close quoted cells, double each double quote inside them, and put only a delimiter or "
            "a line end after them.",
        ) from None


def _without_blanks_after_quotes(lines: Iterable[str], delimiter: str) -> Iterator[str]:
    """Lines of a CSV without the blanks between a closing quote and a delimiter or line end."""
    end = re.escape(delimiter)
    opening = re.compile(rf'(?:(?: *[^" {end}][^{end}]*| *){end})* *"')
    closing = re.compile(r'[^"]*(?:""[^"]*)*"(?!")')
    blanks = re.compile(rf"[^\S\n{end}]+(?=[\n{end}])")
    is_quoted = False
    for line in lines:
        parts, place = [], 0
        while '"' in line and (found := (closing if is_quoted else opening).match(line, place)):
            parts.append(found[0])
            place, is_quoted = found.end(), not is_quoted
            if is_quoted:
                continue
            if blank := blanks.match(line, place):
                place = blank.end()
            if not line.startswith(delimiter, place):
                break
            parts.append(delimiter)
            place += 1
        yield "".join([*parts, line[place:]])


def _delimiter(first_line: str) -> str:
    """The delimiter that gives the most known columns, then the most columns."""

    def score(delimiter: str) -> tuple[int, int]:
        names = first_line.split(delimiter)
        return len(_inferred(names)), len(names)

    return max(_DELIMITERS, key=score)


def _columns(path: Path, header: Sequence[str], stated: ColumnsConfig) -> dict[str, int]:
    """Column index of each field."""
    places = _inferred(header)
    for field in _NAMES:
        name = getattr(stated, field)
        if name is None:
            continue
        places[field] = _place(path, header, field, name)
    if "speech" not in places:
        raise DataError(
            f"{path} has no known speech column; it has {_listed(header)}.",
            "Set prepare.columns.speech.",
        )
    return {field: places[field] for field in _NAMES if field in places}


def _place(path: Path, header: Sequence[str], field: str, name: str) -> int:
    for wanted in (name, name.strip().casefold()):
        for index, column in enumerate(header):
            if wanted in (column, column.strip().casefold()):
                return index
    raise DataError(
        f"{path} has no column '{name}'; it has {_listed(header)}.",
        f"Change prepare.columns.{field}.",
    )


def _inferred(header: Sequence[str]) -> dict[str, int]:
    plain = [re.sub(r"[\s_-]", "", name.strip().strip('"')).casefold() for name in header]
    return {
        field: plain.index(found)
        for field, names in _NAMES.items()
        if (found := next((name for name in names if name in plain), None))
    }


def _listed(header: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in header) or "none"
