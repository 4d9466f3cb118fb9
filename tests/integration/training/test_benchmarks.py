"""Benchmarks of training: for GPUs with toy shapes on the CPU, and what the overhead is made of."""

import contextlib
import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def test_the_benchmark_for_gpus_runs_whole_with_toy_shapes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    gpu = importlib.import_module("gpu")

    gpu.main(["--check", "--seconds", "0.01"])

    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["device"] == "cpu"
    assert result["figures"].keys() == {shape.name for shape in gpu.TOYS}
    for figures in result["figures"].values():
        assert figures["ratio"] == pytest.approx(figures["ours"] / figures["plain"], rel=0.2)
        assert 0 < figures["ours_utilisation"] < math.inf
        assert 0 < figures["plain_utilisation"] < math.inf


def test_a_batch_that_does_not_fit_is_halved(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    gpu = importlib.import_module("gpu")
    tried: list[int] = []

    def compare(shape: Any, *_: object) -> dict[str, float]:
        tried.append(shape.batch_size)
        if len(tried) < 3:
            raise gpu.torch.OutOfMemoryError("full")
        return {}

    monkeypatch.setattr(gpu, "compare", compare)
    gpu.fitting(gpu.TOYS[0], "cpu", 0.01, 1.0)

    assert tried == [4, 2, 1]
    assert "trying a batch of 2" in capsys.readouterr().out


def test_the_benchmark_of_the_overhead_times_functions_that_exist(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    overhead = importlib.import_module("overhead")
    clock = overhead.Clock()
    loss: Any = torch.ones((), requires_grad=True)
    with contextlib.ExitStack() as stack:
        for patch in overhead.patches(clock):
            stack.enter_context(patch)
        loss.backward()
    assert clock.seconds.keys() == {"backward"}
