"""Events of training, as the trainer emits them."""

from typing import Any

from transformer_playground.training.events import StepLogged


def logged_step(step: int, **changes: Any) -> StepLogged:
    """A logged step with plausible numbers.

    Args:
        step: Optimizer steps that are done.
        changes: Fields that matter to the test.
    """
    numbers = {
        "train_loss": 1.0,
        "lr": 1e-3,
        "tokens_per_sec": 100.0,
        "step_time_ms": 1.0,
        "data_share": 0.01,
        "grad_norm": 1.0,
        "tokens_seen": step,
    }
    return StepLogged(step=step, **(numbers | changes))
