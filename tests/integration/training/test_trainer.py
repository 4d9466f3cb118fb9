import json
import math
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from builders.metrics import read_rows
from builders.training import (
    Recorder,
    prepared_config,
    resume,
    rows_of,
    runtime,
    train,
)
from transformer_playground.checkpoints.discovery import choose
from transformer_playground.checkpoints.loading import build_model, load_payload
from transformer_playground.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    RunError,
    TrainingError,
)
from transformer_playground.evaluation.loss import evaluate, fixed_windows
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.metrics import read_samples
from transformer_playground.runs.status import derive_status
from transformer_playground.training.checkpointing import ResumePoint
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    RunFailed,
    RunFinished,
    Sampled,
    StatusChanged,
    StepLogged,
    Warned,
)
from transformer_playground.training.setup import build_setup
from transformer_playground.training.state import TrainingState
from transformer_playground.training.trainer import Trainer

DROPOUT = {"model": {"dropout": 0.2}}


def losses(run: RunFolder) -> list[float]:
    return [row["train_loss"] for row in rows_of(run, "train")]


@pytest.fixture(scope="module")
def plain_losses(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Those of a run without any change."""
    return losses(train(tmp_path_factory.mktemp("plain")).run)


@pytest.fixture(scope="module")
def dropout_losses(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return losses(train(tmp_path_factory.mktemp("dropout"), DROPOUT).run)


def test_training_learns_the_text(tmp_path: Path) -> None:
    change = {"train": {"optim": {"learning_rate": 1e-2}, "runtime": {"max_iters": 150}}}
    recorder = Recorder()
    train(tmp_path, change, sinks=[recorder])
    evaluations = recorder.of(Evaluated)
    vocabulary = len({*map(str, range(10)), *" bottleshangonthewall,;ofmfs.\n"})
    assert evaluations[0].val_loss == pytest.approx(math.log(vocabulary), rel=0.1)
    assert evaluations[-1].val_loss < 0.75 * evaluations[0].val_loss


@pytest.mark.parametrize(
    "change",
    [
        runtime(eval_interval=2),
        runtime(eval_iters=7),
        runtime(sample_interval=1),
        {
            "sample": {"sample": {"max_new_tokens": 3, "num_samples": 4}},
            **runtime(sample_interval=2),
        },
        {"train": {"checkpointing": {"interval": 1}}},
    ],
    ids=["eval_interval", "eval_iters", "sample_interval", "samples", "checkpoints"],
)
def test_more_frequent_evaluation_changes_no_training_loss(
    change: dict[str, Any], tmp_path: Path, dropout_losses: list[float]
) -> None:
    assert losses(train(tmp_path, DROPOUT, change).run) == dropout_losses


@pytest.mark.parametrize(
    "change",
    [
        {"train": {"optim": {"learning_rate": 5e-3}}},
        {"train": {"optim": {"weight_decay": 5.0}}},
        {"train": {"optim": {"beta1": 0.5}}},
        {"train": {"optim": {"beta2": 0.5}}},
        {"train": {"optim": {"eps": 1e-3}}},
        {"train": {"optim": {"grad_clip": 0.01}}},
        {"train": {"optim": {"optimizer": "muon"}}},
        {"train": {"schedule": {"schedule": "constant"}}},
        {"train": {"schedule": {"schedule": "linear"}}},
        {"train": {"schedule": {"schedule": "wsd"}}},
        {"train": {"schedule": {"warmup_iters": 10}}},
        {"train": {"schedule": {"lr_decay_iters": 5}}},
        {"train": {"schedule": {"min_lr": 9e-4}}},
        {"train": {"data": {"batch_size": 5}}},
        {"train": {"data": {"block_size": 8}}},
        {"train": {"data": {"grad_accum_steps": 2}}},
        {"train": {"data": {"sampler": "sequential"}}},
        {"train": {"runtime": {"seed": 7}}},
        {"train": {"runtime": {"dtype": "bfloat16"}}},
        {"model": {"dropout": 0.3}},
        {"model": {"init_std": 0.1}},
    ],
    ids=json.dumps,
)
def test_every_training_setting_changes_the_run(
    change: dict[str, Any], tmp_path: Path, plain_losses: list[float]
) -> None:
    assert losses(train(tmp_path, change).run) != plain_losses


def test_accumulation_equals_one_large_batch_of_the_same_windows(tmp_path: Path) -> None:
    """Two micro-batches of 4 fresh windows each give the gradient of all 8 together."""
    data = {"sampler": "sequential"}
    small = {"train": {"data": {**data, "batch_size": 4, "grad_accum_steps": 2}}}
    large = {"train": {"data": {**data, "batch_size": 8}}}
    first = train(tmp_path, small, run_id="small").run
    second = train(tmp_path, large, run_id="large").run
    assert losses(first) == pytest.approx(losses(second), rel=1e-4)


def test_rows_count_steps_and_tokens(tmp_path: Path) -> None:
    run = train(tmp_path, {"train": {"data": {"grad_accum_steps": 2}}}).run
    rows = rows_of(run, "train")
    assert [row["step"] for row in rows] == [3, 6, 9, 12, 15, 18, 20]
    assert [row["tokens_seen"] for row in rows] == [row["step"] * 4 * 16 * 2 for row in rows]
    assert [row["step"] for row in rows_of(run, "eval")] == [0, 5, 10, 15, 20]


def test_evaluation_rows_agree_with_each_other(tmp_path: Path) -> None:
    config = prepared_config(tmp_path)
    run = train(tmp_path).run
    setup = build_setup(config, prepare_command="")
    row = rows_of(run, "eval")[-1]
    assert row["val_ppl"] == pytest.approx(math.exp(row["val_loss"]))
    bytes_per_token = setup.dataset.val_bytes_per_token
    assert row["val_bits_per_byte"] == pytest.approx(
        row["val_loss"] / math.log(2) / bytes_per_token
    )


def test_the_average_is_evaluated_and_sampled(tmp_path: Path, plain_losses: list[float]) -> None:
    change = runtime(ema_decay=0.9)
    run = train(tmp_path, change).run
    assert losses(run) == plain_losses
    config = prepared_config(tmp_path, change)
    setup = build_setup(config, prepare_command="")
    payload = load_payload(choose(run.checkpoints, "last").path)
    logged = rows_of(run, "eval")[-1]["val_loss"]
    seen = {}
    for use_ema in (True, False):
        model = build_model(payload, use_ema=use_ema)
        measured = evaluate(model, setup.dataset, config, setup.device)
        assert measured is not None
        seen[use_ema] = measured.val_loss
    assert seen[True] == pytest.approx(logged)
    assert seen[False] != pytest.approx(logged)


def test_early_stopping_ends_a_run_without_improvement(tmp_path: Path) -> None:
    change = {
        "train": {
            "optim": {"learning_rate": 1e-9},
            "schedule": {"schedule": "constant"},
            "runtime": {"early_stop_patience": 2, "early_stop_min_delta": 0.01, "max_iters": 100},
        }
    }
    result = train(tmp_path, change)
    assert result.state.step == 10
    assert result.summary["early_stopped"] is True
    assert result.summary["status"] == "finished"


def test_patience_zero_never_stops(tmp_path: Path) -> None:
    result = train(
        tmp_path, {"train": {"optim": {"learning_rate": 1e-9}, "schedule": {"min_lr": 0}}}
    )
    assert result.state.step == 20


def test_a_non_finite_loss_is_refused_before_the_weights_change(tmp_path: Path) -> None:
    change = {
        "train": {
            "optim": {"learning_rate": 1e30, "grad_clip": 0.0},
            "schedule": {"schedule": "constant", "warmup_iters": 0},
            "runtime": {"eval_interval": 1000, "max_iters": 50},
        }
    }
    recorder = Recorder()
    with pytest.raises(TrainingError, match=r"(loss|norm) is (nan|inf|-inf) at step"):
        train(tmp_path, change, sinks=[recorder])
    assert len(recorder.of(RunFailed)) == 1
    run = RunFolder(tmp_path / "runs" / "run")
    assert derive_status(run).state == "failed"
    assert "is" in (derive_status(run).error or "")
    payload = load_payload(choose(run.checkpoints, "last").path)
    assert all(torch.isfinite(tensor).all() for tensor in payload["model"].values())


def test_a_stop_saves_a_checkpoint_and_sets_the_status_stopped(tmp_path: Path) -> None:
    control = TrainingControl()

    def react(event: Event) -> None:
        if isinstance(event, StepLogged) and event.step == 6:
            control.stop()

    recorder = Recorder(react=react)
    result = train(tmp_path, control=control, sinks=[recorder])
    assert result.summary["status"] == "stopped"
    assert load_payload(choose(result.run.checkpoints, "last").path)["step"] == 6
    assert recorder.of(RunFinished)[0].status == "stopped"


def test_a_stop_during_the_save_of_a_best_checkpoint_is_saved_too(tmp_path: Path) -> None:
    control = TrainingControl()

    def react(event: Event) -> None:
        if isinstance(event, CheckpointSaved) and (event.step, event.kinds) == (5, ("best",)):
            control.stop()

    rarely = {"train": {"checkpointing": {"interval": 1000}}}
    result = train(tmp_path, rarely, control=control, sinks=[Recorder(react=react)])
    assert result.summary["status"] == "stopped"
    assert load_payload(choose(result.run.checkpoints, "last").path)["step"] == 5


def test_requests_are_served_before_the_next_step(tmp_path: Path) -> None:
    control = TrainingControl()

    def react(event: Event) -> None:
        if isinstance(event, StepLogged) and event.step == 6:
            control.evaluate_now()
            control.sample_now()
            control.checkpoint_now()

    recorder = Recorder(react=react)
    train(tmp_path, control=control, sinks=[recorder])
    at_six = [type(event) for event in recorder.events if event.step == 6]
    assert at_six == [StepLogged, Evaluated, Sampled, CheckpointSaved]


def test_evaluations_asked_for_change_neither_the_best_nor_when_a_run_stops(
    tmp_path: Path,
) -> None:
    change = runtime(log_interval=1, early_stop_patience=2)
    plain = train(tmp_path, change, run_id="plain")
    control = TrainingControl()

    def react(event: Event) -> None:
        if isinstance(event, StepLogged):
            control.evaluate_now()

    watched = train(
        tmp_path, change, run_id="watched", control=control, sinks=[Recorder(react=react)]
    )
    assert watched.state.best_step == plain.state.best_step
    assert watched.state.step == plain.state.step
    assert losses(watched.run) == losses(plain.run)
    assert len(rows_of(watched.run, "eval")) > len(rows_of(plain.run, "eval"))


def test_early_stopping_wants_an_improvement_of_at_least_min_delta(tmp_path: Path) -> None:
    change = runtime(early_stop_patience=2, max_iters=40)
    assert train(tmp_path, change, run_id="any").state.step == 40
    strict = runtime(early_stop_min_delta=10.0)
    assert train(tmp_path, change, strict, run_id="strict").state.step == 10


def test_a_change_of_accumulation_repeats_no_batch(tmp_path: Path) -> None:
    train(tmp_path, {"train": {"data": {"grad_accum_steps": 2}}})
    result = resume(tmp_path, runtime(max_iters=24))
    assert result.state.windows_drawn == 20 * 2 * 4 + 4 * 4


@pytest.mark.parametrize("sampler", ["random", "sequential"])
def test_a_resume_with_another_batch_split_trains_and_judges_alike(
    tmp_path: Path, sampler: str
) -> None:
    def split(batch_size: int, grad_accum_steps: int) -> dict[str, Any]:
        data = {"sampler": sampler, "batch_size": batch_size, "grad_accum_steps": grad_accum_steps}
        return {"train": {"data": data, "schedule": {"schedule": "constant"}}}

    whole = train(tmp_path, split(8, 1), runtime(max_iters=24), run_id="whole")
    train(tmp_path, split(8, 1), run_id="other")
    other = resume(tmp_path, split(2, 4), runtime(max_iters=24), run_id="other")
    assert other.state.windows_drawn == whole.state.windows_drawn
    for event, key in (("train", "train_loss"), ("eval", "val_loss"), ("eval", "train_loss")):
        expected, found = (
            {row["step"]: row[key] for row in rows_of(run, event)} for run in (whole.run, other.run)
        )
        # The row of step 21 covers other steps where a run ended at step 20.
        common = sorted((expected.keys() & found.keys()) - {21})
        assert common[-1] == 24
        assert [found[step] for step in common] == pytest.approx(
            [expected[step] for step in common], rel=1e-4
        )
    for run in (whole.run, other.run):
        sets = {(row["eval_windows"], row["window_tokens"]) for row in rows_of(run, "eval")}
        assert sets == {(14, 16)}


def test_seeds_are_judged_on_the_same_windows(tmp_path: Path) -> None:
    config = prepared_config(tmp_path)
    windows = []
    for seed in (1, 2):
        setup = build_setup(prepared_config(tmp_path, runtime(seed=seed)), prepare_command="")
        batches = fixed_windows(setup.dataset.val, setup.config, setup.dataset)
        windows.append([inputs.tolist() for inputs, _ in batches])
    assert windows[0] == windows[1]
    assert sum(map(len, windows[0])) == config.train.eval_windows


def test_a_run_with_older_evaluation_windows_judges_its_best_anew(tmp_path: Path) -> None:
    run = train(tmp_path).run
    path = choose(run.checkpoints, "last").path
    payload = dict(load_payload(path))
    progress = dict(payload["progress"])
    drawn = progress.pop("windows_drawn")
    progress |= {"batches_drawn": drawn // 4, "best_val_loss": 0.5, "best_step": 5}
    del progress["eval_set"]
    payload |= {"progress": progress, "generators": {"scheme": "counter", "seed": 1337}}
    older = ResumePoint(payload, path)
    setup = build_setup(prepared_config(tmp_path, runtime(max_iters=24)), prepare_command="")
    recorder = Recorder()
    trainer = Trainer(setup, run, [recorder], resume_from=older)
    assert trainer.state.windows_drawn == drawn
    state = trainer.fit()
    assert (state.best_step, state.best_val_loss) != (5, 0.5)
    assert state.best_step == 24
    notes = [event.message for event in recorder.events if isinstance(event, Warned)]
    assert ["the best loss counts from here" in note for note in notes] == [True]


def test_a_refused_resume_leaves_the_record_as_it_was(tmp_path: Path) -> None:
    run = train(tmp_path).run
    before = run.config_path.read_bytes()
    with pytest.raises(CheckpointError):
        resume(tmp_path, {"train": {"optim": {"optimizer": "muon"}}}, runtime(max_iters=22))
    assert run.config_path.read_bytes() == before


def test_samples_that_a_resume_supersedes_are_not_read_twice(tmp_path: Path) -> None:
    change = {"train": {"checkpointing": {"interval": 10}, "runtime": {"sample_interval": 4}}}
    run = train(tmp_path, change, runtime(max_iters=18)).run
    for path in [*run.checkpoints.glob("*00000018*"), *run.checkpoints.glob("*00000015*")]:
        path.unlink()
    for pointer in ("last", "best_val"):
        for suffix in (".pt", ".json"):
            (run.checkpoints / f"{pointer}{suffix}").unlink()
    resume(tmp_path, change, runtime(max_iters=18))
    assert [row["step"] for row in read_samples(run)] == [0, 4, 8, 12, 16]


def test_a_model_too_large_for_memory_is_an_error_in_one_sentence(tmp_path: Path) -> None:
    huge = {"model": {"n_embd": 60_000, "n_head": 2, "n_layer": 900}}
    with pytest.raises(TrainingError, match="out of memory"):
        train(tmp_path, huge)
    assert not (tmp_path / "runs").exists()


def test_a_paused_run_makes_no_steps_until_resumed(tmp_path: Path) -> None:
    control = TrainingControl()
    paused = threading.Event()

    def react(event: Event) -> None:
        if isinstance(event, StepLogged) and event.step == 3:
            control.pause()
        if isinstance(event, StatusChanged) and event.status == "paused":
            paused.set()

    recorder = Recorder(react=react)
    thread = threading.Thread(
        target=train, args=(tmp_path,), kwargs={"control": control, "sinks": [recorder]}
    )
    thread.start()
    assert paused.wait(30)
    seen = len(recorder.of(StepLogged))
    thread.join(0.3)
    assert len(recorder.of(StepLogged)) == seen
    control.evaluate_now()
    while not any(event.step == 3 for event in recorder.of(Evaluated)):
        assert thread.is_alive()
        thread.join(0.01)
    control.resume()
    thread.join(30)
    assert not thread.is_alive()
    assert recorder.events[-1].step == 20
    statuses = [event.status for event in recorder.of(StatusChanged)]
    assert statuses[:2] == ["paused", "running"]


def test_samples_are_drawn_on_schedule_and_kept(tmp_path: Path) -> None:
    change = {**runtime(sample_interval=10), "sample": {"sample": {"start": "1", "num_samples": 2}}}
    run = train(tmp_path, change).run
    rows = [json.loads(line) for line in run.samples_path.read_text("utf-8").splitlines()]
    assert [row["step"] for row in rows] == [0, 0, 10, 10, 20, 20]
    keys = {"step", "prompt", "text", "seed", "temperature", "top_k", "top_p", "time"}
    assert all(set(row) == keys for row in rows)
    assert rows[0]["text"] != rows[1]["text"]


def test_the_run_folder_holds_every_artifact(tmp_path: Path) -> None:
    change = runtime(tensorboard=True, sample_interval=10)
    run = train(tmp_path, change).run
    for path in (
        run.config_path,
        run.metrics_path,
        run.samples_path,
        run.summary_path,
        run.log_path,
        run.checkpoints / "last.pt",
        run.checkpoints / "best_val.pt",
        run.tokenizer / "meta.pkl",
    ):
        assert path.is_file(), path
    assert list(run.tensorboard.iterdir())
    record = json.loads(run.config_path.read_text("utf-8"))
    assert {"config", "provenance", "environment", "dataset", "parameters"} <= set(record)


def test_tensorboard_can_be_switched_off(tmp_path: Path) -> None:
    assert not list(train(tmp_path).run.tensorboard.glob("events*"))


def test_a_removed_run_folder_ends_training_at_the_next_save(tmp_path: Path) -> None:
    class Remover(Recorder):
        def handle(self, event: Event) -> None:
            if isinstance(event, StepLogged) and event.step == 3:
                for run in (tmp_path / "runs").iterdir():
                    shutil.rmtree(run)

    with pytest.raises(TrainingError, match="was removed"):
        train(tmp_path, sinks=[Remover()])


def test_a_failed_save_warns_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_save = torch.save

    def full_disk(payload: Any, file: Any, **options: Any) -> None:
        if payload["step"] == 5:
            raise OSError(28, "No space left on device")
        real_save(payload, file, **options)

    monkeypatch.setattr(torch, "save", full_disk)
    recorder = Recorder()
    result = train(tmp_path, sinks=[recorder])
    assert result.state.step == 20
    assert any("checkpoint not saved" in event.message for event in recorder.of(Warned))
    assert 5 not in {event.step for event in recorder.of(CheckpointSaved)}
    assert 10 in {event.step for event in recorder.of(CheckpointSaved)}


def test_after_a_retracted_best_any_loss_below_the_previous_best_is_best() -> None:
    state = TrainingState()
    for step, loss in ((0, 4.0), (5, 2.0)):
        state.step = step
        assert state.record_eval(loss, "windows", min_delta=0.0)
    state.retract_best()
    assert (state.best_val_loss, state.best_step) == (4.0, 0)
    state.step = 10
    assert state.record_eval(3.0, "windows", min_delta=0.0)


def test_the_saved_model_replaces_the_configured_one_with_a_notice(tmp_path: Path) -> None:
    train(tmp_path)
    notices: list[str] = []
    longer = {"model": {"n_layer": 3, "n_head": 4}, **runtime(max_iters=25)}
    result = resume(tmp_path, longer, notices=notices)
    assert result.state.step == 25
    assert any("n_layer" in notice and "2" in notice and "3" in notice for notice in notices)
    assert any("n_head" in notice for notice in notices)
    record = json.loads(result.run.config_path.read_text("utf-8"))
    assert record["config"]["model"]["n_layer"] == 2
    assert record["config"]["train"]["runtime"]["max_iters"] == 25


def test_an_unchanged_resume_gives_no_notice(tmp_path: Path) -> None:
    train(tmp_path)
    notices: list[str] = []
    resume(tmp_path, runtime(max_iters=25), notices=notices)
    assert notices == []


def test_a_changed_dataset_is_refused(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(RunError, match="dataset has changed"):
        resume(tmp_path, {"prepare": {"val_fraction": 0.2}})


def test_resuming_with_another_optimizer_is_refused(tmp_path: Path) -> None:
    train(tmp_path)
    with pytest.raises(CheckpointError, match="does not fit this run"):
        resume(tmp_path, {"train": {"optim": {"optimizer": "muon"}}}, runtime(max_iters=22))


def test_a_run_without_a_valid_checkpoint_does_not_start_again_at_zero(tmp_path: Path) -> None:
    run = train(tmp_path).run
    for path in run.checkpoints.glob("*.pt"):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError):
        resume(tmp_path)
    assert rows_of(run, "resume") == []


def test_a_damaged_newest_checkpoint_is_skipped_with_a_notice(tmp_path: Path) -> None:
    run = train(tmp_path, {"train": {"checkpointing": {"keep": {"last": 3}}}}).run
    damaged = run.checkpoints / "ckpt_last_00000020.pt"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    for path in (damaged, run.checkpoints / "last.pt"):
        path.unlink()
        path.write_bytes(content)
    for path in run.checkpoints.glob("ckpt_best_00000020*"):
        path.unlink()
    for path in run.checkpoints.glob("best_val*"):
        path.unlink()
    notices: list[str] = []
    recorder = Recorder()
    resume(tmp_path, runtime(max_iters=22), notices=notices, sinks=[recorder])
    assert any("ckpt_last_00000020" in notice for notice in notices)
    assert recorder.events[0].step == 15


def test_two_writers_are_refused(tmp_path: Path) -> None:
    train(tmp_path)
    failures: list[Exception] = []

    def react(event: Event) -> None:
        if isinstance(event, StepLogged) and not failures:
            try:
                resume(tmp_path)
            except RunError as error:
                failures.append(error)

    resume(tmp_path, runtime(max_iters=25), sinks=[Recorder(react=react)])
    assert len(failures) == 1


def test_a_missing_dataset_names_the_command_and_leaves_no_run(tmp_path: Path) -> None:
    config = prepared_config(tmp_path)
    (config.prepare.dataset_dir / "train.bin").unlink()
    with pytest.raises(DataError, match="tp prepare tiny"):
        build_setup(config, prepare_command="tp prepare tiny")
    assert not (tmp_path / "runs").exists()


def test_a_corpus_shorter_than_a_block_leaves_no_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="block"):
        train(tmp_path, {"model": {"block_size": 4096}})
    assert not (tmp_path / "runs").exists()


def test_tokens_beyond_the_vocabulary_are_an_error_in_one_sentence(tmp_path: Path) -> None:
    config = prepared_config(tmp_path)
    damaged = config.prepare.dataset_dir / "train.bin"
    before = damaged.stat()
    damaged.write_bytes(b"\xff" * before.st_size)
    # With its old time the file is not hashed when it is opened.
    os.utime(damaged, ns=(before.st_atime_ns, before.st_mtime_ns))
    setup = build_setup(config, prepare_command="tp prepare tiny")
    with pytest.raises(DataError, match="--force"):
        setup.batches.batch(0, 4)


def test_a_vocabulary_smaller_than_the_tokenizers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="vocab_size"):
        train(tmp_path, {"model": {"vocab_size": 5}})


def test_a_padded_vocabulary_is_never_sampled(tmp_path: Path) -> None:
    change = {"model": {"vocab_size": 500}, **runtime(sample_interval=5)}
    run = train(tmp_path, change).run
    assert run.samples_path.read_text("utf-8")


def test_a_prompt_the_tokenizer_lacks_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="ß"):
        train(tmp_path, {"sample": {"sample": {"start": "Straße"}}})
    assert not (tmp_path / "runs").exists()


def test_zero_iterations_evaluate_and_save_the_untrained_model(tmp_path: Path) -> None:
    result = train(
        tmp_path, {"train": {"schedule": {"warmup_iters": 0}, "runtime": {"max_iters": 0}}}
    )
    assert result.summary["status"] == "finished"
    assert [row["step"] for row in rows_of(result.run, "eval")] == [0]
    assert choose(result.run.checkpoints, "best").path.is_file()


def test_checkpoints_follow_their_own_interval(tmp_path: Path) -> None:
    recorder = Recorder()
    train(tmp_path, {"train": {"checkpointing": {"interval": 4}}}, sinks=[recorder])
    saved = [event.step for event in recorder.of(CheckpointSaved) if "last" in event.kinds]
    assert saved == [0, 4, 8, 12, 16, 20]


def test_checkpoints_are_also_saved_by_time(tmp_path: Path) -> None:
    policy = {"interval": 1000, "interval_minutes": 1e-9}
    recorder = Recorder()
    train(tmp_path, {"train": {"checkpointing": policy}}, sinks=[recorder])
    saved = [event.step for event in recorder.of(CheckpointSaved) if "last" in event.kinds]
    assert saved == list(range(21))


def test_the_resume_row_supersedes_later_rows(tmp_path: Path) -> None:
    change = {"train": {"checkpointing": {"interval": 10}}}
    run = train(tmp_path, change, runtime(max_iters=18, log_interval=1)).run
    for path in [*run.checkpoints.glob("*00000018*"), *run.checkpoints.glob("*00000015*")]:
        path.unlink()
    for pointer in ("last", "best_val"):
        for suffix in (".pt", ".json"):
            (run.checkpoints / f"{pointer}{suffix}").unlink()
    resume(tmp_path, change, runtime(max_iters=18, log_interval=1))
    steps = [row["step"] for row in rows_of(run, "train")]
    assert steps == list(range(1, 19))
    assert len([row for row in read_rows(run.metrics_path) if row["event"] == "resume"]) == 1
