"""Trials of sweeps whose losses are known."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from builders.runs import run_info
from transformer_playground.sweeps.axes import Choices
from transformer_playground.sweeps.spec import Sweep
from transformer_playground.sweeps.trials import State, Trial, TrialState

NORM, RATE = "model.norm", "train.optim.learning_rate"
GRID = Sweep(
    "pe",
    "tiny",
    (Choices(NORM, ("rmsnorm", "layernorm")), Choices(RATE, (1e-3, 1e-2))),
    (1, 2),
)
"""Four combinations with two seeds each."""


def trial_state(
    values: Mapping[str, Any], seed: int, loss: float | None, state: State = "finished"
) -> TrialState:
    """A trial whose run has this best validation loss; None = it has not been trained."""
    name = "-".join(map(str, values.values()))
    trial = Trial(0, tuple(values.items()), seed, f"s-{name}-{seed}")
    if loss is None:
        return TrialState(trial, "open")
    row_state = "stopped" if state == "pruned" else state
    return TrialState(trial, state, run_info(trial.run_id, row_state, best_val_loss=loss))


def grid_states(loss: Callable[[str, float, int], float | None]) -> tuple[TrialState, ...]:
    """The trials of `GRID`; a loss of None = not trained yet."""
    norms, rates = (axis.values for axis in GRID.axes)
    found = [
        trial_state({NORM: norm, RATE: rate}, seed, loss(norm, rate, seed))
        for norm in norms
        for rate in rates
        for seed in GRID.seeds
    ]
    return tuple(
        replace(each, trial=replace(each.trial, number=number)) for number, each in enumerate(found)
    )


def additive(norm: str, rate: float, seed: int) -> float:
    """A loss in which the norm matters little and the learning rate much."""
    return 2.0 + 0.1 * (norm == "layernorm") + 1.0 * (rate == 1e-3) + 0.01 * seed
