from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from builders.corpora import SHORT_SPEECH, SPEECH, joined, prepare_config, protocol, write_raw
from transformer_playground.data.sources.documents import Split, split_corpus
from transformer_playground.data.sources.pieces import Boundary, Piece, plain_text
from transformer_playground.data.sources.text import lines_of
from transformer_playground.errors import DataError


def split(folder: Path, texts: dict[str, str], end: str | None = None, **keys: object) -> Split:
    """The end of the whole text is for validation, unless `keys` say otherwise."""
    paths = [write_raw(folder, text, name) for name, text in texts.items()]
    keys = keys if "documents" in keys else {"val_split": "text_end", **keys}
    return split_corpus(paths, prepare_config(folder, **keys), end_of_text=end)


def test_the_last_characters_are_for_validation_wherever_the_cut_is(tmp_path: Path) -> None:
    parts = split(tmp_path, {"a.txt": "0123456", "b.txt": "789"}, val_fraction=0.3)

    assert joined(parts.train()) == "01234567"[:7] + "\n"
    assert joined(parts.val()) == "\n789"


def test_parts_can_be_read_again(tmp_path: Path) -> None:
    parts = split(tmp_path, {"a.txt": "0123456789"})

    assert joined(parts.train()) == joined(parts.train()) == "012345678"


def test_documents_are_joined_by_the_separator(tmp_path: Path) -> None:
    parts = split(tmp_path, {"a.txt": "one", "b.txt": "two", "c.txt": "three"}, doc_separator=" ~ ")

    assert joined(parts.train()) + joined(parts.val()) == "one ~ two ~ three"


def test_an_empty_file_is_not_a_document(tmp_path: Path) -> None:
    parts = split(tmp_path, {"a.txt": "one", "b.txt": "", "c.txt": "two"}, doc_separator="|")

    assert joined(parts.train()) + joined(parts.val()) == "one|two"


@pytest.mark.parametrize(("end", "shown"), [("<|endoftext|>", "⟩"), (None, "<|endoftext|>")])
def test_a_separator_that_the_tokenizer_has_as_a_token_becomes_a_mark(
    end: str | None, shown: str, tmp_path: Path
) -> None:
    texts = {"a.txt": "one<|endoftext|>", "b.txt": "two", "c.txt": "x" * 100}
    parts = split(tmp_path, texts, end, doc_separator="<|endoftext|>")

    assert joined(parts.train()).startswith(f"one<|endoftext|>{shown}two{shown}x")


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.text("abc \n", min_size=1), min_size=1, max_size=5),
    fraction=st.floats(0.01, 0.99),
    end=st.sampled_from([None, "--"]),
)
def test_training_and_validation_together_are_the_whole_corpus(
    texts: list[str], fraction: float, end: str | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    whole = ("⟩" if end else "--").join(texts)
    raw = {f"{number}.txt": text for number, text in enumerate(texts)}

    try:
        parts = split(folder, raw, end, val_fraction=fraction, doc_separator="--")
    except DataError:
        assert len(whole) < 200
        return

    assert joined(parts.train()) + joined(parts.val()) == whole


def test_each_speech_of_a_protocol_is_a_document(tmp_path: Path) -> None:
    texts = {"a.xml": protocol(SPEECH, SHORT_SPEECH), "b.txt": "Ende."}
    parts = split(tmp_path, texts, doc_separator="\n=====\n", val_fraction=0.01)

    documents = (joined(parts.train()) + joined(parts.val())).split("\n=====\n")

    assert [document.partition("\n")[0] for document in documents] == [
        "Dr. Erika Beispiel (Blaue Liste):",
        "Ina Test (Aue) (fraktionslos):",
        "Ende.",
    ]


def test_structure_markers_also_enclose_plain_files(tmp_path: Path) -> None:
    texts = {"a.txt": "Guten Tag.", "b.xml": protocol(SHORT_SPEECH)}
    parts = split(tmp_path, texts, add_structure_tokens=True)

    whole = joined(parts.train()) + joined(parts.val())

    assert whole.startswith("<|rede|>\nGuten Tag.\n<|ende|>\n\n<|rede|>\n<|datum|>13.03.2025\n")
    assert whole.endswith("Danke.\n<|ende|>")


def test_lines_are_documents_between_marks(tmp_path: Path) -> None:
    parts = split(
        tmp_path, {"a.txt": "  one \n\n \t\ntwo\n", "b.txt": "three"}, "</s>", documents="lines"
    )

    lines = {*joined(parts.train()).split("⟩"), *joined(parts.val()).split("⟩")}

    assert lines == {"⟨one", "⟨two", "⟨three", ""}
    assert parts.end_bytes == 1


def test_lines_end_with_a_newline_if_the_tokenizer_has_no_end_token(tmp_path: Path) -> None:
    parts = split(tmp_path, {"a.txt": "one\ntwo\nthree"}, documents="lines")

    whole = joined(parts.train()) + joined(parts.val())

    assert sorted(whole.splitlines(keepends=True)) == ["one\n", "three\n", "two\n"]


def test_the_seed_chooses_the_validation_lines_and_no_line_is_in_both(tmp_path: Path) -> None:
    text = "\n".join(f"line {number}" for number in range(200))

    def parts(seed: int) -> tuple[set[str], set[str]]:
        part = split(tmp_path, {"a.txt": text}, documents="lines", seed=seed)
        return set(joined(part.train()).split("\n")[:-1]), set(joined(part.val()).split("\n")[:-1])

    train, val = parts(1)

    assert parts(1) == (train, val)
    assert parts(2) != (train, val)
    assert len(train) == 180
    assert len(val) == 20
    assert train.isdisjoint(val)


def test_even_a_tiny_fraction_holds_out_one_line(tmp_path: Path) -> None:
    parts = split(tmp_path, {"a.txt": "one\ntwo"}, documents="lines", val_fraction=0.001)

    assert len(joined(parts.val()).splitlines()) == 1


@pytest.mark.parametrize("documents", ["files", "lines"])
@pytest.mark.parametrize("text", ["", " \n\t\n"])
def test_an_empty_corpus_is_rejected(documents: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no text in .*input\.txt"):
        split(tmp_path, {"input.txt": text}, documents=documents)


def test_a_protocol_without_speeches_is_an_empty_corpus(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no text"):
        split(tmp_path, {"a.xml": protocol()})


@pytest.mark.parametrize(("documents", "text"), [("files", "x"), ("lines", "one line")])
def test_a_corpus_too_small_to_split_is_rejected(documents: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be divided"):
        split(tmp_path, {"input.txt": text}, documents=documents)


def test_a_mark_ends_a_line() -> None:
    pieces: list[Piece] = [Boundary.START, "a", Boundary.END, Boundary.START, "b\nc", Boundary.END]

    assert [line for line in lines_of(plain_text(iter(pieces))) if line] == ["a", "b", "c"]


def test_the_end_of_each_file_is_for_validation(tmp_path: Path) -> None:
    texts = {"a.txt": "A" * 9 + "a", "b.txt": "B" * 18 + "bb", "c.txt": "", "d.txt": "D" * 9 + "d"}
    for stated in (None, "file_ends"):
        parts = split(tmp_path, texts, doc_separator="|", val_split=stated)
        assert joined(parts.train()) == "|".join(("A" * 9, "B" * 18, "D" * 9))
        assert joined(parts.val()) == "a|bb|d"
        assert joined(parts.val()) == "a|bb|d"


def test_speeches_of_a_protocol_are_divided_as_one_file(tmp_path: Path) -> None:
    texts = {"a.xml": protocol(SPEECH, SHORT_SPEECH), "b.txt": "0123456789"}
    parts = split(tmp_path, texts, val_split=None)
    alone = split(tmp_path, {"a.xml": texts["a.xml"]})
    assert joined(parts.train()) == joined(alone.train()) + "\n\n012345678"
    assert joined(parts.val()) == joined(alone.val()) + "\n\n9"


@settings(max_examples=40)
@given(text=st.text(alphabet="ab\n ", min_size=2), fraction=st.floats(0.01, 0.99))
def test_one_file_is_divided_as_the_whole_text(
    tmp_path_factory: pytest.TempPathFactory, text: str, fraction: float
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    found = []
    for kind in ("file_ends", "text_end"):
        try:
            parts = split(folder, {"a.txt": text}, val_split=kind, val_fraction=fraction)
            found.append((joined(parts.train()), joined(parts.val())))
        except DataError as error:
            found.append((error.message, error.hint))
    assert found[0] == found[1]


def test_files_too_short_to_divide_leave_no_separators_behind(tmp_path: Path) -> None:
    texts = {"a.txt": "a", "b.txt": "b" * 10, "c.txt": "c"}
    parts = split(tmp_path, texts, doc_separator="|", val_split=None)
    assert joined(parts.train()) == "b" * 9
    assert joined(parts.val()) == "a|b|c"


def test_random_documents_are_whole_seeded_and_on_one_side(tmp_path: Path) -> None:
    texts = {f"{number}.txt": f"Text {number}." for number in range(20)} | {"x.txt": " \n"}
    chosen = set()
    for seed in (1, 1, 2):
        keys: dict[str, Any] = {"val_split": "random_documents", "seed": seed, "val_fraction": 0.2}
        parts = split(tmp_path, texts, doc_separator="|", **keys)
        train, val = (joined(side()).split("|") for side in (parts.train, parts.val))
        assert sorted(text for text in (*train, *val) if text.strip()) == sorted(
            text for text in texts.values() if text.strip()
        )
        assert len(val) == 4
        assert joined(parts.val()).split("|") == val
        chosen.add(tuple(val))
    assert len(chosen) == 2


def test_speeches_are_documents_of_a_random_split(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"val_split": "random_documents", "doc_separator": "<|endoftext|>"}
    texts = {"a.xml": protocol(SPEECH, SHORT_SPEECH)}
    parts = split(tmp_path, texts, end="<|endoftext|>", **keys)
    assert {"Danke." in joined(side()) for side in (parts.train, parts.val)} == {True, False}


def test_one_document_cannot_be_divided_by_documents(tmp_path: Path) -> None:
    for texts, message in (
        ({"a.txt": "only one", "b.txt": " "}, "one document"),
        ({"a.txt": " ", "b.txt": "\n"}, "no text"),
    ):
        with pytest.raises(DataError, match=message):
            split(tmp_path, texts, val_split="random_documents")


def test_lines_are_only_divided_at_random(tmp_path: Path) -> None:
    prepare_config(tmp_path, documents="lines", val_split="random_documents")
    for stated in ("file_ends", "text_end"):
        with pytest.raises(ValidationError, match="holds out random lines"):
            prepare_config(tmp_path, documents="lines", val_split=stated)
