from pathlib import Path

import pytest

from builders.corpora import SHORT_SPEECH, SPEECH, protocol
from transformer_playground.data.sources import bundestag
from transformer_playground.data.sources.bundestag import marked_text, plain_text, read_speeches
from transformer_playground.errors import DataError


def write(folder: Path, content: str) -> Path:
    path = folder / "protokoll.xml"
    path.write_bytes(content.encode("utf-8"))
    return path


def test_plain_text_has_the_form_of_the_printed_protocol(tmp_path: Path) -> None:
    (speech,) = read_speeches(write(tmp_path, protocol(SPEECH)))

    assert plain_text(speech) == (
        "Dr. Erika Beispiel (Blaue Liste):\n"
        "Herr Präsident! Wir reden heute über Brücken.\n"
        "(Beifall bei der Blauen Liste)\n"
        "Siehe Drucksache 20/1.\n"
        "\n"
        "Präsident Max Muster:\n"
        "Gestatten Sie eine Zwischenfrage?\n"
        "\n"
        "Otto Probe, Minister für Wege:\n"
        "Wann wird gebaut?"
    )


def test_structure_markers_name_date_speaker_party_and_interjections(tmp_path: Path) -> None:
    (speech,) = read_speeches(write(tmp_path, protocol(SPEECH)))

    assert marked_text(speech) == (
        "<|rede|>\n"
        "<|datum|>13.03.2025\n"
        "<|sprecher|>Dr. Erika Beispiel\n"
        "<|partei|>Blaue Liste\n"
        "Herr Präsident! Wir reden heute über Brücken.\n"
        "<|zwischenruf|>(Beifall bei der Blauen Liste)\n"
        "Siehe Drucksache 20/1.\n"
        "<|sprecher|>Präsident Max Muster\n"
        "Gestatten Sie eine Zwischenfrage?\n"
        "<|sprecher|>Otto Probe\n"
        "<|partei|>Minister für Wege\n"
        "Wann wird gebaut?\n"
        "<|ende|>"
    )


def test_every_speech_is_a_document_and_the_rest_is_left_out(tmp_path: Path) -> None:
    speeches = read_speeches(write(tmp_path, protocol(SPEECH, SHORT_SPEECH)))

    assert [speech.turns[0].speaker for speech in speeches] == [
        "Dr. Erika Beispiel",
        "Ina Test (Aue)",
    ]
    assert "eröffnet" not in "".join(map(plain_text, speeches))


def test_a_speaker_who_continues_after_a_remark_of_the_chair_has_a_new_turn(
    tmp_path: Path,
) -> None:
    again = SHORT_SPEECH.replace(
        "</rede>", "<name>Präsident:</name><p>Bitte.</p>" + SHORT_SPEECH[15:]
    )
    (speech,) = read_speeches(write(tmp_path, protocol(again)))

    assert [turn.speaker for turn in speech.turns] == [
        "Ina Test (Aue)",
        "Präsident",
        "Ina Test (Aue)",
    ]


def test_a_speaker_without_name_fields_keeps_the_printed_name(tmp_path: Path) -> None:
    content = '<rede><p klasse="redner">Abg. Niemand:</p><p>Ja.</p></rede>'
    (speech,) = read_speeches(write(tmp_path, protocol(content)))

    assert plain_text(speech) == "Abg. Niemand:\nJa."


def test_words_before_any_speaker_have_no_heading(tmp_path: Path) -> None:
    (speech,) = read_speeches(write(tmp_path, protocol("<rede><p>Ja.</p></rede>")))

    assert plain_text(speech) == "Ja."
    assert "sprecher" not in marked_text(speech)


def test_an_empty_speech_is_not_a_document(tmp_path: Path) -> None:
    assert read_speeches(write(tmp_path, protocol("<rede/>"))) == []


def test_a_protocol_needs_no_doctype(tmp_path: Path) -> None:
    assert len(read_speeches(write(tmp_path, protocol(SPEECH, doctype="")))) == 1


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x SYSTEM "x.dtd" [<!ENTITY % all SYSTEM "file:///etc/passwd"> %all;]>',
        "<!DOCTYPE x [<!ELEMENT rede ANY>]>",
    ],
)
def test_declarations_that_could_expand_or_read_files_are_rejected(
    doctype: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="line 2 declares or uses an entity"):
        read_speeches(write(tmp_path, protocol(SPEECH, doctype=doctype)))


def test_an_undeclared_entity_is_rejected_and_not_dropped(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="entity"):
        read_speeches(write(tmp_path, protocol(SPEECH.replace("Brücken", "Br&uuml;cken"))))


def test_malformed_xml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"protokoll\.xml is not well-formed XML: .* line 4"):
        read_speeches(write(tmp_path, "<a>\n<b>\n\n</a>"))


@pytest.mark.parametrize("content", ["", "<dbtplenarprotokoll>", "no xml"])
def test_truncated_or_foreign_content_gives_a_clear_error(content: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not well-formed"):
        read_speeches(write(tmp_path, content))


def test_an_unknown_encoding_gives_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="encoding"):
        read_speeches(write(tmp_path, '<?xml version="1.0" encoding="klingon"?><a/>'))


def test_other_xml_is_rejected_by_its_root_element(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its root is <html>"):
        read_speeches(write(tmp_path, "<html/>"))


def test_a_huge_file_is_rejected_without_reading_it(tmp_path: Path) -> None:
    path = write(tmp_path, "")
    with path.open("wb") as file:
        file.truncate(bundestag.MAX_BYTES + 1)

    with pytest.raises(DataError, match="at most"):
        read_speeches(path)
