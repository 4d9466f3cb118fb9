import codecs
import io
import itertools
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from transformer_playground.data.sources import text as text_module
from transformer_playground.data.sources.text import decode_text, lines_of, read_text
from transformer_playground.errors import DataError

unicode = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufeff\0"))


@settings(max_examples=60, deadline=None)
@given(text=unicode, chunk=st.integers(1, 7))
@example(text="0\x1f0\x1f\U00010000", chunk=5)
@example(text="a\0b and some more text", chunk=3)
def test_text_is_read_completely_wherever_chunks_are_cut(
    text: str, chunk: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("text") / "input.txt"
    path.write_bytes(text.encode())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_module, "CHUNK_BYTES", chunk)
        assert "".join(read_text(path)) == text


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_all_line_endings_become_newlines(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_module, "CHUNK_BYTES", chunk)
    path = tmp_path / "input.txt"
    path.write_bytes(b"a\r\nb\rc\n\r\n")

    assert "".join(read_text(path)) == "a\nb\nc\n\n"


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "input.txt"
    path.write_bytes(codecs.BOM_UTF8 + b"abc")

    assert "".join(read_text(path)) == "abc"


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
@pytest.mark.parametrize("bad", [b"\xff", b"\xc3(", "ü".encode()[:1], b"\xed\xa0\x80"])
def test_the_offset_of_the_first_bad_byte_is_named(
    mark: bytes, chunk: int, bad: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_module, "CHUNK_BYTES", chunk)
    path = tmp_path / "alt.txt"
    start = mark + "grün ".encode()
    path.write_bytes(start + bad)

    with pytest.raises(DataError, match=rf"alt\.txt .* offset {len(start)}\.") as raised:
        list(read_text(path))

    assert "UTF-8" in raised.value.hint


GERMAN = "Die Straße führt über den Fluß – „schön“, sagt der Bär.\n" * 3
FRENCH = "L’été dernier, à Besançon : « déjà vu » coûte 3 €.\n" * 3
CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy.\n" * 3
RUSSIAN = "Собака лежит на улице и смотрит.\n" * 3
ENGLISH = "A dog lies in the street.\r\n" * 3
CHINESE = "狗在街上。\n它看着我。\n" * 30


@pytest.mark.parametrize(
    ("text", "encoding", "named"),
    [
        *((text, "utf-16", "UTF-16") for text in (GERMAN, RUSSIAN, ENGLISH, CHINESE)),
        *((text, "utf-16-le", "UTF-16LE") for text in (GERMAN, RUSSIAN, ENGLISH, CHINESE)),
        *((text, "utf-16-be", "UTF-16BE") for text in (GERMAN, RUSSIAN, ENGLISH, CHINESE)),
        *((text, "utf-32", "UTF-32") for text in (GERMAN, RUSSIAN, ENGLISH, CHINESE)),
        *((text, "utf-32-le", "UTF-32LE") for text in (GERMAN, RUSSIAN, ENGLISH, CHINESE)),
        *((text, "utf-32-be", "UTF-32BE") for text in (GERMAN, RUSSIAN, ENGLISH, CHINESE)),
        *((text, "cp1252", "WINDOWS-1252") for text in (GERMAN, FRENCH, "ä" + "a" * (5 << 18))),
        *((RUSSIAN, encoding, "ENCODING") for encoding in ("cp1251", "koi8-r")),
        (CHINESE, "gb18030", "ENCODING"),
    ],
)
def test_the_hint_names_the_command_that_restores_the_text(
    text: str, encoding: str, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "old.txt"
    path.write_bytes(text.encode(encoding))

    with pytest.raises(DataError, match="is not UTF-8 text") as raised:
        list(read_text(path))

    command = raised.value.hint.split("`")[1]
    assert command == f"iconv -f {named} -t UTF-8 OLD > NEW"
    if named != "ENCODING":
        shell = command.replace("OLD", "old.txt").replace("NEW", "new.txt")
        subprocess.run(shell, shell=True, check=True, cwd=tmp_path)
        assert "".join(read_text(tmp_path / "new.txt")) == text.replace("\r\n", "\n")


def test_a_late_invalid_byte_is_recognised_too(tmp_path: Path) -> None:
    path = tmp_path / "old.txt"
    path.write_bytes(b"abc\n" * (1 << 18) + "Straße".encode("cp1252"))

    with pytest.raises(DataError, match="offset 1,048,580") as raised:
        list(read_text(path))

    assert "WINDOWS-1252" in raised.value.hint


@pytest.mark.parametrize("damage", [b"\xff", b"\xc3"])
def test_damaged_utf8_is_not_taken_for_another_encoding(damage: bytes) -> None:
    file = io.BytesIO(GERMAN.encode() + damage)

    with pytest.raises(DataError, match="it is not UTF-8 text") as raised:
        list(decode_text(file, "it"))

    assert "damaged UTF-8" in raised.value.hint


@pytest.mark.parametrize("text", ["", "\0", "a\0", "\0" * 99, "a\0b\0c", CZECH, RUSSIAN, CHINESE])
def test_valid_text_with_unusual_characters_is_read(text: str) -> None:
    assert "".join(decode_text(io.BytesIO(text.encode()), "it")) == text


@given(text=unicode, cuts=st.lists(st.integers(0, 50)))
def test_lines_do_not_depend_on_the_chunks_of_the_text(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]

    lines = list(lines_of(pieces))

    expected = text.split("\n")
    assert lines == (expected if expected[-1] else expected[:-1])
