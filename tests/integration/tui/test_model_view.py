"""The Model view by keyboard and mouse, on a run, two checkpoints of it, and before any run."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from builders.commands import Project, make_project
from builders.schemas import check
from builders.training import train
from builders.tui import shown, until, with_console
from transformer_playground.tui.app import Console
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.model.service import ModelReader
from transformer_playground.tui.model.tree_table import ModuleTable
from transformer_playground.tui.model.view import ModelView

FEW_STEPS = {
    "train": {
        "runtime": {"max_iters": 4, "eval_interval": 2},
        "checkpointing": {"keep": {"last": 3, "best": 1}},
    }
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path / "project")


async def open_view(console: Console, pilot: Pilot[Any]) -> ModelView:
    await until(pilot, lambda: console.context.has_snapshot)
    await pilot.press("6")
    await until(pilot, lambda: isinstance(console.screen, ModelView))
    view = console.screen
    assert isinstance(view, ModelView)
    await until(pilot, lambda: is_at_rest(view))
    return view


def is_at_rest(view: ModelView) -> bool:
    return view.shown is not None and view.shown.is_complete and not view.is_reading


def has_histogram(console: Console) -> bool:
    return re.search(r"│ [\d,]+ weights", shown(console)) is not None


async def pick(console: Console, pilot: Pilot[Any], key: str, text: str) -> None:
    await pilot.press(key)
    await until(pilot, lambda: isinstance(console.screen, PickScreen))
    await pilot.press(*text, "enter")
    await until(pilot, lambda: isinstance(console.screen, ModelView))


def test_a_run_is_read_folded_compared_and_left_by_keyboard(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(project.root, FEW_STEPS)
    released: list[str] = []
    monkeypatch.setattr(ModelReader, "release", lambda _: released.append("models"))

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_view(console, pilot)
        table = view.query_one(ModuleTable)
        assert "run · step 4" in shown(console)
        assert "token_embedding" in shown(console)
        assert "8 windows of the validation split" in shown(console)
        await pilot.press("j", "j", "j", "enter")
        assert table.row is not None
        assert table.row.name == "blocks.0"
        await until(pilot, lambda: "▸ blocks.0" in shown(console) and "mlp" not in shown(console))
        await pilot.press("right", "right", "left", "left", "plus")
        await until(pilot, lambda: "▾ blocks.1" in shown(console) and "qkv" in shown(console))
        assert table.row.name == "blocks.0"
        await pilot.press("less_than_sign")
        await until(pilot, lambda: is_at_rest(view) and "run · step 2" in shown(console))
        # Details with a histogram, in place of the tree where there is no space beside it.
        await pilot.press("v")
        await until(pilot, lambda: is_at_rest(view) and has_histogram(console))
        await pilot.press("escape")
        await pick(console, pilot, "b", "00000000")
        await until(pilot, lambda: is_at_rest(view) and "step 2 | run · step 0" in shown(console))
        assert "no setting differs" in shown(console)
        await pick(console, pilot, "x", "json")
        await until(pilot, lambda: [*Path.cwd().glob("model-*.json")])
        (written,) = Path.cwd().glob("model-*.json")
        check("inspect", json.loads(written.read_text()))
        await pilot.press("escape", "y")
        await until(pilot, lambda: is_at_rest(view) and "| run · step 0" not in shown(console))
        assert "| blocks.0.mlp.up |" in console.clipboard
        # Under a dialog it keeps what it knows; hidden, it neither reads nor keeps models.
        assert not released
        await pilot.press("1")
        await until(pilot, lambda: not view.is_current and not view.is_reading)
        assert released
        console.context.refresh_snapshot()
        await pilot.pause()
        assert not view.is_reading

    with_console(project, steps)


def test_an_untrained_experiment_has_shapes_and_the_mouse_folds(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        view = await open_view(console, pilot)
        assert "experiment tiny · not trained" in shown(console)
        assert "without the vocabulary" in shown(console)
        assert "? × 16" in shown(console)
        table = view.query_one(ModuleTable)
        lines = shown(console).splitlines()
        y = next(number for number, line in enumerate(lines) if "▸ blocks.1" in line)
        x = lines[y].index("▸")
        await pilot.click(offset=(x, y))
        await until(pilot, lambda: "▾ blocks.1" in shown(console))
        assert table.row is not None
        assert table.row.name == "blocks.1"
        for size in ((80, 24), (60, 16), (20, 5), (200, 60)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        await until(pilot, lambda: "FLOP/token" in shown(console))
        assert table.row.name == "blocks.1"
        # An experiment that cannot be used, then none at all.
        (project.experiment / "config.toml").write_text("[model]\nn_layer = 'x'\n")
        await pilot.press("1", "6")
        await until(pilot, lambda: is_at_rest(view) and "model.n_layer" in shown(console))
        assert table.row is None
        assert "blocks.0" not in shown(console)
        shutil.rmtree(project.experiment)
        console.context.refresh_snapshot()
        await until(pilot, lambda: "No runs and no experiments yet" in shown(console))

    with_console(project, steps, (140, 45))
