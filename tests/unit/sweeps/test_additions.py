"""Values, seeds and runs that are added to a sweep."""

from dataclasses import replace

import pytest

from builders.sweeps import GRID, NORM, RATE
from transformer_playground.errors import PlaygroundError
from transformer_playground.sweeps.additions import Addition, parse_addition
from transformer_playground.sweeps.axes import Choices, parse_axis
from transformer_playground.sweeps.trials import plan


def test_what_is_added_is_read_from_one_line() -> None:
    text = " learning_rate=3e-3, 2e-2 seeds=5  norm=none"
    assert parse_addition(text) == Addition(("learning_rate=3e-3, 2e-2", "norm=none"), 5)
    assert parse_addition("runs=20") == Addition((), None, 20)
    assert parse_addition("") == Addition()


def test_runs_keep_their_ids_and_numbers_stand_in_their_order() -> None:
    grid = replace(GRID, axes=(GRID.axes[0], parse_axis("learning_rate=1e-4..1e-2:log:3")))
    before = {trial.run_id for trial in plan(grid)}

    larger = parse_addition("learning_rate=3e-3,1e-3 seeds=3").to(grid)

    assert larger.axes[1] == Choices(RATE, (1e-4, 1e-3, 3e-3, 1e-2))
    assert larger.seeds == (1, 2, 3)
    assert before < {trial.run_id for trial in plan(larger)}
    assert len(plan(larger)) == 2 * 4 * 3
    # Others are added at the end.
    assert Addition(("norm=none",)).to(grid).axes[0] == Choices(
        NORM, ("rmsnorm", "layernorm", "none")
    )


def test_a_search_gets_more_runs() -> None:
    search = replace(GRID, method="tpe", runs=5)
    assert parse_addition("runs=8").to(search) == replace(search, runs=8)


@pytest.mark.parametrize(
    ("method", "text", "why"),
    [
        ("grid", "", "Nothing is added"),
        ("grid", "norm=rmsnorm", "has model.norm = .* already"),
        ("grid", "dropout=0.1", "model.dropout does not vary in this sweep"),
        ("grid", "seeds=2", "has 2 seeds already"),
        ("grid", "seeds=many", "seeds = many is not a number"),
        ("grid", "seeds=", "is not a number"),
        ("grid", "runs=9", "A grid has no number of runs"),
        ("random", "norm=none", "not to a sweep with the method random"),
        ("tpe", "runs=5", "has 5 combinations already"),
    ],
)
def test_what_cannot_be_added_is_refused(method: str, text: str, why: str) -> None:
    runs = None if method == "grid" else 5
    sweep = replace(GRID, method=method, runs=runs)  # type: ignore[arg-type]
    with pytest.raises(PlaygroundError, match=why):
        parse_addition(text).to(sweep)
