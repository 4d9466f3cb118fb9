"""Each view as text, held against files: `UPDATE_SNAPSHOTS=1 pytest …` rewrites them."""

import importlib
import math
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from builders.commands import CONFIG, Project, make_project
from builders.corpora import prepare, prepare_config
from builders.runs import make_run
from builders.sweeps import GRID, NORM, RATE, additive
from builders.tui import shown, until, with_console
from transformer_playground.sweeps.spec import save_sweep
from transformer_playground.sweeps.trials import plan
from transformer_playground.system.gpus import Gpu, GpuUse
from transformer_playground.tui.app import Console
from transformer_playground.tui.data.view import DataView
from transformer_playground.tui.machine.service import BusyProcess, MachineReader, Reading
from transformer_playground.tui.machine.step_split import StepSplit

NOW = 1_800_000_000.0
CREATED = "2027-01-15T06:00:00+00:00"
SNAPSHOTS = Path(__file__).parent / "snapshots"
VIEWS = ("runs", "live", "sample", "compare", "grid", "model", "data", "machine", "sweep")
PATIENCE = 20.0
SIZES = [(80, 24), (120, 40), (200, 60)]


READING = Reading(
    cores=(1.0, 0.42, 0.07, None),
    load=2.5,
    memory=4 << 30,
    total=24 << 30,
    free=38 << 30,
    written=4.2e6,
    gpus=(Gpu("A100", GpuUse(0.93, 31 << 30, 61, 287.0), 40 << 30, {6004: 31 << 30}),),
    processes=(
        BusyProcess(6004, "python", 1.4, 776 << 20, 31 << 30, "tiny-a"),
        BusyProcess(24328, "tp-tui", 0.31, 180 << 20, is_own=True),
    ),
    split=StepSplit(
        12.5, {"data": 0.5, "forward": 4.0, "backward": 7.0, "optimizer": 1.0}, 1.9, 50
    ),
)


@pytest.fixture(autouse=True)
def fixed_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(time, "time", lambda: NOW)
    readings = iter([READING])
    # One reading, so that its history does not grow while a test waits.
    monkeypatch.setattr(MachineReader, "read", lambda *_: next(readings, None))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def rows(best: float, *, breaks: bool) -> list[dict[str, Any]]:
    began = NOW - 7200
    found: list[dict[str, Any]] = [
        {"event": "status", "status": "running", "step": 0, "time": began, "tokens_per_step": 64}
    ]
    for step in range(10, 201, 10):
        loss = best + 2 * math.exp(-step / 50)
        at = {"step": step, "time": began + step}
        found.append(
            at
            | {"event": "train", "train_loss": None if breaks and step > 150 else loss}
            | {"lr": 1e-3, "tokens_per_sec": 5000.0, "step_time_ms": 12.5, "grad_norm": 1.5}
            | {"tokens_seen": step * 64}
        )
        if step % 50 == 0:
            found.append(
                at
                | {"event": "eval", "train_loss": loss, "val_loss": loss + 0.1, "is_best": True}
                | {"train_ppl": math.exp(loss), "val_ppl": math.exp(loss + 0.1)}
                | {"val_bits_per_byte": loss}
            )
    end = {"event": "status", "step": 200, "time": began + 200}
    failed = {"status": "failed", "error": "the loss is not finite at step 160"}
    return [*found, end | (failed if breaks else {"status": "finished"})]


def check(name: str, view: str, size: tuple[int, int], *, breaks: bool = False) -> None:
    project = make_project(Path("project"), CONFIG)
    for number, run_id in enumerate(("tiny-a", "tiny-b")):
        settings = {"model": {"n_layer": number}, "train": {"runtime": {"max_iters": 200}}}
        made = rows(1.5 + number, breaks=breaks)
        run = make_run(project.root / "runs", run_id, made, config=settings, created=CREATED)
        os.utime(run.root, (NOW - 7000, NOW - 7000))
    count = 2
    if view == "data":
        prepare(prepare_config(project.experiment))
    if view == "sweep":
        count += make_sweep(project)
    if view == "model":
        # What it imports takes longer on a busy machine than a view may.
        importlib.import_module("transformer_playground.inspection.shapes")
    path = SNAPSHOTS / f"{name}.txt"

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(console.context.snapshot.runs) == count)
        # The table puts its cursor on a run first, and says so in a message.
        await until(pilot, lambda: console.context.workspace.current is not None)
        await pilot.pause()
        console.context.workspace.selected[:] = ["tiny-a", "tiny-b"]
        # The first run has no layers, which is no model.
        console.context.publish_workspace(current="tiny-b" if view == "model" else "tiny-a")
        await until(pilot, lambda: "2 selected" in shown(console))
        console.action_view(view)
        if view == "data":
            await until(pilot, lambda: isinstance(console.screen, DataView))
            await pilot.press("f", *"experiment", "enter")
        if os.environ.get("UPDATE_SNAPSHOTS"):
            await pilot.pause(4)
            await until(pilot, lambda: not getattr(console.screen, "is_reading", False))
            path.parent.mkdir(exist_ok=True)
            path.write_text(grid(console), encoding="utf-8")
        expected = path.read_text(encoding="utf-8")
        try:
            await until(pilot, lambda: grid(console) == expected, PATIENCE)
        except TimeoutError:
            assert grid(console).splitlines() == expected.splitlines()

    with_console(project, steps, size)


def make_sweep(project: Project) -> int:
    """A sweep whose runs have finished; returns their number."""
    trials = plan(replace(GRID, created="20270115-060000"))
    save_sweep(project.root / "sweeps", replace(GRID, created="20270115-060000"))
    for trial in trials:
        values = dict(trial.values)
        loss = additive(values[NORM], values[RATE], trial.seed)
        run = make_run(
            project.root / "runs",
            trial.run_id,
            rows(loss, breaks=False),
            experiment="tiny",
            created=CREATED,
        )
        os.utime(run.root, (NOW - 7000, NOW - 7000))
    return len(trials)


def grid(console: Console) -> str:
    return "\n".join(line.rstrip() for line in shown(console).splitlines()) + "\n"


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_a_view_looks_as_it_did(view: str, size: tuple[int, int]) -> None:
    check(f"{view}-{size[0]}x{size[1]}", view, size)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_says_without_colour_what_it_says_with_it(
    view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    check(f"{view}-80x24", view, (80, 24))


@pytest.mark.parametrize("view", ["runs", "live", "compare"])
def test_a_view_shows_a_loss_that_is_not_finite(view: str) -> None:
    check(f"{view}-nan-120x40", view, (120, 40), breaks=True)
