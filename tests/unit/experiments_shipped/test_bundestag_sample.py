from collections import Counter

import pytest

from transformer_playground.data.sources.corpora import bundled_text


@pytest.fixture(scope="module")
def sample() -> str:
    return bundled_text("bundestag_sample").read_bytes().decode("utf-8")


def test_the_sample_is_large_enough_to_train_on(sample: str) -> None:
    assert len(sample.encode("utf-8")) >= 22_000


def test_the_sample_is_german_with_every_special_letter_and_digit(sample: str) -> None:
    assert set("äöüÄÖÜß–„“0123456789") <= set(sample)


def test_speeches_begin_with_a_role_and_are_parted_by_a_blank_line(sample: str) -> None:
    speeches = sample.rstrip("\n").split("\n\n")
    assert len(speeches) >= 30
    for speech in speeches:
        role, *paragraphs = speech.split("\n")
        assert role.endswith(":")
        assert paragraphs
        assert all(paragraphs)


def test_there_are_interjections_in_brackets(sample: str) -> None:
    interjections = [line for line in sample.splitlines() if line.startswith("(")]
    assert len(interjections) >= 40
    assert all(line.endswith(")") for line in interjections)


def test_no_paragraph_is_there_twice(sample: str) -> None:
    paragraphs = [line for line in sample.splitlines() if len(line) > 80]
    assert max(Counter(paragraphs).values()) == 1


def test_the_validation_tail_has_no_character_that_training_lacks(sample: str) -> None:
    border = int(len(sample) * 0.9)
    assert set(sample[border:]) <= set(sample[:border])
