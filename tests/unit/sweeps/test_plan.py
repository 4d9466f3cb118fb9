"""Plans: which trials a sweep has."""

from dataclasses import replace

import pytest

from transformer_playground.errors import ConfigError
from transformer_playground.runs.folder import generated_suffix
from transformer_playground.sweeps.axes import Choices, parse_axis
from transformer_playground.sweeps.spec import Sweep
from transformer_playground.sweeps.trials import plan

NORMS = Choices("model.norm", ("rmsnorm", "layernorm"))
GRID = Sweep("s", "tiny", (NORMS, Choices("model.n_layer", (1, 2, 3))), (5, 6))
DRAWN = replace(GRID, axes=(NORMS, parse_axis("learning_rate=1e-4..1e-2:log")), method="random")


def test_a_grid_has_each_combination_with_each_seed_once() -> None:
    trials = plan(GRID)

    assert [trial.number for trial in trials] == list(range(12))
    assert len({(trial.values, trial.seed) for trial in trials}) == 12
    assert trials[1].overrides(GRID) == (
        'model.norm="rmsnorm"',
        "model.n_layer=1",
        "train.runtime.seed=6",
    )


def test_runs_have_the_form_of_generated_ids() -> None:
    # So that lists call them by their settings.
    assert len({generated_suffix(trial.run_id) for trial in plan(GRID)} - {None}) == 12


def test_a_run_keeps_its_id_when_values_and_seeds_are_added() -> None:
    more = replace(GRID, seeds=(4, 5, 6), axes=(GRID.axes[1], NORMS))

    before = {(frozenset(trial.values), trial.seed): trial.run_id for trial in plan(GRID)}
    after = {(frozenset(trial.values), trial.seed): trial.run_id for trial in plan(more)}

    assert before.items() <= after.items()
    other = plan(replace(GRID, settings=("model.n_embd=8",)))
    assert not {trial.run_id for trial in other} & set(before.values())


def test_more_random_runs_add_to_the_earlier_ones() -> None:
    few, many = plan(replace(DRAWN, runs=4)), plan(replace(DRAWN, runs=9))

    assert many[: len(few)] == few
    assert plan(replace(DRAWN, runs=4)) == few
    assert plan(replace(DRAWN, runs=4, draw_seed=1)) != few


def test_equal_random_combinations_are_trained_once() -> None:
    trials = plan(replace(GRID, method="random", runs=100))

    assert len(trials) == 12


def test_a_grid_that_is_too_large_is_refused() -> None:
    many = Choices("model.n_layer", tuple(range(1, 200)))
    with pytest.raises(ConfigError, match="would have"):
        plan(replace(GRID, axes=(NORMS, many, replace(many, key="model.n_head"))))
