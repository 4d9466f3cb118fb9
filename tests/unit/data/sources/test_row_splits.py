"""Rows are split into training and validation as texts are, wherever their file is cut."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.corpora import joined, prepare_config, write_raw, write_rows
from transformer_playground.data.sources import rows
from transformer_playground.data.sources.documents import Split, split_corpus
from transformer_playground.errors import DataError

TEXT = st.text("ab \n.", min_size=1, max_size=12)


def sides(split: Split) -> tuple[str, str, int, int]:
    """Both texts, and their numbers of characters."""
    assert joined(split.train()) == joined(split.train())
    return (
        joined(split.train()),
        joined(split.val()),
        split.train_characters,
        split.val_characters,
    )


def outcome(paths: list[Path], folder: Path, **keys: Any) -> object:
    end = keys.pop("end", None)
    try:
        return sides(split_corpus(paths, prepare_config(folder, **keys), end_of_text=end))
    except DataError as error:
        return error.message.partition(" of ")[0].partition(" in ")[0]


@settings(max_examples=25, deadline=None)
@given(
    texts=st.lists(TEXT, min_size=1, max_size=8),
    block=st.integers(1, 80),
    kind=st.sampled_from(["text_end", "random_documents"]),
    separator=st.sampled_from(["\n\n", "|", "<|end|>"]),
    fraction=st.sampled_from([0.1, 0.3, 0.5, 0.9]),
)
def test_rows_and_files_of_the_same_texts_have_the_same_parts(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    block: int,
    kind: str,
    separator: str,
    fraction: float,
) -> None:
    folder = tmp_path_factory.mktemp("x")
    keys = {
        "val_split": kind,
        "val_fraction": fraction,
        "doc_separator": separator,
        "end": "<|end|>",
    }
    files = [write_raw(folder, text, f"{n}.txt") for n, text in enumerate(texts)]
    table = [write_rows(folder, [{"text": text} for text in texts])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_BLOCK_BYTES", block)
        assert outcome(table, folder, **keys) == outcome(files, folder, **keys)


@settings(max_examples=15, deadline=None)
@given(
    lines=st.lists(st.text("ab .", min_size=1, max_size=12), min_size=1, max_size=8),
    block=st.integers(1, 80),
    end=st.sampled_from([None, "<|end|>"]),
)
def test_rows_and_lines_of_the_same_texts_have_the_same_parts(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], block: int, end: str | None
) -> None:
    folder = tmp_path_factory.mktemp("x")
    keys = {"documents": "lines", "val_fraction": 0.4, "end": end}
    text = [write_raw(folder, "\n".join(lines))]
    table = [write_rows(folder, [{"text": line} for line in lines])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "_BLOCK_BYTES", block)
        assert outcome(table, folder, **keys) == outcome(text, folder, **keys)


def test_texts_and_rows_can_be_mixed_and_each_file_gives_its_end(tmp_path: Path) -> None:
    paths = [
        write_raw(tmp_path, "0123456789", "a.txt"),
        write_rows(tmp_path, [{"text": "abcde"}, {"text": ""}, {"text": "fgh"}], "b.jsonl"),
        write_raw(tmp_path, "9876543210", "c.txt"),
    ]
    parts = sides(split_corpus(paths, prepare_config(tmp_path, val_fraction=0.5), end_of_text=None))
    assert parts[:2] == ("01234\n\nabcde\n\n98765", "56789\n\n\n\nfgh\n\n43210")


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_BLOCK_BYTES", 16)
    some = [{"text": f"number {n}"} for n in range(9)]
    path = write_rows(tmp_path, some)
    split = split_corpus([path], prepare_config(tmp_path), end_of_text=None)
    write_rows(tmp_path, some * 9)
    with pytest.raises(DataError, match="has changed while it was read"):
        joined(split.val())
    write_rows(tmp_path, some[:2])
    with pytest.raises(DataError, match="has changed while it was read"):
        joined(split.val())


def test_rows_without_text_are_no_corpus(tmp_path: Path) -> None:
    path = write_rows(tmp_path, [{"text": ""}, {"text": " \n"}])
    for documents in ("files", "lines"):
        with pytest.raises(DataError, match="There is no text in"):
            split_corpus([path], prepare_config(tmp_path, documents=documents), end_of_text=None)
