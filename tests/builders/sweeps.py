"""Trials of sweeps whose losses are known."""

from collections.abc import Mapping
from typing import Any

from builders.runs import run_info
from transformer_playground.sweeps.trials import State, Trial, TrialState


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
