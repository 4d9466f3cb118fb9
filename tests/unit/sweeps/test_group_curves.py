"""Learning curves by group: means and bands over seeds, on curves with a known truth."""

from pathlib import Path

import numpy as np
import pytest

from builders.runs import append_rows, eval_row
from builders.sweeps import trial_state
from transformer_playground.runs.column_buffer import FloatArray
from transformer_playground.runs.folder import RunFolder
from transformer_playground.sweeps.axes import Axis, Choices
from transformer_playground.sweeps.group_curves import (
    curves_by_combination,
    curves_by_setting,
    losses_reader,
)
from transformer_playground.sweeps.results import combine
from transformer_playground.sweeps.trials import TrialState

NORM, LAYERS = "model.norm", "model.n_layer"
AXES: list[Axis] = [Choices(NORM, ("rmsnorm", "layernorm")), Choices(LAYERS, (1, 2))]


def read(state: TrialState) -> tuple[FloatArray, FloatArray]:
    """A curve whose level is the run's loss; it ends at step 4 where it was pruned."""
    assert state.row is not None
    loss = state.row.summary.best_val_loss or 0.0
    steps = np.array([2.0, 4.0] if state.state == "pruned" else [2.0, 4.0, 6.0])
    return steps, loss + 1 / steps


STATES = [
    trial_state(
        {NORM: norm, LAYERS: layers}, seed, 2.0 + 0.1 * seed + layers + 0.5 * (norm == "rmsnorm")
    )
    for norm, offset in (("rmsnorm", 0.5), ("layernorm", 0.0))
    for layers in (1, 2)
    for seed in (0, 2)
]


def test_a_combination_has_the_mean_over_its_seeds_with_its_standard_error() -> None:
    curves = curves_by_combination(combine(STATES), read)

    assert [curve.label for curve in curves] == [
        "layernorm n_layer=1",
        "rmsnorm n_layer=1",
        "layernorm n_layer=2",
        "rmsnorm n_layer=2",
    ]
    assert curves[0].steps.tolist() == [2, 4, 6]
    assert curves[0].mean.tolist() == pytest.approx([3.6, 3.35, 3.1 + 1 / 6])
    assert curves[0].error.tolist() == pytest.approx([0.1] * 3)
    assert curves[0].runs == 2


def test_the_band_of_a_value_is_the_spread_of_seeds_not_that_of_other_settings() -> None:
    first, second = curves_by_setting(AXES, combine(STATES), NORM, read)

    assert (first.label, second.label) == ("rmsnorm", "layernorm")
    assert (first.mean - second.mean).tolist() == pytest.approx([0.5] * 3)
    assert first.error.tolist() == pytest.approx([0.1] * 3)
    assert first.runs == 4


def test_a_curve_ends_where_the_first_of_its_runs_was_stopped() -> None:
    stopped = trial_state({NORM: "rmsnorm", LAYERS: 1}, 0, 9.0, "pruned")
    states = [stopped if each.trial == stopped.trial else each for each in STATES]

    first, second = curves_by_setting(AXES, combine(states), NORM, read)

    assert first.steps.tolist() == [2, 4]
    assert second.steps.tolist() == [2, 4, 6]


def test_runs_in_training_count_only_until_one_of_the_group_has_ended() -> None:
    running = [
        trial_state({NORM: norm, LAYERS: 1}, 1, 5.0, "running") for norm in ("rmsnorm", "layernorm")
    ]
    done = trial_state({NORM: "rmsnorm", LAYERS: 1}, 0, 4.0)

    first, second = curves_by_setting(AXES, combine([*running, done]), NORM, read)

    assert (first.runs, second.runs) == (1, 1)
    assert first.mean[0] == pytest.approx(4.5)
    assert np.isnan(first.error).all()


def test_failed_runs_and_those_without_an_evaluation_have_no_curve() -> None:
    failed = trial_state({NORM: "rmsnorm", LAYERS: 1}, 1, 5.0, "failed")
    none = np.empty(0)

    assert curves_by_combination(combine([failed]), read) == []
    assert curves_by_combination(combine(STATES), lambda _: (none, none)) == []
    unknown = trial_state({NORM: "rmsnorm", LAYERS: 1}, 1, None)
    assert curves_by_combination(combine([unknown]), read) == []


def test_losses_are_read_from_the_run_and_again_when_it_has_grown(tmp_path: Path) -> None:
    state = STATES[0]
    run = RunFolder(tmp_path / state.trial.run_id)
    run.root.mkdir()
    read_losses = losses_reader(tmp_path)
    assert read_losses(state)[0].size == 0
    append_rows(run, [eval_row(2, 3.0)])
    assert [part.tolist() for part in read_losses(state)] == [[2.0], [3.0]]
    append_rows(run, [eval_row(4, 2.5)])

    assert [part.tolist() for part in read_losses(state)] == [[2.0, 4.0], [3.0, 2.5]]
