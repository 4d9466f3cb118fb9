"""When evaluations and samples are due, and what a checkpoint says about progress."""

import dataclasses
from typing import Any

import pytest
import torch

from transformer_playground.errors import CheckpointError
from transformer_playground.training.checkpointing import read_state
from transformer_playground.training.state import TrainingState, due, max_unread_steps


def test_losses_stay_for_up_to_a_hundred_steps_on_an_accelerator_and_for_none_on_the_cpu() -> None:
    assert max_unread_steps(torch.device("cpu")) == 0
    assert max_unread_steps(torch.device("cuda")) == 100


@pytest.mark.parametrize(
    ("interval", "step", "done_at", "expected"),
    [
        (5, 0, None, True),
        (5, 10, None, True),
        (5, 10, 5, True),
        (5, 10, 10, False),
        (5, 11, None, False),
        (1, 11, 10, True),
        (0, 0, None, False),
        (0, 10, None, False),
    ],
)
def test_an_action_is_due_once_at_every_multiple_of_its_interval(
    interval: int, step: int, done_at: int | None, expected: bool
) -> None:
    assert due(interval, step, done_at=done_at) is expected


def payload(scheme: str, **progress: Any) -> dict[str, Any]:
    return {
        "generators": {"scheme": scheme},
        "progress": progress,
        "config": {"train": {"data": {"batch_size": 4}}},
    }


def test_progress_is_read_as_it_was_saved() -> None:
    state = TrainingState(step=7, windows_drawn=28, best_val_loss=2.0)
    assert read_state(payload("windows", **dataclasses.asdict(state))) == state


def test_batches_of_older_checkpoints_are_counted_in_windows() -> None:
    assert read_state(payload("counter", step=7, batches_drawn=7)).windows_drawn == 28


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (payload("dice", step=7), "unknown random number scheme"),
        ({**payload("windows"), "generators": {}}, "unknown random number scheme"),
        (payload("windows", steps=7), "does not fit this run"),
        (payload("counter", step=7), "does not fit this run"),
        ({**payload("counter", batches_drawn=7), "config": {}}, "does not fit this run"),
        ({**payload("windows"), "progress": 5}, "does not fit this run"),
        ({**payload("windows"), "progress": [1]}, "does not fit this run"),
        ({**payload("windows"), "progress": ["abc"]}, "does not fit this run"),
    ],
)
def test_progress_that_makes_no_sense_is_refused(content: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        read_state(content)
