"""Two processes train the same run as one: the same sequences, losses and weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from builders.distributed import (
    RankPool,
    fail_on_the_second,
    refuse_on_the_second,
    stop_from_the_second,
    train_here,
    two_ranks,
)
from builders.finetuning import lora_request
from builders.metrics import read_rows
from builders.training import final_payload, merged, request_for, rows_of, runtime
from transformer_playground.checkpoints.discovery import newest_valid
from transformer_playground.runs.folder import RunFolder, open_run
from transformer_playground.runs.status import derive_status
from transformer_playground.training.distributed import DistInfo
from transformer_playground.training.run import TrainingRequest, start

# Float32 sums in another order, before any weight has changed.
FIRST_STEP = 1e-5
# Steps of AdamW and Muon enlarge such differences, most of all where a gradient is near zero.
LATER_LOSSES = 5e-4
LATER_NORMS = 2e-3
STEPS = 6
SHORT: dict[str, Any] = {
    "train": {
        "schedule": {"lr_decay_iters": STEPS},
        "runtime": {
            "max_iters": STEPS,
            "log_interval": 1,
            "eval_interval": 3,
            "auto_plot": False,
            "auto_report": False,
            "threads": 1,
        },
    }
}
FSDP = {"train": {"distributed": {"strategy": "fsdp"}}}
MUON = {"train": {"optim": {"optimizer": "muon"}}}
ACCUMULATION = {"train": {"data": {"grad_accum_steps": 3}}}
DROPOUT_AND_AVERAGE = {"model": {"dropout": 0.2}, "train": {"runtime": {"ema_decay": 0.9}}}
CASES: dict[str, dict[str, Any]] = {
    "muon, dropout, accumulation and average": merged(MUON, ACCUMULATION, DROPOUT_AND_AVERAGE),
    "adamw in parts, dropout and average": merged(FSDP, DROPOUT_AND_AVERAGE),
    "muon in parts, accumulation": merged(FSDP, MUON, ACCUMULATION),
}
ADAPTERS: dict[str, Any] = {"peft": {"lora_dropout": 0.2}, "train": {"runtime": {"max_iters": 4}}}
FINETUNING: dict[str, dict[str, Any]] = {
    "padded rows": merged(ADAPTERS, {"hf_model": {"packing": False}}),
    "packed rows in parts, layers computed twice": merged(
        ADAPTERS, FSDP, {"hf_model": {"gradient_checkpointing": True}}
    ),
}


@pytest.fixture(scope="module")
def ranks() -> Iterator[RankPool]:
    with two_ranks() as pool:
        yield pool


def assert_equal_runs(one: RunFolder, two: RunFolder) -> None:
    for event, figure in (("train", "train_loss"), ("train", "grad_norm"), ("eval", "val_loss")):
        expected = [row[figure] for row in rows_of(one, event)]
        found = [row[figure] for row in rows_of(two, event)]
        assert found[0] == pytest.approx(expected[0], rel=FIRST_STEP)
        later = LATER_NORMS if figure == "grad_norm" else LATER_LOSSES
        assert found == pytest.approx(expected, rel=later)
    counters = ("step", "tokens_seen", "lr")
    assert [[row[name] for name in counters] for row in rows_of(two, "train")] == [
        [row[name] for name in counters] for row in rows_of(one, "train")
    ]
    alone, shared = final_payload(one), final_payload(two)
    assert alone["optimizer"].keys() == shared["optimizer"].keys()
    for key in ("model", "ema"):
        assert (alone[key] is None) == (shared[key] is None)
        # Muon gives even directions that are nearly without a gradient the same length.
        if "Muon" in alone["optimizer"]:
            continue
        for name, weights in (alone[key] or {}).items():
            difference = torch.linalg.vector_norm(shared[key][name] - weights)
            assert difference <= 0.02 * torch.linalg.vector_norm(weights), name


def train_both(ranks: RankPool, request: TrainingRequest, folder: Path) -> None:
    runs_dir = folder / "runs"
    one = start(request, runs_dir, run_id="one").run
    ranks.run(train_here, request, runs_dir, "two")
    assert_equal_runs(one, open_run(runs_dir, "two"))


@pytest.mark.parametrize("name", CASES)
def test_two_processes_compute_what_one_does(name: str, ranks: RankPool, tmp_path: Path) -> None:
    train_both(ranks, request_for(tmp_path, merged(SHORT, CASES[name])), tmp_path)


@pytest.mark.parametrize("name", FINETUNING)
def test_two_processes_finetune_as_one_does(name: str, ranks: RankPool, tmp_path: Path) -> None:
    train_both(ranks, lora_request(tmp_path, "qwen2", FINETUNING[name]), tmp_path)


@pytest.mark.parametrize("parts", [{}, FSDP], ids=["ddp", "fsdp"])
def test_a_run_goes_on_with_another_number_of_processes(
    parts: dict[str, Any], ranks: RankPool, tmp_path: Path
) -> None:
    change = merged(SHORT, ACCUMULATION, DROPOUT_AND_AVERAGE, parts)
    runs_dir = tmp_path / "runs"
    straight = start(request_for(tmp_path, change), runs_dir, run_id="straight").run

    def until(step: int) -> TrainingRequest:
        return request_for(tmp_path, merged(change, runtime(max_iters=step)))

    ranks.run(train_here, until(2), runs_dir, "run")
    start(until(4), runs_dir, resume_from="run")
    ends = ranks.run(train_here, until(STEPS), runs_dir, "run", resumes=True)
    assert [step for step, _ in ends] == [STEPS, STEPS]
    run = open_run(runs_dir, "run")
    figures = [row["train_loss"] for row in rows_of(run, "train")]
    expected = [row["train_loss"] for row in rows_of(straight, "train")]
    assert figures == pytest.approx(expected, rel=LATER_LOSSES)
    assert [row["step"] for row in rows_of(run, "train")] == list(range(1, STEPS + 1))
    assert newest_valid(run.checkpoints).path.stat().st_size == pytest.approx(
        newest_valid(straight.checkpoints).path.stat().st_size, rel=0.02
    )


def test_only_the_first_rank_has_sinks_scores_heads_and_draws_samples(
    ranks: RankPool, tmp_path: Path
) -> None:
    changes = runtime(sample_interval=3, max_iters=3, head_scores=True)
    request = request_for(tmp_path, merged(SHORT, FSDP, changes))
    (_, first), (_, second) = ranks.run(train_here, request, tmp_path / "runs", "run")
    assert first.count("Sampled") == 2
    assert second == []
    samples = rows_of_samples(open_run(tmp_path / "runs", "run"))
    start(request, tmp_path / "runs", run_id="one")
    alone = open_run(tmp_path / "runs", "one")
    assert samples == rows_of_samples(alone)
    # Heads are scored on its whole model.
    scores = [
        [row["induction_score"] for row in read_rows(run.metrics_path) if row["event"] == "eval"]
        for run in (open_run(tmp_path / "runs", "run"), alone)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)


def test_a_request_to_any_rank_ends_all_at_the_same_step(ranks: RankPool, tmp_path: Path) -> None:
    request = request_for(tmp_path, merged(SHORT, runtime(max_iters=10**6)))
    first, second = ranks.run(stop_from_the_second, request, tmp_path / "runs", "run")
    assert first == second
    assert derive_status(open_run(tmp_path / "runs", "run")).state == "stopped"


def test_a_value_that_is_not_finite_on_one_rank_ends_all(ranks: RankPool, tmp_path: Path) -> None:
    errors = ranks.run(fail_on_the_second, request_for(tmp_path, SHORT), tmp_path / "runs", "run")
    assert all(error.startswith("loss is nan at step 1;") for error in errors)
    assert derive_status(open_run(tmp_path / "runs", "run")).state == "failed"


def test_what_fails_on_one_rank_is_said_by_the_first(ranks: RankPool) -> None:
    first, second = ranks.run(refuse_on_the_second)
    assert first.startswith("rank 1 on ")
    assert first.endswith(": the dataset is missing.")
    assert second == "the dataset is missing."


def rows_of_samples(run: RunFolder) -> list[str]:
    return [row["text"] for row in read_rows(run.samples_path)]


def test_ranks_know_their_number_and_that_on_their_machine(ranks: RankPool) -> None:
    assert ranks.run(DistInfo.current) == [DistInfo(0, 0, 2, 2), DistInfo(1, 1, 2, 2)]


def test_without_a_process_group_a_process_is_alone() -> None:
    info = DistInfo.current()
    assert info == DistInfo(rank=0, local_rank=0, world_size=1)
    assert info.is_main
    assert info.sum(7) == [7]
