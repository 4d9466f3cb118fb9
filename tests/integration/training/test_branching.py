"""A branch: a new run that starts from a checkpoint of another."""

import itertools
import json
import time
from pathlib import Path
from typing import Any

import pytest

from builders.training import (
    Recorder,
    equal,
    final_payload,
    request_for,
    resume,
    rows_of,
    runtime,
    train,
)
from transformer_playground.checkpoints.discovery import newest_valid
from transformer_playground.checkpoints.loading import load_payload
from transformer_playground.data.prepare import prepare_dataset
from transformer_playground.errors import CheckpointError, RunError, UsageError
from transformer_playground.runs.folder import read_run_config
from transformer_playground.runs.summary import read_summary
from transformer_playground.training.events import CheckpointSaved, Event, RunStarted, StepLogged
from transformer_playground.training.run import TrainingResult, start

LONG: dict[str, Any] = {
    "train": {"checkpointing": {"keep": {"last": 10}}, "runtime": {"log_interval": 3}}
}
MIDDLE = "ckpt_last_00000010.pt"


def branch(
    folder: Path,
    *changes: dict[str, Any],
    checkpoint: str = MIDDLE,
    run_id: str = "branch",
    sinks: tuple[Recorder, ...] = (),
    notices: list[str] | None = None,
) -> TrainingResult:
    return start(
        request_for(folder, *changes),
        folder / "runs",
        run_id=run_id,
        branch_from=("parent", checkpoint),
        sinks=sinks,
        notify=(notices if notices is not None else []).append,
    )


@pytest.mark.parametrize(
    "settings",
    [{}, {"model": {"dropout": 0.2}, "train": {"runtime": {"ema_decay": 0.9}}}],
    ids=["plain", "dropout and average"],
)
def test_a_branch_with_unchanged_settings_repeats_its_parent_bit_for_bit(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    parent = train(tmp_path, LONG, settings, run_id="parent").run
    before = {path: path.read_bytes() for path in parent.root.rglob("*") if path.is_file()}
    run = branch(tmp_path, LONG, settings).run
    assert rows_of(run, "train") == [row for row in rows_of(parent, "train") if row["step"] > 10]
    losses = [(row["step"], row["val_loss"]) for row in rows_of(parent, "eval")]
    assert [(row["step"], row["val_loss"]) for row in rows_of(run, "eval")] == [
        (step, loss) for step, loss in losses if step >= 10
    ]
    ours, theirs = final_payload(run), final_payload(parent)
    for part in ("model", "optimizer", "ema", "step", "tokens_seen", "batch_cursor"):
        assert equal(ours[part], theirs[part]), part
    assert before == {path: path.read_bytes() for path in before}


def test_a_branch_records_its_parent_and_starts_with_a_checkpoint(tmp_path: Path) -> None:
    train(tmp_path, LONG, run_id="parent")
    at_start: list[int] = []

    def look(event: Event) -> None:
        if isinstance(event, StepLogged):
            found = newest_valid(tmp_path / "runs" / "branch" / "checkpoints")
            at_start.append(load_payload(found.path)["step"])

    recorder = Recorder(react=look)
    run = branch(tmp_path, LONG, sinks=(recorder,)).run
    assert read_run_config(run)["parent"] == {
        "run_id": "parent",
        "checkpoint": MIDDLE,
        "step": 10,
    }
    assert at_start[0] == 10
    started = recorder.of(RunStarted)[0]
    assert (started.step, started.resumed_from) == (10, None)
    saved = recorder.of(CheckpointSaved)[0]
    assert (saved.step, saved.kinds) == (10, ("last",))
    rows = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    assert rows[0]["event"] == "status"
    assert all(row["event"] != "resume" for row in rows)


def test_a_branch_uses_changed_settings_from_its_checkpoint_on(tmp_path: Path) -> None:
    train(tmp_path, LONG, run_id="parent")
    change = {"train": {"optim": {"learning_rate": 5e-4}, "runtime": {"max_iters": 25}}}
    result = branch(tmp_path, LONG, change)
    assert result.state.step == 25
    rates = [row["lr"] for row in rows_of(result.run, "train")]
    assert max(rates) <= 5e-4


def test_a_branch_of_a_limited_run_goes_on_with_its_time_and_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    limited = runtime(max_iters=1000, max_minutes=2, eval_interval=10, log_interval=1)
    parent = train(tmp_path, LONG, limited, run_id="parent")
    rate_before = next(row["lr"] for row in rows_of(parent.run, "train") if row["step"] == 10)

    run = branch(tmp_path, LONG, limited).run
    rates = [row["lr"] for row in rows_of(run, "train")]
    assert max(rates) < rate_before
    (began,) = [row for row in rows_of(run, "status") if "active_seconds" in row]
    assert 0 < began["active_seconds"] < 120
    # Its progress is that of the time of both.
    summary, _ = read_summary(run.metrics_path)
    counted = summary.wall_time_s + began["active_seconds"]
    assert summary.active_seconds == pytest.approx(counted, abs=1e-2)
    with pytest.raises(UsageError, match="has no time to train") as refused:
        branch(tmp_path, LONG, limited, checkpoint="last", run_id="ended")
    assert "--set train.runtime.max_minutes=4" in str(refused.value.hint)
    assert not (tmp_path / "runs" / "ended").exists()
    longer = branch(tmp_path, LONG, limited, runtime(max_minutes=3), checkpoint="last", run_id="b")
    assert longer.state.step > parent.state.step


def test_a_branch_keeps_the_shape_of_the_model(tmp_path: Path) -> None:
    train(tmp_path, LONG, run_id="parent")
    notices: list[str] = []
    run = branch(tmp_path, LONG, {"model": {"n_layer": 3}}, notices=notices).run
    assert notices == ["model.n_layer: keeping the run's 2 instead of 3"]
    assert read_run_config(run)["config"]["model"]["n_layer"] == 2


def test_a_branch_with_another_optimizer_resets_its_state_with_a_notice(tmp_path: Path) -> None:
    train(tmp_path, LONG, run_id="parent")
    notices: list[str] = []
    muon = {"train": {"optim": {"optimizer": "muon"}}}
    run = branch(tmp_path, LONG, muon, notices=notices).run
    assert len(notices) == 1
    assert notices[0].startswith("the optimizer state is reset")
    assert sorted(final_payload(run)["optimizer"]) == ["AdamW", "Muon"]


def test_a_branch_tracks_its_own_best_loss_and_patience(tmp_path: Path) -> None:
    impatient = runtime(early_stop_patience=1, early_stop_min_delta=100.0)
    parent = train(tmp_path, LONG, impatient, run_id="parent")
    assert parent.summary["early_stopped"]
    assert parent.state.step == 5
    result = branch(tmp_path, LONG, impatient, checkpoint="ckpt_last_00000005.pt")
    assert result.state.step == 10
    assert (result.run.checkpoints / "best_val.pt").exists()


def test_a_branch_can_be_resumed_and_keeps_its_parent(tmp_path: Path) -> None:
    train(tmp_path, LONG, run_id="parent")
    run = branch(tmp_path, LONG).run
    resume(tmp_path, LONG, runtime(max_iters=23), run_id="branch")
    assert read_run_config(run)["parent"]["run_id"] == "parent"
    assert rows_of(run, "train")[-1]["step"] == 23


def test_a_branch_that_cannot_start_leaves_no_folder(tmp_path: Path) -> None:
    train(tmp_path, LONG, run_id="parent")
    with pytest.raises(CheckpointError, match=r"no checkpoint 'ckpt_none\.pt'"):
        branch(tmp_path, LONG, checkpoint="ckpt_none.pt")
    with pytest.raises(UsageError, match="not the name of a checkpoint file"):
        branch(tmp_path, LONG, checkpoint="../../x.pt")
    with pytest.raises(UsageError, match="already a run 'parent'"):
        branch(tmp_path, LONG, run_id="parent")
    request = request_for(tmp_path, LONG)
    (tmp_path / "raw" / "input.txt").write_text("another text, 123 and more\n" * 90)
    prepare_dataset(request.config.prepare, report=lambda _: None)
    with pytest.raises(RunError, match="the dataset has changed since run 'parent' started"):
        start(request, tmp_path / "runs", run_id="branch", branch_from=("parent", MIDDLE))
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["parent"]
