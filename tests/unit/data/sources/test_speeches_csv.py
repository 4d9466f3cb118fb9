"""Tables of speeches: the meaning of columns, and the text of a row."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer_playground.config.prepare import ColumnsConfig
from transformer_playground.data.sources.speeches_csv import (
    CsvSpeech,
    read_speeches,
    render,
    table_notes,
)
from transformer_playground.errors import DataError

WHOLE = CsvSpeech("Guten Tag.\nDanke.", "Erika Muster", "Grüne", "13.03.1998", "Brücken  bauen")


def _write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "reden.csv"
    path.write_bytes(text.encode(encoding))
    return path


def _read(folder: Path, text: str, **stated: str) -> list[CsvSpeech]:
    return list(read_speeches(_write(folder, text), ColumnsConfig(**stated)))


@pytest.mark.parametrize(
    "header",
    [
        "Speech,Speaker,Party,Date,Topic",
        "rede,redner,fraktion,datum,thema",
        "TEXT,Name,Partei,Jahr,Agenda",
        "speech_text,Speaker Name,faction,year,agenda-item",
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_columns_are_recognised_by_names_in_two_languages(
    header: str, delimiter: str, tmp_path: Path
) -> None:
    rows = [header, "Guten Tag.,Erika,Grüne,1998,Brücken"]
    (speech,) = _read(tmp_path, "\n".join(rows).replace(",", delimiter))
    assert speech == CsvSpeech("Guten Tag.", "Erika", "Grüne", "1998", "Brücken")


def test_columns_may_come_in_any_order_among_others(tmp_path: Path) -> None:
    (speech,) = _read(tmp_path, "id,Party,Session,Speech\n7,SPD,3,Danke.\n")
    assert speech == CsvSpeech("Danke.", party="SPD")


@pytest.mark.parametrize("name", ["Original", "original", "ORIGINAL "])
def test_configured_columns_win_and_the_others_are_inferred(name: str, tmp_path: Path) -> None:
    table = "Speech,Original,Party,Group\nshort,long,SPD,left\n"
    (speech,) = _read(tmp_path, table, speech=name, party="Group")
    assert speech == CsvSpeech("long", party="left")


def test_a_missing_configured_column_is_named_with_the_existing_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no column 'Wer'; it has 'Speech', 'Who'") as raised:
        _read(tmp_path, "Speech,Who\na,b\n", speaker="Wer")
    assert "prepare.columns.speaker" in raised.value.hint


@pytest.mark.parametrize(
    ("table", "listed"),
    [("id,words\n1,a\n", "'id', 'words'"), ("", "none"), ("just a sentence\n", "'just a")],
)
def test_without_a_speech_column_the_columns_are_listed(
    table: str, listed: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=f"known speech column; it has {listed}") as raised:
        _read(tmp_path, table)
    assert "prepare.columns.speech" in raised.value.hint


def test_quoted_cells_may_contain_delimiters_quotes_and_line_breaks(tmp_path: Path) -> None:
    table = 'Speech,Party\r\n"Ja, ""gut"".\r\nWeiter.",FDP\r\n\r\nNein.,SPD\r\n'
    first, second = _read(tmp_path, table)
    assert first == CsvSpeech('Ja, "gut".\nWeiter.', party="FDP")
    assert second.speech == "Nein."


def test_a_byte_order_mark_is_not_part_of_a_column_name(tmp_path: Path) -> None:
    path = _write(tmp_path, "Speech\nDanke.\n", "utf-8-sig")
    assert [speech.speech for speech in read_speeches(path, ColumnsConfig())] == ["Danke."]


@pytest.mark.parametrize(
    "opening",
    ["\n\n", " \r\n", "sep=;\r\n", "\nSEP=;;;\n\n", '"sep=;"\n', "\ufeffsep=;\n"],
)
def test_empty_lines_and_the_delimiter_line_of_excel_may_come_first(
    opening: str, tmp_path: Path
) -> None:
    table = opening + 'Rede;Partei\n"a;b,c";SPD\n'
    assert _read(tmp_path, table) == [CsvSpeech("a;b,c", party="SPD")]
    lines = opening.count("\n")
    with pytest.raises(DataError, match=f"row {lines + 3}, has 1 cells"):
        _read(tmp_path, table + "c\n")
    with pytest.raises(DataError, match=f"at line {lines + 3}"):
        _read(tmp_path, table + '"c;d\n')


def test_the_configured_delimiter_wins(tmp_path: Path) -> None:
    (speech,) = _read(tmp_path, "sep=\t\nSpeech\tName,Party,Date\nDanke.\tx\n")
    assert speech == CsvSpeech("Danke.")


def test_a_table_without_speeches_is_reported(tmp_path: Path) -> None:
    path = _write(tmp_path, "Rede;Partei\n;SPD\n")
    (note,) = table_notes(path, ColumnsConfig(), years=True)
    assert note == "reden.csv: speech = Rede, party = Partei; no row has a speech"


def test_a_speech_may_be_longer_than_pythons_own_limit(tmp_path: Path) -> None:
    (speech,) = _read(tmp_path, f"Speech\n{'ja ' * 100_000}\n")
    assert len(speech.speech) == 3 * 100_000 - 1


def test_rows_without_a_speech_are_left_out_and_missing_values_are_unknown(
    tmp_path: Path,
) -> None:
    table = "Speech,Speaker,Party\n,Erika,SPD\nnan,Otto,SPD\nDanke.,NaN,None\n"
    assert _read(tmp_path, table) == [CsvSpeech("Danke.")]


def test_another_encoding_gives_an_error_with_the_fix(tmp_path: Path) -> None:
    path = _write(tmp_path, "Rede\nGrün\n", "latin-1")
    with pytest.raises(DataError, match="is not UTF-8") as raised:
        list(read_speeches(path, ColumnsConfig()))
    assert "iconv" in raised.value.hint


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("Speech,Party\na,b,c\n", "row 2, has 3 cells; the first row names 2"),
        ("Speech,Party\na,b\nc\n", "row 3, has 1 cells"),
        ('Speech,Party\n"a,b\n', "not a readable CSV"),
        ('Speech,Party\n"a"b,c\n', "not a readable CSV"),
    ],
)
def test_the_error_of_a_damaged_table_names_the_line(
    table: str, complaint: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=complaint):
        _read(tmp_path, table)


def test_the_choice_of_columns_is_reported(tmp_path: Path) -> None:
    path = _write(tmp_path, "Datum;Rede;Fraktion\n1998;a;b\n")
    (note,) = table_notes(path, ColumnsConfig(), years=True)
    assert note == "reden.csv: speech = Rede, party = Fraktion, date = Datum"


def test_the_header_holds_known_values_and_ends_with_an_empty_line(tmp_path: Path) -> None:
    assert render(WHOLE, header=True, structured=False) == (
        "Sprecher: Erika Muster\nPartei: Grüne\nJahr: 1998\nThema: Brücken bauen\n\n"
        "Guten Tag.\nDanke."
    )
    partly = CsvSpeech("Danke.", party="SPD", date="gestern")
    assert render(partly, header=True, structured=False) == "Partei: SPD\n\nDanke."


def test_without_a_header_the_text_is_the_speech_alone() -> None:
    assert render(WHOLE, header=False, structured=False) == WHOLE.speech
    assert render(CsvSpeech("Danke."), header=True, structured=False) == "Danke."


def test_markers_enclose_the_header_or_replace_it() -> None:
    with_header = render(WHOLE, header=True, structured=True)
    assert with_header.startswith("<|rede|>\nSprecher: Erika Muster\n")
    assert with_header.endswith("Danke.\n<|ende|>")
    assert render(WHOLE, header=False, structured=True) == (
        "<|rede|>\n<|datum|>13.03.1998\n<|sprecher|>Erika Muster\n<|partei|>Grüne\n"
        "Guten Tag.\nDanke.\n<|ende|>"
    )


@pytest.mark.parametrize(
    ("date", "year"),
    [("1998", "1998"), ("1949-09-07", "1949"), ("7. 9. 1949", "1949"), ("12345", ""), ("", "")],
)
def test_the_year_is_taken_from_any_date(date: str, year: str) -> None:
    assert CsvSpeech("x", date=date).year == year


@pytest.mark.parametrize("blank", [" ", "   "])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_blanks_after_a_delimiter_leave_no_quotes_in_the_values(
    delimiter: str, blank: str, tmp_path: Path
) -> None:
    rows = [
        ["Rede", "Redner", "Partei", "Datum"],
        [f'"Ja{delimiter} ""gut""."', '"Erika Muster"', '"Grün"', '"13.03.1990"'],
    ]
    for quoted_header in (False, True):
        header = [f'"{name}"' for name in rows[0]] if quoted_header else rows[0]
        table = "\n".join((delimiter + blank).join(row) for row in (header, rows[1]))
        (speech,) = _read(tmp_path, blank + table)
        text = f'Ja{delimiter} "gut".'
        assert speech == CsvSpeech(text, "Erika Muster", "Grün", "13.03.1990")


@pytest.mark.parametrize(
    ("date", "year"),
    [
        ("20210325", "2021"),
        ("20210325.0", "2021"),
        ("20210325T101500", "2021"),
        ("25032021", "2021"),
        ("20122012", "2012"),
        ("19111911", "1911"),
        ("2021-03-25T10:15", "2021"),
        ("13.03.90", "1990"),
        ("3/13/90", "1990"),
        ("1. 2. 03", "2003"),
        ("13. März 90", "1990"),
        ("13-Mar-90", "1990"),
        ("31.12.68", "2068"),
        ("01.01.69", "1969"),
        ("21-03-25", ""),
        ("1616161234", ""),
        ("20211399", ""),
        ("12.03.", ""),
    ],
)
def test_the_year_of_a_date(date: str, year: str) -> None:
    assert CsvSpeech("Danke.", date=date).year == year


def test_dates_whose_year_is_unknown_or_short_are_noted(tmp_path: Path) -> None:
    dates = ["19900313", "21-03-25", "im Mai", "13.03.90", "", "2001"]
    path = _write(tmp_path, "Rede;Datum\n" + "".join(f"Danke.;{date}\n" for date in dates))
    _, unknown, short = table_notes(path, ColumnsConfig(), years=True)
    assert "2 dates ('21-03-25', …) without a known year" in unknown
    assert "1 date ('13.03.90') with a year of two digits" in short
    assert len(list(table_notes(path, ColumnsConfig(), years=False))) == 1


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_blanks_between_a_closing_quote_and_a_delimiter_are_ignored(
    delimiter: str, tmp_path: Path
) -> None:
    text = f'Er sagte ""ja"" {delimiter}  und\nging. ""  {delimiter} '
    rows = [
        f'"Speech" {delimiter} "Speaker"  {delimiter}Party  ',
        f'"{text}"  {delimiter} "Muster {delimiter}"   {delimiter} "SPD"  ',
        f'5" Rohr {delimiter}"" {delimiter} FDP',
    ]
    first, second = _read(tmp_path, "\n".join(rows))
    assert (first.speech, first.speaker) == (
        text.replace('""', '"').strip(),
        f"Muster {delimiter}".strip(),
    )
    assert first.party == "SPD"
    assert (second.speech, second.speaker, second.party) == ('5" Rohr', "", "FDP")


cells = st.text(st.sampled_from('ab" ,;\n'), max_size=8)


@given(
    st.lists(st.tuples(cells, cells), min_size=1, max_size=4), st.sampled_from(["", " ", "  \t"])
)
def test_any_quoted_table_is_read_with_blanks_after_its_quotes(
    rows: list[tuple[str, str]], blanks: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        quoted = [
            [f'"{cell.replace(chr(34), 2 * chr(34))}"{blanks}' for cell in row] for row in rows
        ]
        table = "\n".join(["Speech,Party", *map(",".join, quoted)])
        found = _read(Path(folder), table)
    expected = [(speech.strip(), party.strip()) for speech, party in rows if speech.strip()]
    assert [(each.speech, each.party) for each in found] == expected


@pytest.mark.parametrize("row", ['"a" b,SPD', '"a""b" x,SPD', '"a,SPD'])
def test_text_between_a_closing_quote_and_the_delimiter_is_explained(
    row: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"is not a readable CSV: .*line 2") as raised:
        _read(tmp_path, f"Speech,Party\n{row}\n")
    assert "only a delimiter or a line end after them" in raised.value.hint
