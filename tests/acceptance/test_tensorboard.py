"""TensorBoard's own reader finds what a run wrote."""

from pathlib import Path
from typing import Any

import pytest

from builders.metrics import read_rows
from builders.training import Recorder, resume, runtime, train
from transformer_playground.runs.folder import RunFolder
from transformer_playground.training import system_metrics
from transformer_playground.training.events import Event, StepLogged

TRAIN = {
    "train/loss": "train_loss",
    "train/lr": "lr",
    "train/tokens_per_sec": "tokens_per_sec",
    "train/step_time_ms": "step_time_ms",
}
CHANGE = runtime(tensorboard=True, log_interval=1, max_iters=20, eval_interval=5)


def scalars(run: RunFolder, *, of_machine: bool = False) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reader = EventAccumulator(str(run.tensorboard))
    reader.Reload()
    return {
        tag: [(scalar.step, scalar.value) for scalar in reader.Scalars(tag)]
        for tag in reader.Tags()["scalars"]
        if tag.startswith("system/") == of_machine
    }


def recorded(run: RunFolder) -> dict[str, list[tuple[int, Any]]]:
    rows = read_rows(run.metrics_path)
    return {
        tag: [
            (row["step"], pytest.approx(row[key], rel=1e-6))
            for row in rows
            if row["event"] == ("eval" if tag == "val/loss" else "train")
        ]
        for tag, key in (TRAIN | {"val/loss": "val_loss"}).items()
    }


def test_the_five_scalars_are_there_with_their_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_metrics, "_FIRST", 0.0)
    run = train(tmp_path, CHANGE).run
    found = scalars(run)
    assert found == recorded(run)
    assert [step for step, _ in found["train/loss"]] == [*range(1, 21)]
    assert [step for step, _ in found["val/loss"]] == [0, 5, 10, 15, 20]
    of_machine = scalars(run, of_machine=True)
    assert of_machine["system/disk_free"][0][0] == of_machine["system/cpu_percent"][0][0] == 1


def test_steps_that_a_resume_does_again_are_there_once(tmp_path: Path) -> None:
    def die(event: Event) -> None:
        if isinstance(event, StepLogged) and event.step == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, CHANGE, sinks=[Recorder(react=die)])
    run = RunFolder(tmp_path / "runs" / "run")
    assert scalars(run)["train/loss"][-1][0] == 13
    resume(tmp_path, CHANGE)
    found = scalars(run)
    assert found == recorded(run)
    assert [step for step, _ in found["train/loss"]] == [*range(1, 21)]
    assert [step for step, _ in found["val/loss"]] == [0, 5, 10, 15, 20]
