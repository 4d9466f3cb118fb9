"""`tp train --estimate`: what a run needs, from a few of its steps."""

import json
from typing import Any

import pytest

from builders.commands import Project, Tp
from builders.schemas import check
from transformer_playground.runs.metrics import read_raw_rows, read_samples

EVERY_PART = (
    *("--set", "train.runtime.sample_interval=10"),
    *("--set", "train.runtime.log_interval=2"),
)


def estimated(tp: Tp, *words: object) -> dict[str, Any]:
    ended = tp("train", "tiny", "--estimate", "--json", *words)
    assert ended.code == 0, ended.err
    (document,) = ended.lines
    check("estimate", document)
    assert isinstance(document, dict)
    return document


def test_counts_and_sizes_are_those_of_the_run_itself(project: Project, tp: Tp) -> None:
    sampling = ("--set", "train.runtime.sample_interval=8")
    tp("prepare", "tiny")
    document = estimated(tp, *sampling)
    assert not (project.root / "runs").exists()
    tp("train", "tiny", "--run-id", "real", *sampling)
    run = project.run_named("real")
    rows = read_raw_rows(run.metrics_path)
    events = [row["event"] for row in rows]
    assert document["evaluations"] == events.count("eval")
    assert document["samples"] == len({row["step"] for row in read_samples(run)})
    assert document["tokens"] == max(row.get("tokens_seen", 0) for row in rows)
    assert document["parameters"] == next(row["parameters"] for row in rows if "parameters" in row)
    files = {path.stat().st_ino: path.stat().st_size for path in run.checkpoints.glob("*.pt")}
    # One more exists while it is being written.
    assert document["disk"] == pytest.approx(sum(files.values()) * 4 / len(files), rel=0.3)


def test_time_is_the_sum_of_its_parts_and_grows_with_the_run(tp: Tp) -> None:
    tp("prepare", "tiny")
    short, long = (
        estimated(tp, "--set", f"train.runtime.max_iters={steps}") for steps in (20, 2000)
    )
    for document in (short, long):
        parts = sum(
            document[count] * document[f"{name}_seconds"]
            for count, name in (
                *(("steps", "step"), ("evaluations", "evaluation")),
                *(("samples", "sample"), ("checkpoints", "checkpoint")),
            )
        )
        assert document["seconds"] == pytest.approx(parts)
    assert long["tokens"] == 100 * short["tokens"]
    assert long["flop"] == 100 * short["flop"]
    assert short["memory"] > 10_000_000


def test_an_earlier_run_of_the_same_shape_takes_the_place_of_timed_steps(
    project: Project, tp: Tp
) -> None:
    tp("prepare", "tiny")
    tp("train", "tiny", "--run-id", "real", *EVERY_PART)
    longer = ("--set", "train.runtime.max_iters=400", "--set", "train.optim.learning_rate=0.01")
    document = estimated(tp, *EVERY_PART, *longer)
    assert (document["run"], document["timed_steps"]) == ("real", 0)
    rows = read_raw_rows(project.run_named("real").metrics_path)
    end = rows[-1]
    assert document["memory"] == end["peak_memory"] > 10_000_000
    rates = [row["tokens_per_sec"] for row in rows if row["event"] == "train"]
    assert min(rates) <= 64 / document["step_seconds"] <= max(rates)
    assert 0 < document["evaluation_seconds"] < end["wall_time"]
    assert 0 < document["sample_seconds"] < end["wall_time"]
    assert document["seconds"] > 400 * document["step_seconds"]
    assert "run real, of the same shape" in tp("train", "tiny", "--estimate", *EVERY_PART).out


@pytest.mark.parametrize(
    "change",
    [
        ("--set", "model.n_layer=3"),
        ("--set", "train.data.grad_accum_steps=2"),
        ("--set", "sample.sample.num_samples=2"),
        ("--timed",),
    ],
)
def test_steps_are_timed_where_no_run_did_the_same_work_or_on_request(
    change: tuple[str, ...], tp: Tp
) -> None:
    tp("prepare", "tiny")
    tp("train", "tiny", "--run-id", "real", *EVERY_PART)
    document = estimated(tp, *EVERY_PART, *change)
    assert document["run"] is None
    assert document["timed_steps"] > 0


@pytest.mark.parametrize("machine", [{"host": "elsewhere"}, {"packages": {"torch": "1.0"}}])
def test_runs_of_another_machine_or_torch_are_no_measure(
    machine: dict[str, Any], project: Project, tp: Tp
) -> None:
    tp("prepare", "tiny")
    tp("train", "tiny", "--run-id", "real", *EVERY_PART)
    path = project.run_named("real").config_path
    record = json.loads(path.read_text())
    record["environment"] |= machine
    path.write_text(json.dumps(record))
    assert estimated(tp, *EVERY_PART)["run"] is None


def test_timed_without_estimate_is_refused(tp: Tp) -> None:
    refused = tp("train", "tiny", "--timed")
    assert refused.code == 2
    assert "--timed needs --estimate" in refused.err


def test_more_micro_batches_mean_more_operations(tp: Tp) -> None:
    tp("prepare", "tiny")
    once, twice = (
        estimated(tp, "--set", f"train.data.grad_accum_steps={count}") for count in (1, 2)
    )
    assert twice["flop"] == 2 * once["flop"]


def test_the_estimate_is_readable_and_names_what_is_missing(tp: Tp) -> None:
    missing = tp("train", "tiny", "--estimate")
    assert missing.code != 0
    assert "tp prepare tiny" in missing.err
    tp("prepare", "tiny")
    lines = dict(
        line.split(maxsplit=1) for line in tp("train", "tiny", "--estimate").out.splitlines()
    )
    assert set(lines) == {"parameters", "tokens", "compute", "time", "memory", "disk", "from"}
    assert "20 steps of" in lines["time"]
    assert "FLOP on cpu in float32" in lines["compute"]


def test_a_resume_has_no_estimate(tp: Tp) -> None:
    refused = tp("train", "tiny", "--estimate", "--resume", "some")
    assert refused.code == 2
    assert "--estimate is for new runs" in refused.err
