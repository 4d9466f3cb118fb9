import codecs
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transformer_playground.data.sources import text as text_module
from transformer_playground.data.sources.text import lines_of, read_text
from transformer_playground.errors import DataError

unicode = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufeff"))


@settings(max_examples=60, deadline=None)
@given(text=unicode, chunk=st.integers(1, 7))
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


@given(text=unicode, cuts=st.lists(st.integers(0, 50)))
def test_lines_do_not_depend_on_the_chunks_of_the_text(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]

    lines = list(lines_of(pieces))

    expected = text.split("\n")
    assert lines == (expected if expected[-1] else expected[:-1])
