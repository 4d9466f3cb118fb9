"""Files of rows in blocks, and the documents of a block."""

import gzip
import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from builders.corpora import write_raw, write_rows
from transformer_playground.data.sources import rows
from transformer_playground.data.sources.rows import RowBlock, RowForm, is_row_file, read_blocks
from transformer_playground.errors import DataError

NAMES = ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"]
TEXTS = ["one", "zwei “Füße”\n\ttab", "", "  ", "<|endoftext|>", "x" * 300, '{"text": 1}', "last"]


def documents(path: Path, column: str = "text", **form: bool) -> list[str]:
    blocks = read_blocks(path, column)
    return [text for block in blocks for text in RowForm(**form).documents(block)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("block", [1, 64, 4 << 20])
def test_every_format_gives_the_same_documents_in_blocks_of_any_size(
    name: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_BLOCK_BYTES", block)
    monkeypatch.setattr(rows, "_PARQUET_ROWS", 2)
    path = write_rows(tmp_path, [{"id": n, "text": text} for n, text in enumerate(TEXTS)], name)
    assert documents(path) == [text for text in TEXTS if text]
    blocks = list(read_blocks(path, "text"))
    assert (len(blocks) > 1) == (block < 100)
    assert pickle.loads(pickle.dumps(blocks)) == blocks


def test_rows_are_files_of_rows_by_their_whole_suffix() -> None:
    names = ("a.jsonl", "a.JSONL.GZ", "a.parquet", "a.json", "a.gz", "a.txt.gz", "jsonl")
    assert [is_row_file(Path(name)) for name in names] == [True, True, True, *[False] * 4]


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1, max_size=20)
    ),
    st.integers(1, 50),
)
def test_any_text_comes_back_whole(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], block: int
) -> None:
    path = write_rows(tmp_path_factory.mktemp("x"), [{"text": text} for text in texts])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_BLOCK_BYTES", block)
        assert documents(path) == texts


def test_line_ends_are_newlines_and_empty_lines_are_no_rows(tmp_path: Path) -> None:
    lines = '\ufeff{"text": "a\\r\\nb\\rc"}\r\n\r\n  \n{"text": "d"}'
    assert documents(write_raw(tmp_path, lines, "a.jsonl")) == ["a\nb\nc", "d"]


def test_numbers_that_only_python_writes_are_accepted_beside_the_text(tmp_path: Path) -> None:
    path = write_rows(tmp_path, [{"score": float("nan"), "text": "fine"}])
    assert documents(path) == ["fine"]


def test_another_column_can_hold_the_text(tmp_path: Path) -> None:
    for name in NAMES:
        path = write_rows(tmp_path, [{"text": "no", "content": "yes"}], name)
        assert documents(path, "content") == ["yes"]


def test_documents_can_be_stripped_and_marked(tmp_path: Path) -> None:
    path = write_rows(tmp_path, [{"text": " a \n"}, {"text": " \n"}])
    assert documents(path, stripped=True) == ["a"]
    assert documents(path, structured=True)[0] == "<|rede|>\n a \n\n<|ende|>"


GOOD = '{"text": "good"}'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"text": "torn', "line 3: the line is not valid JSON: "),
        ('{"text": "a"} {"text": "b"}', "line 3: the line is not valid JSON: Extra data"),
        ("[" * 3000, "line 3: the line is not valid JSON: "),
        ('{"text": 5}', "line 3: the line has a number as 'text', not text"),
        ('{"text": null}', "line 3: the line has null as 'text', not text"),
        ('{"text": ["a"]}', "line 3: the line has a list as 'text', not text"),
        ('{"text": true}', "line 3: the line has true or false as 'text'"),
        ('"text"', "line 3: the line is text, not an object"),
        ('{"id": 1, "body": "b"}', "line 3: the line has no 'text', only id, body"),
        ("{}", "line 3: the line has no 'text', only nothing"),
        ('{"text": "\\ud800"}', "line 3: the line has half a surrogate pair in 'text'"),
    ],
)
@pytest.mark.parametrize("block", [8, 4 << 20])
def test_a_bad_line_is_named(
    line: str, problem: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_BLOCK_BYTES", block)
    path = write_raw(tmp_path, f"{GOOD}\n\n{line}\n{GOOD}\n", "a.jsonl")
    with pytest.raises(DataError) as error:
        documents(path)
    assert error.value.message.startswith(f"{path}, {problem}")
    assert error.value.message.count(". ") == 0


def test_bytes_that_are_not_utf_8_are_named_with_their_line(tmp_path: Path) -> None:
    path = write_raw(tmp_path, "", "a.jsonl")
    path.write_bytes(GOOD.encode() + b'\n{"text": "\xff"}\n')
    with pytest.raises(DataError, match="line 2: the line is not valid JSON: it is not UTF-8"):
        documents(path)
    path.write_bytes(GOOD.encode("utf-16"))
    with pytest.raises(DataError, match="is not UTF-8 text") as error:
        documents(path)
    assert "UTF-16" in error.value.hint


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_a_truncated_or_damaged_file_is_named_with_the_line_it_was_read_to(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_BLOCK_BYTES", 1 << 10)
    # Several members or frames, as tools that append to a file write them.
    compress = gzip.compress if name.endswith("gz") else zstd.compress
    lines = "".join(json.dumps({"text": f"{n} bottles"}) + "\n" for n in range(200)).encode()
    path = write_raw(tmp_path, "", name)
    path.write_bytes(compress(lines) * 2)
    assert len(documents(path)) == 400
    path.write_bytes((compress(lines) * 2)[:-9])
    with pytest.raises(DataError, match=r"ends in the middle, after line \d{3}\."):
        documents(path)
    path.write_bytes(b"no compressed file")
    with pytest.raises(DataError, match="is damaged or of another format, after line 0"):
        documents(path)


def test_a_line_without_end_is_not_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_LONGEST_LINE", 1 << 10)
    monkeypatch.setattr(rows, "_BLOCK_BYTES", 1 << 8)
    path = write_raw(tmp_path, f"{GOOD}\n" + "[" * 2000, "a.jsonl")
    with pytest.raises(DataError, match="line 2: the line is longer than"):
        documents(path)


def table(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns), path)
    return path


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"id": [1], "body": ["b"]}, "has no column 'text'; its columns: id, body."),
        ({"text": [1, 2]}, "has int64 in the column 'text', not text."),
        ({"text": [b"bytes"]}, "has binary in the column 'text', not text."),
        ({"text": ["a", None]}, ", row 2: the row has null as 'text', not text."),
    ],
)
def test_a_table_without_text_is_one_sentence(
    columns: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    path = table(tmp_path / "a.parquet", **columns)
    with pytest.raises(DataError) as error:
        documents(path)
    assert error.value.message.startswith(f"{path}{' ' if problem[0] != ',' else ''}{problem}")


def test_columns_of_repeated_and_long_strings_are_text(tmp_path: Path) -> None:
    repeated = pyarrow.array(["a", "b", "a"]).dictionary_encode()
    assert documents(table(tmp_path / "a.parquet", text=repeated)) == ["a", "b", "a"]
    long = pyarrow.array(["a"], type=pyarrow.large_string())
    assert documents(table(tmp_path / "b.parquet", text=long)) == ["a"]


def test_a_damaged_table_is_one_sentence(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", text=["some text"] * 100)
    whole = path.read_bytes()
    for content in (whole[:-20], b"", b"no table", b"PAR1" + b"\x00" * 40 + b"PAR1"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="is damaged or no Parquet file, after 0 rows"):
            documents(path)


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("a.parquet", "pyarrow", "pyarrow"),
        ("a.jsonl.zst", "backports", r"backports\.zstd"),
    ],
)
def test_a_missing_library_is_named_with_the_command_that_installs_it(
    name: str, module: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_rows(tmp_path, [{"text": "a"}], name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(DataError, match=f"without the package {package}") as error:
        documents(path)
    assert "transformer-playground[rows]" in error.value.hint


def test_a_block_without_rows_has_no_documents() -> None:
    assert list(RowForm().documents(RowBlock(Path("a"), "text", 1, b"\n \n"))) == []
