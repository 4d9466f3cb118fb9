"""Rows of a child process as events of its job."""

from pathlib import Path
from typing import Any

import pytest

from transformer_playground.training.events import (
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    StatusChanged,
    Warned,
)
from transformer_playground.training.launch import Launch
from transformer_playground.training.processes import RankCommand
from transformer_playground.training.sinks.run_files import event_rows
from transformer_playground.tui.core.child_run import event_of

STARTED = RunStarted(
    step=3,
    run_id="run",
    max_iters=9,
    parameters=5,
    device="cpu",
    dtype="float32",
    dtype_reason="as configured",
    tokens_per_step=8,
    resumed_from=None,
)
FINISHED = RunFinished(
    step=9,
    status="stopped",
    early_stopped=False,
    best_val_loss=1.0,
    best_step=8,
    tokens_seen=72,
    wall_time=1.0,
    peak_memory=1,
)


@pytest.mark.parametrize(
    "event",
    [
        STARTED,
        FINISHED,
        StatusChanged(step=4, status="paused"),
        StatusChanged(step=4, status="running"),
        Warned(step=4, message="the disk is full"),
        RunFailed(step=4, error="loss is nan"),
    ],
)
def test_an_event_survives_the_way_through_a_row(event: Event) -> None:
    assert event_of(event_rows(event)[-1]) == event


@pytest.mark.parametrize(
    ("row", "step"), [({"event": "train", "step": 7}, 7), ({"event": "summary"}, None)]
)
def test_of_other_rows_the_step_counts(row: dict[str, Any], step: int | None) -> None:
    event = event_of(row)
    assert (event and event.step) == step


def test_a_command_survives_the_way_through_an_argument() -> None:
    launch = Launch("tiny", ("a.b=1",), "run", branch=("parent", "best"), config=Path("c.toml"))
    command = RankCommand(launch, Path("experiments"), Path("runs"), json_output=True)
    assert RankCommand.parse(command.text()) == command
    plain = RankCommand(Launch("tiny", resume="run"), Path("e"), Path("r"))
    assert RankCommand.parse(plain.text()) == plain
