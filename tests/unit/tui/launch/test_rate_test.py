"""Which launches have a learning-rate range test, and what its process is asked."""

from pathlib import Path
from unittest.mock import MagicMock

import pytest

from transformer_playground.training.launch import Launch
from transformer_playground.tui.launch.rate_test import RateTest, untestable


@pytest.mark.parametrize(
    ("launch", "words"),
    [
        (Launch("tiny", ("model.n_layer=1",)), ""),
        (Launch("tiny", resume="old"), "it is for new runs"),
        (Launch("tiny", branch=("old", "best")), "it is for new runs"),
        (Launch("tiny", ("model.dropout=0.1,0.2",)), "choose one value of model.dropout"),
    ],
)
def test_only_one_new_run_has_a_range_test(launch: Launch, words: str) -> None:
    found = untestable(launch)

    assert words in found
    assert bool(found) == bool(words)


@pytest.mark.parametrize("output", ["", "Warning: no GPU", "[" * 100_000])
def test_a_result_that_cannot_be_read_is_told(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    test = RateTest(Path("experiments"), Path("runs"), Launch("tiny"))
    ended = MagicMock(code=0, output=output)
    monkeypatch.setattr(test, "_process", MagicMock(is_stopped=False, run=lambda _: ended))

    assert test.run() == "The test has ended without a result that can be read."
