"""The lines that say what a sample copies."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.cells import cell_len

from builders.hostile import harm_in, hostile_texts
from builders.runs import make_run
from transformer_playground.runs.verbatim import Passage, SourcePlace, TrainingText
from transformer_playground.tui.sample.verbatim_state import VerbatimFinder, passage_lines

PLACE = SourcePlace(1234, 56, "document")


def plain(passage: Passage | None, width: int) -> list[str]:
    lines = passage_lines(passage, 40, width)
    return ["".join(text for text, _ in line) for line in lines]


def test_the_passage_stands_between_the_training_text_around_it() -> None:
    passage = Passage("the king\nsaid", 0, 0.325, "once upon a time ", " that he", PLACE, 1.0)
    assert plain(passage, 100) == [
        "verbatim: 13 of 40 characters (32%) from line 1,234, document 56 of the training text",
        "…once upon a time the king⏎said that he…",
    ]
    assert plain(passage, 40)[1] == "…upon a time the king⏎said that he…"
    assert plain(None, 80) == ["verbatim: no character of it stands in the training text"]


@pytest.mark.parametrize("width", [20, 58, 120])
def test_hostile_passages_are_harmless_and_lines_fit(width: int) -> None:
    for text in hostile_texts(60, seed=12):
        passage = Passage(text, 0, 1.0, text[::-1], text, None, 0.5)
        for line in passage_lines(passage, len(text), width):
            assert all(harm_in(piece, one_line=True) is None for piece, _ in line)
            assert sum(cell_len(piece) for piece, _ in line) <= width


def test_the_training_text_is_read_once_and_again_when_the_run_was_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def of(run: Any, _tokenizer: Any, **_: Any) -> Any:
        read.append(run.run_id)
        number = len(read)
        return SimpleNamespace(passages=lambda _: [number])

    monkeypatch.setattr(TrainingText, "of", of)
    run = make_run(tmp_path, "one")
    loaded: Any = SimpleNamespace(run_id="one", tokenizer=None)
    finder: Any = VerbatimFinder(tmp_path, tmp_path)
    assert finder.find(loaded, ["a"]) == finder.find(loaded, ["b"]) == [1]
    os.utime(run.config_path, (1, 1))
    assert finder.find(loaded, ["a"]) == [2]
