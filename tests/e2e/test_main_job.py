"""From text to samples in one command, as a newcomer runs it."""

import json
import sys

import pytest

from builders.commands import TP, TP_TUI, Project, in_process

SETTINGS = [
    *("--set", "train.runtime.tensorboard=true", "--set", "train.runtime.sample_interval=10"),
    *("--set", "train.optim.learning_rate=2e-3"),
]
STEPS = list(range(1, 21))


def steps(lines: list[dict[str, object]], event: str) -> list[object]:
    return [line["step"] for line in lines if line["event"] == event]


def test_loop_prepares_trains_and_samples(project: Project) -> None:
    overrides = {"ML_PLAYGROUND_TRAIN_OVERRIDES": '{"schedule": {"warmup_iters": 3}}'}
    ended = project.child(TP, "loop", "tiny", "--json", *SETTINGS, environ=overrides)
    assert ended.code == 0, ended.err
    lines = ended.lines
    assert steps(lines, "train") == STEPS
    assert steps(lines, "eval") == steps(lines, "checkpoint")[1:] == [0, 5, 10, 15, 20]
    assert steps(lines, "sample")[:3] == [0, 10, 20]
    assert [line["status"] for line in lines if line["event"] == "status"] == [
        "running",
        "finished",
    ]
    assert [line["event"] for line in lines[-2:]] == ["summary", "sample"]
    assert lines[-1]["prompt"] == "1"
    assert len(lines[-1]["tokens"]) == 40
    losses = [line["val_loss"] for line in lines if line["event"] == "eval"]
    assert losses[-1] < losses[0]

    (run,) = project.runs
    assert run.run_id == lines[-2]["run_id"]
    names = {str(path.relative_to(run.root)) for path in run.root.rglob("*")}
    assert {
        *("config.json", "metrics.jsonl", "samples.jsonl", "summary.json", "logs/train.log"),
        *("tokenizer/meta.pkl", "reports", "checkpoints/last.pt", "checkpoints/best_val.pt"),
        *("checkpoints/ckpt_last_00000020.pt", "checkpoints/ckpt_last_00000020.json"),
    } <= names
    assert any(name.startswith("logs/tb/events.out.tfevents") for name in names)
    assert any(name.startswith("checkpoints/ckpt_best_000000") for name in names)
    assert not [name for name in names if name.endswith(".tmp")]

    saved = json.loads(run.config_path.read_bytes())
    assert saved["config"]["train"]["schedule"]["warmup_iters"] == 3
    assert saved["provenance"]["train.schedule.warmup_iters"] == "ML_PLAYGROUND_TRAIN_OVERRIDES"
    assert saved["provenance"]["train.optim.learning_rate"] == "--set"
    assert {"python", "packages", "device", "seed"} <= saved["environment"].keys()
    samples = [json.loads(line) for line in run.samples_path.read_text().splitlines()]
    assert [row["step"] for row in samples] == [0, 10, 20]
    keys = {"step", "prompt", "text", "seed", "temperature", "top_k", "top_p", "time"}
    assert all(row.keys() == keys for row in samples)
    summary = json.loads(run.summary_path.read_bytes())
    assert (summary["status"], summary["final_step"]) == ("finished", 20)
    rows = [json.loads(line) for line in run.metrics_path.read_text().splitlines()]
    assert steps(rows, "train") == STEPS
    assert {
        *("step", "time", "train_loss", "lr", "tokens_per_sec", "step_time_ms", "data_share"),
        *("grad_norm", "tokens_seen"),
    } <= next(row for row in rows if row["event"] == "train").keys()


def test_the_whole_job_needs_no_screen_and_no_toolkit_for_one(project: Project) -> None:
    source = (
        "import sys; sys.modules['textual'] = None\n"
        "from transformer_playground.tp_tui import run\n"
        "sys.argv = ['tp-tui', '--run', 'tiny', '--run-id', 'headless', '--json']\n"
        "run()"
    )
    ended = project.child(sys.executable, "-c", source)
    assert ended.code == 0, ended.err
    assert [line["event"] for line in ended.lines[-2:]] == ["summary", "sample"]
    assert [run.run_id for run in project.runs] == ["headless"]


def test_the_job_without_a_screen_goes_on_with_a_run_in_plain_words(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    short = ["--run-id", "r", "--set", "train.runtime.max_iters=5"]
    assert in_process(project, capsys, "loop", "tiny", *short).code == 0
    longer = ["--set", "train.runtime.max_iters=20"]
    ended = project.child(TP_TUI, "--run", "tiny", "--resume", "r", *longer)
    assert ended.code == 0, ended.err
    assert "step 5 of 20" in ended.out
    assert "step 20: finished" in ended.out
    assert ended.out.endswith(in_process(project, capsys, "sample", "r").out)
