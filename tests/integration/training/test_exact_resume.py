"""A run that was interrupted anywhere equals one that was not, bit for bit."""

from pathlib import Path
from typing import Any

import pytest

from builders.training import (
    Recorder,
    equal,
    final_payload,
    merged,
    resume,
    rows_of,
    runtime,
    train,
)
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import Evaluated, Event, RunStarted, StepLogged

# Beyond the second evaluation and the first epoch of the sequential sampler.
STEPS = 11
VARIANTS: dict[str, dict[str, Any]] = {
    "adamw": {},
    "muon": {"train": {"optim": {"optimizer": "muon"}}},
    "dropout, accumulation and average": {
        "model": {"dropout": 0.2},
        "train": {"data": {"grad_accum_steps": 2}, "runtime": {"ema_decay": 0.9}},
    },
    "muon with everything": {
        "model": {"dropout": 0.1, "positional_encoding": "rope", "qk_norm": True},
        "train": {
            "optim": {"optimizer": "muon"},
            "data": {"grad_accum_steps": 3, "sampler": "sequential"},
            "runtime": {"ema_decay": 0.8, "sample_interval": 4},
        },
    },
    "bfloat16": {"model": {"dropout": 0.1}, "train": {"runtime": {"dtype": "bfloat16"}}},
}


def stop_after(control: TrainingControl, step: int) -> Recorder:
    """Asks to stop as soon as `step` steps are done; needs log_interval = 1."""

    def react(event: Event) -> None:
        if isinstance(event, StepLogged) and event.step == step:
            control.stop()
        if step == 0 and isinstance(event, RunStarted):
            control.stop()

    return Recorder(react=react)


@pytest.mark.parametrize("name", VARIANTS)
def test_an_interruption_at_any_step_changes_nothing(name: str, tmp_path: Path) -> None:
    change = merged(VARIANTS[name], runtime(log_interval=1, max_iters=STEPS))
    straight = train(tmp_path, change, run_id="straight").run
    expected = final_payload(straight)
    for step in range(STEPS):
        control = TrainingControl()
        run_id = f"cut-{step}"
        stopped = train(
            tmp_path, change, run_id=run_id, control=control, sinks=[stop_after(control, step)]
        )
        assert stopped.state.step == step
        run = resume(tmp_path, change, run_id=run_id).run
        assert equal(final_payload(run), expected), f"interrupted at {step}"
        for event in ("train", "eval"):
            assert rows_of(run, event) == rows_of(straight, event), f"interrupted at {step}"


def test_log_windows_cut_by_an_interruption_are_completed(tmp_path: Path) -> None:
    change = runtime(log_interval=3, max_iters=10)
    straight = train(tmp_path, change, run_id="straight").run
    control = TrainingControl()

    def react(event: Event) -> None:
        if isinstance(event, Evaluated) and event.step == 5:
            control.stop()

    train(tmp_path, change, run_id="cut", control=control, sinks=[Recorder(react=react)])
    run = resume(tmp_path, change, run_id="cut").run
    assert rows_of(run, "train") == rows_of(straight, "train")


def test_an_evaluation_interrupted_by_a_stop_is_repeated_after_the_resume(tmp_path: Path) -> None:
    change = runtime(max_iters=10, log_interval=1, early_stop_patience=9)
    straight = train(tmp_path, change, run_id="straight").run
    control = TrainingControl()
    stopped = train(
        tmp_path, change, run_id="cut", control=control, sinks=[stop_after(control, 10)]
    )
    assert stopped.summary["status"] == "stopped"
    assert [row["step"] for row in rows_of(stopped.run, "eval")] == [0, 5]
    run = resume(tmp_path, change, run_id="cut").run
    assert rows_of(run, "eval") == rows_of(straight, "eval")
    assert equal(final_payload(run), final_payload(straight))
