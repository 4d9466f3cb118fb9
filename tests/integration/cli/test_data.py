"""`tp data`: what it says of a prepared dataset, and what it refuses."""

from typing import Any

import pytest

from builders.commands import CONTROL, Project, Tp
from builders.schemas import check
from builders.training import TEXT


def test_every_part_fits_the_schema_and_the_text_of_the_dataset(trained: Project, tp: Tp) -> None:
    words = ("--window", 2, "--search", "wall", "--vocabulary", "--documents", "--overlap")
    ended = tp("data", "tiny", *words, "--batch", 1, "--json")
    (document,) = ended.lines
    check("data", document)
    size = len(document["window"]["ids"])
    assert document["window"]["text"] == TEXT[2 * size : 3 * size]
    assert document["search"]["first"] == TEXT.index("wall")
    assert sum(row["train"] for row in document["vocabulary"]) == document["train_tokens"]
    assert document["documents"]["train"]["lines"] > 1
    assert document["overlap"]["shared"] == 0
    rows: list[dict[str, Any]] = document["batch"]["rows"]
    assert all(row["text"] in TEXT for row in rows)
    # A run has the dataset of its experiment, and the batches of its own seed.
    same = tp("data", "first", *words, "--batch", 1, "--json").lines[0]
    assert same == document | {"name": "first", "folder": same["folder"]}
    shown = tp("data", "first", *words, "--batch", 1).out
    assert "stands at token" in shown
    assert not CONTROL.search(shown)
    assert "vocabulary" in tp("data", "first").out
    ended = tp("data", "first", "--hardest", "--json")
    (document,) = ended.lines
    check("data", document)
    losses = [window["loss"] for window in document["hardest"]]
    assert losses == sorted(losses, reverse=True)
    assert "hardest windows of val" in tp("data", "first", "--hardest").out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("tiny", "--window", 10**9), "There is no window 1,000,000,000 in train"),
        (("tiny", "--batch", 0), "There is no step 0"),
        (("tiny", "--search", ""), "nothing to search for"),
        (("tiny", "--split", "val"), "no effect without --window or --search"),
        (("tiny", "--hardest"), "has no model to measure with"),
        (("nobody",), "There is no run 'nobody'"),
    ],
)
def test_what_is_not_there_is_refused_in_a_sentence(
    trained: Project, tp: Tp, words: tuple[object, ...], sentence: str
) -> None:
    ended = tp("data", *words)
    assert ended.code != 0
    assert sentence in ended.err


def test_a_dataset_that_is_not_prepared_says_how_to_prepare_it(project: Project, tp: Tp) -> None:
    ended = tp("data", "tiny")
    assert ended.code != 0
    assert "tp prepare tiny" in ended.err
