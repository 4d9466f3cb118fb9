"""The first start: the console points at a bundled experiment that takes seconds."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from builders.commands import CONFIG, Project, make_project
from builders.tui import shown, until, with_console
from transformer_playground.experiments import discovery
from transformer_playground.experiments.discovery import (
    bundled_dir,
    discover,
    find_experiment,
    start_experiment,
)
from transformer_playground.tui.app import Console
from transformer_playground.tui.launch.view import LaunchScreen
from transformer_playground.tui.live.panes import SamplesPane
from transformer_playground.tui.runs.experiment_list import ExperimentList

SAMPLING = CONFIG.replace("max_iters = 20", "max_iters = 20\nsample_interval = 20")


def with_seconds(seconds: int) -> str:
    return SAMPLING.replace("[experiment]\n", f"[experiment]\nrun_seconds = {seconds}\n")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with the bundled experiments `another`, `quick` and `slow`, and no runs."""
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))
    project = make_project(tmp_path / "project", SAMPLING)
    for name, seconds in (("another", 0), ("quick", 12), ("slow", 31)):
        folder = shutil.copytree(project.experiment, project.experiment.with_name(name))
        (folder / "config.toml").write_text(with_seconds(seconds), encoding="utf-8")
    bundled = shutil.copytree(project.experiment.parent, tmp_path / "bundled")
    monkeypatch.setattr(discovery, "_PACKAGED", bundled)
    return project


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
def test_two_keys_lead_from_no_runs_to_a_sample_of_the_experiment_to_start_with(
    project: Project, size: tuple[int, int]
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "start here, about 12s" in shown(console))
        assert console.screen.query_one(ExperimentList).current == "quick"
        await until(pilot, lambda: "on quick (about 12s)" in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
        await pilot.press("enter")
        await until(pilot, lambda: console.current_mode == "live")
        await until(pilot, lambda: console.screen.query(SamplesPane))
        await until(pilot, lambda: console.screen.query_one(SamplesPane)._steps)

    with_console(project, steps, size)
    assert [run.run_id.startswith("quick-") for run in project.runs] == [True]


def test_in_an_empty_folder_the_list_of_bundled_experiments_says_where_to_start(
    project: Project,
) -> None:
    shutil.rmtree(project.experiment.parent)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "copies a bundled one" in shown(console))
        await pilot.press("n")
        await until(pilot, lambda: "start here, about 12s" in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
        assert (project.root / "experiments" / "quick" / "config.toml").is_file()

    with_console(project, steps, (100, 30))


def test_only_unchanged_bundled_experiments_of_half_a_minute_are_named(project: Project) -> None:
    experiments = project.experiment.parent
    assert start_experiment(discover(experiments)) == ("quick", 12)
    assert start_experiment([find_experiment(experiments, "slow")]) is None
    # A time that its author claims is not one that was measured.
    config = find_experiment(experiments, "quick").config_path
    config.write_text(with_seconds(12).replace("= 20\n", "= 2000\n"), encoding="utf-8")
    assert start_experiment(discover(experiments)) is None


def test_a_shipped_experiment_trains_in_under_half_a_minute() -> None:
    found = start_experiment(discover(bundled_dir()))
    assert found is not None
    name, seconds = found
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    (line,) = (line for line in readme.splitlines() if line.startswith(f"| [`{name}`]"))
    assert line.endswith(f"in {seconds} s |")
