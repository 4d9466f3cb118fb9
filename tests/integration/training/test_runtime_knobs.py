"""Settings that change how a run computes or what it keeps, not what it learns."""

import itertools
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from builders.metrics import read_rows
from builders.schemas import check
from builders.training import Recorder, prepared_config, resume, rows_of, runtime, train
from transformer_playground.errors import ConfigError
from transformer_playground.runs.generation import draw, load_run
from transformer_playground.runs.generation_request import SampleRequest
from transformer_playground.training import system_metrics
from transformer_playground.training.events import Event, StepLogged
from transformer_playground.training.setup import build_setup


def test_threads_are_set_in_the_training_thread(tmp_path: Path) -> None:
    seen: list[int] = []

    def react(event: Event) -> None:
        if isinstance(event, StepLogged):
            seen.append(torch.get_num_threads())

    change = runtime(threads=2, max_iters=3)
    thread = threading.Thread(
        target=train, args=(tmp_path, change), kwargs={"sinks": [Recorder(react=react)]}
    )
    thread.start()
    thread.join()
    assert seen == [2]


def test_a_compiled_model_takes_the_same_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.utils import counters

    # The graphs are traced and run; what a C++ compiler makes of them is not ours, and takes long.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    counters.clear()
    short = {**runtime(max_iters=3, log_interval=1), "model": {"n_layer": 1}}
    plain = train(tmp_path, short, run_id="plain").run
    assert counters["stats"]["unique_graphs"] == 0
    compiled = train(tmp_path, short, runtime(compile=True), run_id="compiled").run
    assert counters["stats"]["unique_graphs"] > 0
    losses = [[row["train_loss"] for row in rows_of(run, "train")] for run in (plain, compiled)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_system_metrics_are_in_each_row_unless_they_are_switched_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system_metrics, "_FIRST", 0.0)
    short = runtime(max_iters=4, log_interval=1)
    runs = [
        train(tmp_path, short, runtime(system_metrics=is_on), run_id=name).run
        for name, is_on in (("on", True), ("off", False))
    ]
    rows = [read_rows(run.metrics_path) for run in runs]
    on, off = ([row for row in each if row["event"] == "train"] for each in rows)
    measured = [{*there} - {*without} for there, without in zip(on, off, strict=True)]
    assert len(on) == 4
    assert all(keys >= {"cpu_percent", "disk_free"} for keys in measured)
    assert all(row["cpu_percent"] >= 0 and row["disk_free"] > 0 for row in on)
    for row in on + off:
        del row["monotonic"]
        check("train", row)
    # They change nothing that a run learns.
    assert rows_of(runs[0], "train") == rows_of(runs[1], "train")


@pytest.mark.parametrize(("last", "best"), [(1, 3), (3, 1), (0, 0), (2, 0)])
def test_keep_limits_the_number_of_checkpoint_files(last: int, best: int, tmp_path: Path) -> None:
    keep = {"last": last, "best": best}
    folder = train(tmp_path, {"train": {"checkpointing": {"keep": keep}}}).run.checkpoints
    assert len(list(folder.glob("ckpt_last_*.pt"))) == last
    assert len(list(folder.glob("ckpt_best_*.pt"))) == min(best, 5)
    assert (folder / "last.pt").is_file()
    assert (folder / "best_val.pt").is_file()


def test_a_time_limit_ends_a_run_with_its_schedule_and_a_resume_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count()
    # A second passes whenever somebody looks at the clock.
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    settings = runtime(max_iters=1000, max_minutes=2, eval_interval=1000, log_interval=1)

    limited = train(tmp_path, settings)

    steps = limited.state.step
    assert 0 < steps < 100
    assert limited.summary["status"] == "finished"
    assert [row["step"] for row in rows_of(limited.run, "eval")] == [0, steps]
    rates = [row["lr"] for row in rows_of(limited.run, "train")]
    assert rates[-1] < 0.15 * max(rates)

    notices: list[str] = []
    assert resume(tmp_path, settings, notices=notices).state.step == steps
    assert "train.runtime.max_minutes=4" in notices[-1]
    assert resume(tmp_path, settings, runtime(max_minutes=3)).state.step > steps


def test_a_missing_device_is_refused(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ConfigError, match="cuda"):
        train(tmp_path, runtime(device="cuda"))
    assert not (tmp_path / "runs").exists()


def test_float16_is_refused_where_it_cannot_train(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ConfigError, match="float16"):
        train(tmp_path, runtime(device="auto", dtype="float16"))


def test_small_models_stay_in_float32_under_auto(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("on CUDA every model gains from bfloat16")
    config = prepared_config(tmp_path, runtime(dtype="auto"))
    assert build_setup(config, prepare_command="").precision.dtype == torch.float32


def test_the_saved_sampling_settings_decide_unless_overridden(tmp_path: Path) -> None:
    saved = {
        "sample": {
            "sample": {
                "start": "2 bottles",
                "num_samples": 3,
                "max_new_tokens": 5,
                "temperature": 0.0,
            },
            "runtime": {"seed": 5, "checkpoint": "last"},
        }
    }
    run = train(tmp_path, saved).run
    loaded = load_run(run, SampleRequest())
    samples = draw(loaded)
    assert loaded.checkpoint.name == "last.pt"
    assert {sample["prompt"] for sample in samples} == {"2 bottles"}
    assert [len(sample["tokens"]) for sample in samples] == [5, 5, 5]
    assert len({sample["text"] for sample in samples}) == 1
    request = SampleRequest(checkpoint="best", temperature=2.0, n_samples=8, prompt="3")
    changed = draw(load_run(run, request))
    assert len({sample["text"] for sample in changed}) > 1
    assert changed[0]["prompt"] == "3"


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0.1},
        {"top_k": 1},
        {"top_p": 0.05},
        {"unconditional": True},
        {"seed": 99},
        {"overrides": ("sample.runtime.dtype=bfloat16",)},
    ],
    ids=str,
)
def test_every_sampling_setting_changes_the_samples(
    options: dict[str, Any], tmp_path: Path
) -> None:
    run = train(tmp_path).run
    base = SampleRequest(max_new_tokens=12, temperature=1.0, seed=1)
    first = draw(load_run(run, base))[0]
    second = draw(load_run(run, replace(base, **options)))[0]
    assert (first["tokens"], first["logprobs"]) != (second["tokens"], second["logprobs"])
