"""Rows of the picker of experiments."""

import pytest

from transformer_playground.tui.launch.choice_rows import choice_options
from transformer_playground.tui.launch.service import ExperimentChoice
from transformer_playground.tui.runs.details_state import DATA_LABELS


@pytest.mark.parametrize("state", ["", *DATA_LABELS])
def test_the_state_of_the_data_reads_as_in_the_list_of_experiments(state: str) -> None:
    choices = [
        ExperimentChoice("first", "gpt", state, "about one"),
        ExperimentChoice("second", "gpt", "prepared", "about two"),
    ]
    rows = [text.plain for _, text in choice_options(choices)]
    assert DATA_LABELS.get(state, "") in rows[0]
    assert rows[0].index("about one") == rows[1].index("about two")


def test_the_experiment_to_start_with_says_so() -> None:
    choices = [ExperimentChoice(name, "gpt", "missing", "") for name in ("first", "second")]
    rows = [text.plain for _, text in choice_options(choices, ("second", 27))]
    assert "start here, about 27s" in rows[1]
    assert "start here" not in rows[0]
