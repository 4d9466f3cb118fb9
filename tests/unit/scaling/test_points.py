"""Results of a family: only runs that have seen their whole budget are points of a law."""

from dataclasses import replace
from pathlib import Path

from builders.sweeps import trial_state
from transformer_playground.config.schema import ExperimentConfig
from transformer_playground.scaling.family import Member
from transformer_playground.scaling.points import read_results
from transformer_playground.scaling.shapes import Shape


def test_a_run_that_ended_before_its_last_step_is_left_out_with_a_word(tmp_path: Path) -> None:
    state = trial_state({}, 1, 2.0)
    assert state.row is not None
    cut = replace(state.row, summary=replace(state.row.summary, train_step=5, eval_step=4))
    member = Member(Shape(1, 16, 1, None, 1000), 8, ExperimentConfig(), "fixed")
    words: list[str] = []

    (result,) = read_results([member], [replace(state, row=cut)], tmp_path, tmp_path, words.append)

    assert result.point is None
    assert (result.planned, result.runs) == (1, ())
    assert words == [f"{cut.run_id} ended after 5 of 8 steps and is left out"]
