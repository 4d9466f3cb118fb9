"""Which launches have a learning-rate range test, and what its process is asked."""

import pytest

from transformer_playground.training.launch import Launch
from transformer_playground.tui.launch.rate_test import untestable


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
