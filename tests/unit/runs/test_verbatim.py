"""Where texts stand in the training text of a run, word for word."""

from pathlib import Path

import pytest

from builders.corpora import prepared
from transformer_playground.data.dataset import Dataset, open_dataset
from transformer_playground.data.tokenizers import Tokenizer, load_tokenizer
from transformer_playground.runs.verbatim import SourcePlace, TrainingText, passage_heading

TEXT = "one two\nthree four\n\nfive six\nseven eight\n\nnine ten\n" * 3


@pytest.fixture
def data(tmp_path: Path) -> tuple[Dataset, Tokenizer]:
    config = prepared(tmp_path, TEXT, tokenizer_type="char")
    folder = Path(config.dataset_dir)
    return open_dataset(folder, prepare_command="tp prepare"), load_tokenizer(folder)


def test_the_longest_passage_is_found_with_its_line_paragraph_and_surroundings(
    data: tuple[Dataset, Tokenizer],
) -> None:
    (found,) = TrainingText(*data).passages(["!!six\nseven!! one"])
    assert found is not None
    assert found.text == "six\nseven"
    assert found.start == 2
    assert found.share == pytest.approx(9 / 17)
    assert found.place == SourcePlace(4, 2, "paragraph")
    assert found.before.endswith("three four\n\nfive ")
    assert found.after.startswith(" eight\n\nnine")
    assert found.searched == 1
    assert passage_heading(found, 17) == (
        "verbatim: 9 of 17 characters (53%) from line 4, paragraph 2 of the training text"
    )


def test_a_text_without_a_known_character_has_no_passage(data: tuple[Dataset, Tokenizer]) -> None:
    assert TrainingText(*data).passages(["!!", ""]) == [None, None]
    assert "no character" in passage_heading(None, 2)


def test_only_the_start_of_a_long_text_is_searched_and_that_is_said(
    data: tuple[Dataset, Tokenizer],
) -> None:
    training = TrainingText(*data, max_bytes=20)
    found, other = training.passages(["three four", "eight"])
    assert found is not None
    assert other is not None
    assert found.text == "three four"
    assert other.text == "e"
    assert found.searched < 1
    assert "% were searched)" in passage_heading(found, 10)
