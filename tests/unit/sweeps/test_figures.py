"""Heat maps and parallel coordinates, on losses with a known truth."""

import pytest

from builders.runs import run_info
from transformer_playground.sweeps.axes import Choices
from transformer_playground.sweeps.figures import heat_map, loss_limit, parallel_coordinates
from transformer_playground.sweeps.trials import State, Trial, TrialState

NORM, RATE, LAYERS = "model.norm", "train.optim.learning_rate", "model.n_layer"
AXES = (Choices(NORM, ("rmsnorm", "layernorm")), Choices(RATE, (1e-2, 1e-3, 1e-4)))


def trial(norm: str, rate: float, loss: float | None, seed: int = 1, **of: State) -> TrialState:
    """A trial; without a loss it is in the state `state`."""
    values = ((NORM, norm), (RATE, rate))
    one = Trial(0, values, seed, f"s-{norm}-{rate}-{seed}")
    if loss is None:
        return TrialState(one, of.get("state", "open"))
    row = run_info(one.run_id, best_val_loss=loss, tokens_per_sec_median=1000.0 * loss)
    return TrialState(one, "finished", row)


STATES = [
    trial("rmsnorm", 1e-3, 2.0, seed=1),
    trial("rmsnorm", 1e-3, 2.2, seed=2),
    trial("rmsnorm", 1e-2, 4.1),
    trial("layernorm", 1e-3, 3.0),
    trial("layernorm", 1e-2, None, seed=1),
    trial("layernorm", 1e-2, None, seed=2, state="running"),
]


def test_a_heat_map_has_the_mean_of_each_pair_of_values_and_numbers_in_their_order() -> None:
    found = heat_map(AXES, STATES, (NORM, RATE))

    assert found.rows == ("rmsnorm", "layernorm")
    assert found.columns == ("1e-4", "1e-3", "1e-2")
    best, worst = found.cells[0][1], found.cells[0][2]
    assert best.loss.mean == pytest.approx(2.1)
    assert (best.loss.n, best.shade, best.is_best) == (2, 0, True)
    assert (worst.shade, worst.is_best) == (3, False)
    assert found.cells[1][1].shade == 1
    assert found.most_runs == 2


def test_a_cell_without_a_loss_says_what_its_trials_do() -> None:
    found = heat_map(AXES, STATES, (RATE, NORM))

    assert found.cells[2][1].state == "running"
    assert found.cells[0][0].state is None
    assert found.cells[2][1].shade is None


def test_equal_losses_are_all_best() -> None:
    found = heat_map(
        AXES, [trial("rmsnorm", 1e-3, 2.0), trial("layernorm", 1e-3, 2.0)], (NORM, RATE)
    )

    assert [row[1].is_best for row in found.cells] == [True, True]
    assert [row[1].shade for row in found.cells] == [0, 0]


def test_parallel_coordinates_have_a_line_for_each_loss_the_best_one_last() -> None:
    axes, lines = parallel_coordinates(AXES, STATES)

    assert [axis.title for axis in axes] == ["norm", "learning_rate", "tokens/s", "val loss"]
    assert axes[1].ticks == ((0.0, "1e-4"), (0.5, "1e-3"), (1.0, "1e-2"))
    assert [text for _, text in axes[3].ticks] == ["2.0000", "4.1000"]
    assert len(lines) == 4
    assert lines[-1].state is STATES[0]
    assert lines[-1].places == (0.0, 0.5, 0.0, 0.0)
    assert lines[0].places == (0.0, 1.0, 1.0, 1.0)
    assert (lines[0].share, lines[-1].share) == (1.0, 0.0)


def test_a_single_run_and_none_have_axes_too() -> None:
    axes, lines = parallel_coordinates(AXES, [STATES[2]])
    assert lines[0].places[2:] == (0.0, 0.0)
    assert len(axes[2].ticks) == 1

    axes, lines = parallel_coordinates(AXES, [])
    assert lines == ()
    assert axes[3].ticks == ()


def test_a_heat_map_of_no_trials_is_empty() -> None:
    found = heat_map((*AXES, Choices(LAYERS, (1, 2))), [], (LAYERS, RATE))

    assert found.most_runs == 0
    assert {cell.state for row in found.cells for cell in row} == {None}


def test_a_diverged_run_does_not_hide_the_differences_of_others() -> None:
    rates = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    losses = (2.0, 2.2, 2.4, 2.1, 90.0)
    states = [trial("rmsnorm", rate, loss) for rate, loss in zip(rates, losses, strict=True)]
    axes = (AXES[0], Choices(RATE, rates))

    (row, _) = heat_map(axes, states, (NORM, RATE)).cells
    assert [cell.shade for cell in row] == [0, 2, 3, 1, 3]
    columns, lines = parallel_coordinates(axes, states)
    assert columns[3].ticks == ((0.0, "2.0000"), (1.0, "≥ 2.4000"))
    assert [round(line.share, 2) for line in lines] == [1.0, 1.0, 0.5, 0.25, 0.0]


def test_the_limit_of_losses_is_the_worst_where_others_are_equal() -> None:
    assert loss_limit([2.0, 2.0, 2.0, 2.0, 9.0]) == 9.0
    assert loss_limit([2.0, 90.0]) == 90.0
    assert loss_limit([]) == 0.0
