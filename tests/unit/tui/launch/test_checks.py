"""Checks of a launch beside the keys that change it."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.app import App
from textual.screen import Screen

from transformer_playground.training.launch import Launch
from transformer_playground.tui.launch.checks import LaunchChecks
from transformer_playground.tui.launch.variants import MOST_RUNS, Plan

CHECKS = "transformer_playground.tui.launch.checks"
PATIENCE = 60


def test_the_folder_of_runs_is_read_beside_the_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def check_name(_: Path, name: str) -> str:
        threads.append(threading.get_ident())
        return f"{name} is taken"

    monkeypatch.setattr(f"{CHECKS}.check_name", check_name)
    found: list[tuple[Plan, str]] = []

    async def drive() -> None:
        app: App[None] = App()
        async with app.run_test():
            form: Screen[tuple[Launch, ...]] = Screen()
            await app.push_screen(form)
            launch = Launch("new", ("train.runtime.seed=1, 2",), "run-{seed}")
            LaunchChecks(form, tmp_path, tmp_path).names(launch, found.append)
            while not found:
                await asyncio.sleep(0)

    asyncio.run(drive())
    plan, problem = found[0]
    assert [launch.run_id for launch in plan.launches] == ["run-1", "run-2"]
    assert problem == "run-1 is taken"
    assert threading.get_ident() not in threads


def test_of_two_requests_the_newer_is_answered_and_the_older_ends_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_begun, may_end = threading.Event(), threading.Event()
    was_wanted: list[bool] = []
    answers: list[str] = []

    def check(_: Path, __: Path, plan: Plan, is_wanted: Callable[[], bool]) -> str:
        if plan.launches[0].experiment == "new":
            return "new"
        has_begun.set()
        assert may_end.wait(PATIENCE)
        was_wanted.append(is_wanted())
        return "old"

    monkeypatch.setattr(f"{CHECKS}.check_plan", check)

    async def drive() -> None:
        app: App[None] = App()
        async with app.run_test():
            form: Screen[tuple[Launch, ...]] = Screen()
            await app.push_screen(form)
            checks = LaunchChecks(form, tmp_path, tmp_path)
            checks.check(Launch("old"), lambda found: answers.append(found[1]))
            assert await asyncio.to_thread(has_begun.wait, PATIENCE)
            checks.check(Launch("new"), lambda found: answers.append(found[1]))
            may_end.set()
            while not (answers and was_wanted):
                await asyncio.sleep(0)

    asyncio.run(drive())
    assert (answers, was_wanted) == (["new"], [False])


def test_a_change_checks_only_the_first_runs_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Plan] = []

    def check(_: Path, __: Path, plan: Plan) -> str:
        checked.append(plan)
        return "no"

    monkeypatch.setattr(f"{CHECKS}.check_plan", check)
    seeds = ",".join(map(str, range(MOST_RUNS)))
    launch = Launch("tiny", (f"train.runtime.seed={seeds}",), "id-that-all-would-have")
    assert LaunchChecks(Screen(), tmp_path, tmp_path).problem_at_once(launch) == "no"
    overrides = [each.overrides for each in checked[0].launches]
    assert overrides[:2] == [("train.runtime.seed=0",), ("train.runtime.seed=1",)]
    assert len(overrides) < 10
