"""Lists of values: which runs they stand for, and their ids."""

from dataclasses import replace
from pathlib import Path

import pytest

from transformer_playground.errors import UsageError
from transformer_playground.training.launch import Launch
from transformer_playground.tui.launch.variants import (
    MOST_RUNS,
    Plan,
    check_plan,
    combinations,
    list_values,
    plan_of,
    plan_text,
    suggested_id,
    with_ids,
)


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("train.runtime.seed=1, 2, 3", ("1", "2", "3")),
        ("train.runtime.seed=1,1", ("1",)),
        ("train.optim.learning_rate=1e-3, 3e-3", ("1e-3", "3e-3")),
        ("model.norm=layernorm, rmsnorm", ("layernorm", "rmsnorm")),
        ("model.bias=true,false", ("true", "false")),
        ("train.runtime.seed=1,", ("1,",)),
        ("sample.sample.start=Hello, world", ("Hello, world",)),
        ('sample.sample.start="a, b", "c"', ('"a, b"', '"c"')),
        ('peft.target_modules=["q", "v"]', ('["q", "v"]',)),
        ("unknown=1, 2", ("1, 2",)),
        ("train.optim.learning_rate=1e-3..1e-1:log:3", ("0.001", "0.01", "0.1")),
        ("model.dropout=0..0.2:3", ("0.0", "0.1", "0.2")),
        ("train.runtime.seed=1..3:3", ("1", "2", "3")),
        ("train.optim.learning_rate=1e-3..1e-1:log", ("1e-3..1e-1:log",)),
        ("sample.sample.start=1..3:3", ("1..3:3",)),
        ("nothing", ("",)),
    ],
)
def test_several_values_stand_for_several_runs(override: str, values: tuple[str, ...]) -> None:
    assert list_values(override) == values


def test_every_combination_is_one_run() -> None:
    found = combinations(["model.n_layer=1, 2", "model.bias=true", "train.runtime.seed=3, 4"])
    assert len(found) == 4
    assert found[1] == ("model.n_layer=1", "model.bias=true", "train.runtime.seed=4")
    with pytest.raises(UsageError, match="stand for 1,000 runs"):
        combinations([f"{key}={', '.join(map(str, range(1, 11)))}" for key in KEYS])
    assert MOST_RUNS < 1000


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("train.optim.learning_rate=1e-3..1e-1", "has no number of values"),
        ("train.optim.learning_rate=1e-1..1e-3:3", "The lower bound comes first"),
        ("train.optim.learning_rate=0..1:log:3", "must start above 0"),
        ("model.n_layer=1..2.5:3", "takes whole numbers"),
    ],
)
def test_a_range_that_stands_for_no_values_says_why(
    override: str, why: str, tmp_path: Path
) -> None:
    plan = plan_of(Launch("tiny", (override,)), tmp_path)

    assert why in plan.problem
    assert plan.launches == ()


def test_a_range_queues_a_run_for_each_of_its_values(tmp_path: Path) -> None:
    plan = plan_of(Launch("tiny", ("model.n_layer=1..3:3", "model.bias=true,false")), tmp_path)

    assert len(plan.launches) == 6
    assert plan.launches[0].overrides == ("model.n_layer=1", "model.bias=true")


KEYS = ("model.n_layer", "train.runtime.seed", "train.runtime.max_iters")


def test_ids_are_filled_with_values(tmp_path: Path) -> None:
    launch = Launch(
        "tiny", ("train.runtime.seed=1, 2", "learning_rate=1e-3"), run_id="a-{seed}-{learning_rate}"
    )
    plan = plan_of(launch, tmp_path)
    assert [each.run_id for each in plan.launches] == ["a-1-1e-3", "a-2-1e-3"]
    assert plan_text(plan) == "2 runs, one after the other: a-1-1e-3, a-2-1e-3"
    (tmp_path / "a-1-1e-3").mkdir()
    plan = plan_of(launch, tmp_path)
    assert plan.existing == ("a-1-1e-3",)
    assert plan_text(plan).endswith("1 exists already and is left out")
    (tmp_path / "a-2-1e-3").mkdir()
    assert "All 2 runs exist already" in plan_of(launch, tmp_path).problem


@pytest.mark.parametrize(
    ("run_id", "problem"),
    [
        ("same", "2 runs need ids of their own: use {seed}"),
        ("{nothing}", "{nothing} in the run id is not the name of a changed setting"),
        ("{seed}/x", "is not a valid run ID"),
    ],
)
def test_ids_that_cannot_be_used_are_refused(tmp_path: Path, run_id: str, problem: str) -> None:
    assert (
        problem
        in plan_of(Launch("tiny", ("train.runtime.seed=1, 2",), run_id=run_id), tmp_path).problem
    )


def test_without_an_id_each_run_gets_one(tmp_path: Path) -> None:
    launch = Launch("tiny", ("train.runtime.seed=1, 2",))
    found = with_ids(plan_of(launch, tmp_path).launches)
    assert len({each.run_id for each in found}) == 2
    assert suggested_id(launch.overrides, "tiny") == "tiny-{seed}"
    resumed = replace(launch, resume="old")
    assert "one run" in plan_of(resumed, tmp_path).problem


def test_the_rest_of_a_plan_is_not_checked_once_the_answer_is_not_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def check(experiments: Path, runs: Path, launch: Launch) -> str:
        checked.append(launch.experiment)
        return ""

    monkeypatch.setattr("transformer_playground.tui.launch.variants.check_launch", check)
    plan = Plan(tuple(Launch(f"e{number}") for number in range(5)))
    assert check_plan(tmp_path, tmp_path, plan, lambda: len(checked) < 2) == ""
    assert checked == ["e0", "e1"]
