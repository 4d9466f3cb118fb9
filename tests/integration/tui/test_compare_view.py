"""The compare view as its user meets it: keys alone, real runs, broken ones and hostile ones."""

import contextlib
import csv
import json
import shutil
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Static

from builders.commands import CONTROL, Project, in_process, make_project
from builders.comparisons import finished_run
from builders.schemas import check
from builders.tui import shown, until, with_console
from transformer_playground.cli.main import main
from transformer_playground.formatting import count_text
from transformer_playground.runs.folder import RunFolder
from transformer_playground.training.launch import Launch
from transformer_playground.tui.app import Console
from transformer_playground.tui.compare.pane import ComparisonCurves, ComparisonPane
from transformer_playground.tui.compare.samples import (
    ComparisonSamples,
    SampleText,
    TrainingSamples,
)
from transformer_playground.tui.compare.table import ComparisonTable
from transformer_playground.tui.compare.view import CompareView
from transformer_playground.tui.dialogs.pick import PickScreen

SIZES = [(80, 24), (140, 45)]
HOSTILE = "\x1b]52;c;cm0=\x07\x1b[31m\x9b31m\x7f\u202e[/red][bold]\x08"
QUICK = ("--set", "train.runtime.threads=1", "--set", "train.runtime.max_iters=10")
SEED = "train.runtime.seed"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with three trained runs: two that differ in their seed, and one with rope."""
    project = make_project(tmp_path_factory.mktemp("compare") / "project")
    runs = {
        "learned-s1": f"{SEED}=1",
        "learned-s2": f"{SEED}=2",
        "rope-s1": "model.positional_encoding=rope",
    }
    with contextlib.chdir(project.root):
        for run_id, setting in runs.items():
            words = ["loop", "tiny", "--run-id", run_id, *QUICK, "--set", setting]
            assert main(words) == 0
    return project


@pytest.fixture
def project(trained: Project, tmp_path: Path) -> Project:
    """A copy of the trained runs to change."""
    return Project(shutil.copytree(trained.root, tmp_path / "project"))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to stand in, with settings of its own."""
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))
    here = tmp_path / "here"
    here.mkdir()
    with contextlib.chdir(here):
        yield here


async def open_view(console: Console, pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: console.context.snapshot.runs)
    await pilot.press("4")
    await until(pilot, lambda: isinstance(console.screen, CompareView))
    await pilot.pause()


async def pick(console: Console, pilot: Pilot[Any], *run_ids: str) -> None:
    """Choose runs by the view's own picker."""
    for run_id in run_ids:
        await pilot.press("space")
        await until(pilot, lambda: isinstance(console.screen, PickScreen))
        await pilot.press(*("minus" if char == "-" else char for char in run_id), "enter")
        await until(pilot, lambda: isinstance(console.screen, CompareView))


def table(console: Console) -> ComparisonTable:
    return console.screen.query_one(ComparisonTable)


def rows(console: Console) -> list[str]:
    """Ids of the runs in the rows, means left out."""
    return [row.key for row in table(console).rows if not row.is_mean]


def cells(console: Console, key: str) -> dict[str, str]:
    """Run id -> the value in a column; empty without that column."""
    found = [column.place for column in table(console).columns if column.key == key]
    return {row.key: row.cells[place].text for place in found for row in table(console).rows}


def shifts(console: Console, key: str) -> dict[str, str]:
    """Run id -> the difference from the baseline in a column."""
    (place,) = [column.place for column in table(console).columns if column.key == key]
    return {row.key: row.cells[place].shift for row in table(console).rows}


def baseline(console: Console) -> str:
    return str(console.screen.query_one(ComparisonPane).border_title)


async def compare(console: Console, pilot: Pilot[Any], *run_ids: str) -> None:
    """Select runs, then open the compare view."""
    await until(pilot, lambda: console.context.snapshot.runs)
    console.context.workspace.selected = list(run_ids)
    console.context.publish_workspace()
    await open_view(console, pilot)
    await until(pilot, lambda: len(table(console).rows) > 1 and not is_looking(console))


async def compare_by_keys(console: Console, pilot: Pilot[Any], *run_ids: str) -> None:
    await open_view(console, pilot)
    # The run under the cursor of the list is compared unless others are selected.
    await pick(console, pilot, *console.context.workspace.chosen())
    await pick(console, pilot, *run_ids)
    await until(pilot, lambda: len(table(console).rows) > 1 and not is_looking(console))


def is_looking(console: Console) -> bool:
    return any(worker.group == "compare" and worker.is_running for worker in console.workers)


@pytest.mark.parametrize("size", SIZES)
def test_numbers_and_differing_settings_are_those_of_the_command(
    trained: Project, capsys: pytest.CaptureFixture[str], size: tuple[int, int]
) -> None:
    ended = in_process(
        trained, capsys, "compare", "--run-ids", "learned-s1,rope-s1", "--n-samples", 0, "--json"
    )
    document = json.loads(ended.out)
    difference = document["columns"][1]["deltas"]["best_val_loss"]["difference"]

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare_by_keys(console, pilot, "learned-s1", "rope-s1")
        assert rows(console) == document["ranking"]
        losses = {run["run_id"]: run["measures"] for run in document["runs"]}
        assert cells(console, "best_val_loss") == {
            run_id: f"{found['best_val_loss']:.4f}" for run_id, found in losses.items()
        }
        assert cells(console, "parameters") == {
            run_id: count_text(found["parameters"]) for run_id, found in losses.items()
        }
        sign = "✓" if difference < 0 else "✗"
        assert shifts(console, "best_val_loss")["rope-s1"] == f"{difference:+.4f} {sign}"
        keys = {column.key for column in table(console).columns}
        assert keys >= set(document["settings"])
        positions = {"learned-s1": "learned", "rope-s1": "rope"}
        assert cells(console, "model.positional_encoding") == positions
        assert document["verdict"]["sentence"][:30] in shown(console).replace("\n", "")

        await pilot.press("v")
        await until(pilot, lambda: cells(console, "model.n_layer"))
        assert set(cells(console, "model.n_layer").values()) == {"2"}

    with_console(trained, steps, size)


def test_the_pinned_run_is_what_the_others_are_held_against(trained: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1")
        before = shifts(console, "best_val_loss")
        assert before["learned-s1"] == ""
        await pilot.press("home")
        while table(console).row_key != "rope-s1":
            await pilot.press("down")
        await pilot.press("p")
        await until(pilot, lambda: "rope-s1" in baseline(console))
        after = shifts(console, "best_val_loss")
        assert after["rope-s1"] == ""
        assert {before["rope-s1"][0], after["learned-s1"][0]} == {"-", "+"}
        assert before["rope-s1"][1:7] == after["learned-s1"][1:7]
        assert console.context.workspace.baseline == "rope-s1"
        assert table(console).row_key == "rope-s1"
        assert "⌂" in shown(console)

        await pilot.press("p")
        await until(pilot, lambda: "learned-s1" in baseline(console))
        assert shifts(console, "best_val_loss") == before

    with_console(trained, steps)


def test_runs_that_differ_in_their_seed_are_averaged_or_not(trained: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "learned-s2", "rope-s1")
        await until(pilot, lambda: sorted(rows(console)) == ["learned-s1", "rope-s1"])
        assert "learned-{s1,s2} (2 seeds)" in [row.name for row in table(console).rows]
        losses = cells(console, "best_val_loss")
        assert "±" in losses["learned-s1"]
        assert "±" not in losses["rope-s1"]
        await pilot.press("g")
        await until(pilot, lambda: len(rows(console)) == 3)
        last = table(console).rows[-1]
        assert last.is_mean
        assert last.name == "mean of learned-{s1,s2}"

    with_console(trained, steps)


@pytest.mark.parametrize("size", SIZES)
def test_every_pane_is_reached_by_keys_and_curves_are_overlaid(
    trained: Project, size: tuple[int, int]
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1")
        await pilot.press("tab")
        chart = console.screen.query_one(ComparisonCurves)
        await until(pilot, lambda: chart.has_focus and chart.plot() is not None)
        await until(pilot, lambda: "validation loss" in shown(console))
        assert all(name in shown(console) for name in ("learned-s1", "rope-s1"))
        assert chart.x_kind == "linear"
        await pilot.press("l", "a", "a")
        await until(pilot, lambda: chart.x_kind == "seconds")
        assert chart.log_y

        seen = set()
        for _ in range(20):
            await pilot.press("tab")
            await pilot.pause(0.05)
            panes = console.screen.query(".compare-pane")
            seen |= {pane.id for pane in panes if console.focused in [pane, *pane.query("*")]}
        # These runs drew no samples in training, so there is no pane for them.
        assert seen == {"compare-pane", "compare-curves", "compare-samples"}

    with_console(trained, steps, size)


@pytest.mark.parametrize("size", SIZES)
def test_the_same_prompt_and_seed_is_asked_of_each_run(
    trained: Project, capsys: pytest.CaptureFixture[str], size: tuple[int, int]
) -> None:
    options = ("--prompt", "12", "--seed", 7, "--n-samples", 1, "--json")
    ended = in_process(trained, capsys, "compare", "--run-ids", "learned-s1,rope-s1", *options)
    expected = [answer["texts"][0] for answer in json.loads(ended.out)["sampling"]["runs"]]

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1")
        await pilot.press("i")
        samples = console.screen.query_one(ComparisonSamples)
        await until(pilot, lambda: samples.form.prompt.has_focus)
        await pilot.press("1", "2", "shift+tab")
        await until(pilot, lambda: not samples.form.prompt.has_focus)
        await pilot.press("i", *["tab"] * 7)
        await until(pilot, lambda: console.focused is not None and console.focused.id == "seed")
        await pilot.press("7", "enter")
        await until(pilot, lambda: samples.is_sampling or not samples.panes.is_empty)
        await until(pilot, lambda: not samples.is_sampling)
        texts = [list(view.transcript.texts()) for view in samples.panes.shown if view.transcript]
        assert texts == [[f"12{text}"] for text in expected]
        await pilot.press("escape")
        await until(pilot, lambda: samples.panes.chosen.has_focus)

    with_console(trained, steps, size)


def test_sampling_stops_at_once_and_says_so(trained: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1")
        await pilot.press("i")
        samples = console.screen.query_one(ComparisonSamples)
        await until(pilot, lambda: samples.form.prompt.has_focus)
        await pilot.press(*["tab"] * 5)
        await until(pilot, lambda: console.focused and console.focused.id == "max_new_tokens")
        await pilot.press(*"49000", "enter")
        await until(pilot, lambda: samples.panes.n_tokens > 10)
        await pilot.press("ctrl+x")
        await until(pilot, lambda: not samples.is_sampling)
        assert samples.panes.n_tokens < 98_000
        assert "■ stopped" in shown(console)

    with_console(trained, steps)


def write_samples(run: RunFolder, samples: dict[int, str]) -> None:
    rows = [
        {"step": step, "time": 1.0, "prompt": ">", "text": text} for step, text in samples.items()
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    run.samples_path.write_text(lines, encoding="utf-8")


@pytest.mark.parametrize("width", [60, 100, 140])
def test_the_timeline_of_samples_fits_its_pane(project: Project, width: int) -> None:
    write_samples(project.run_named("learned-s1"), {0: "zero", 5: "five", 10: "ten"})

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1")
        await pilot.press("greater_than_sign")
        line = console.screen.query_one("#compare-scrubber", Static)
        await until(pilot, lambda: line.content_size.width and "step" in str(line.content))
        text = str(line.content)
        assert cell_len(text) <= line.content_size.width
        assert " 3 of 3" in text
        assert text.count("●") == 1

    with_console(project, steps, (width, 30))


def test_runs_without_samples_leave_the_space_of_their_panes_to_the_curves(
    trained: Project,
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1")
        samples = console.screen.query_one(TrainingSamples)
        await until(pilot, lambda: samples.has_class("-bare"))
        curves = console.screen.query_one("#compare-curves")
        await until(pilot, lambda: curves.outer_size.width == console.size.width)
        assert not any(pane.display for pane in samples.query(SampleText))

    with_console(trained, steps, (140, 45))


@pytest.mark.parametrize("size", SIZES)
def test_scrubbing_shows_each_run_at_or_before_the_step(
    project: Project, size: tuple[int, int]
) -> None:
    write_samples(project.run_named("learned-s1"), {0: "one-zero", 10: "one-ten"})
    write_samples(project.run_named("rope-s1"), {5: "two-five"})

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1")
        await pilot.press("shift+tab")
        await until(pilot, lambda: "one-ten" in shown(console))
        assert ">two-five" in shown(console)
        assert isinstance(console.focused, SampleText)
        await pilot.press("left")
        await until(pilot, lambda: "one-zero" in shown(console))
        assert "two-five" in shown(console)
        assert "2 of 3" in shown(console)
        await pilot.press("less_than_sign")
        await until(pilot, lambda: "No sample yet" in shown(console))
        assert "one-zero" in shown(console)
        await pilot.press("left", "G")
        await until(pilot, lambda: "one-ten" in shown(console))

    with_console(project, steps, size)


@pytest.mark.parametrize("kind", ["csv", "json", "markdown", "svg"])
def test_exports_are_whole_files_in_the_current_folder(
    trained: Project, home: Path, kind: str
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1")
        await pilot.press("x")
        await until(pilot, lambda: isinstance(console.screen, PickScreen))
        await pilot.press(*kind, "enter")
        await until(pilot, lambda: [*home.iterdir()] and "Wrote" in said(console))

    with_console(trained, steps)
    (path,) = home.iterdir()
    text = path.read_text(encoding="utf-8")
    match kind:
        case "csv":
            rows = list(csv.DictReader(text.splitlines()))
            assert [row["run_id"] for row in rows] == ["learned-s1", "rope-s1"]
        case "json":
            check("compare", json.loads(text))
        case "markdown":
            assert "| best val loss |" in text
            assert "| model.positional\\_encoding | learned | rope |" in text.replace("_e", "\\_e")
        case _:
            assert ET.fromstring(text).tag.endswith("svg")


def said(console: Console) -> str:
    return " ".join(str(notification.message) for notification in console._notifications)


def test_the_table_is_copied_as_markdown(trained: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1")
        await pilot.press("y")
        await until(pilot, lambda: "| best val loss |" in console.clipboard)
        assert "|  | learned-s1 | rope-s1 |" in console.clipboard
        assert "| run |" in console.clipboard

    with_console(trained, steps)


def test_single_runs_are_tested_on_the_whole_validation_split(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1")
        assert "chance is not ruled out (W tests them" in " ".join(shown(console).split())
        await pilot.press("W")
        await until(pilot, lambda: "windows of the validation" in shown(console))
        view = console.screen
        assert isinstance(view, CompareView)
        await until(pilot, lambda: not view.check_action("stop", ()))
        await pilot.press("W")
        await until(pilot, lambda: "All runs that can be compared by windows are" in said(console))

    with_console(project, steps, (140, 45))


def test_a_test_without_the_dataset_says_so(project: Project) -> None:
    shutil.rmtree(project.root / "experiments" / "tiny" / "datasets")
    # The copied runs name the folder of the original.
    for run_id in ("learned-s1", "rope-s1"):
        path = project.run_named(run_id).config_path
        path.write_text(path.read_text(encoding="utf-8").replace("/datasets", "/gone"))

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1")
        await pilot.press("W")
        await until(pilot, lambda: "cannot be compared by windows" in said(console))

    with_console(project, steps)


def test_fewer_than_two_runs_get_a_sentence_and_the_keys(trained: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await until(pilot, lambda: "at least two runs" in shown(console))
        await pilot.press("p", "g", "v", "a", "y", "x", "tab", "less_than_sign")
        await pilot.pause()
        assert "at least two runs" in shown(console)

    with_console(trained, steps)


def test_a_vanished_and_a_broken_run_get_a_sentence_while_the_others_stay(
    project: Project,
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1", "learned-s2")
        await until(pilot, lambda: sorted(rows(console)) == ["learned-s1", "rope-s1"])
        await pilot.press("g")
        await until(pilot, lambda: len(rows(console)) == 3)
        project.run_named("rope-s1").config_path.write_text("{", encoding="utf-8")
        await until(pilot, lambda: sorted(rows(console)) == ["learned-s1", "learned-s2"])
        await until(pilot, lambda: "✗" in shown(console) and "config.json" in shown(console))
        shutil.rmtree(project.run_named("rope-s1").root)
        await until(pilot, lambda: "'rope-s1' was removed" in shown(console))
        assert sorted(rows(console)) == ["learned-s1", "learned-s2"]
        shutil.rmtree(project.run_named("learned-s2").root)
        await until(pilot, lambda: "at least two runs" in shown(console))

    with_console(project, steps)


def test_notes_call_runs_as_the_table_does(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    ids = [f"tiny-20270115-06000{number}-000{number}" for number in range(2)]
    for run_id, norm, state in zip(ids, ("rmsnorm", "none"), ("stopped", "finished"), strict=True):
        finished_run(project.root / "runs", run_id, state=state, model={"norm": norm})

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, *ids)
        await until(pilot, lambda: "rmsnorm is stopped" in shown(console))
        assert ids[0] not in shown(console)

    with_console(project, steps)


def test_new_rows_show_up_and_a_hidden_view_reads_nothing(project: Project) -> None:
    run = project.run_named("rope-s1")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1")
        view = console.screen
        assert isinstance(view, CompareView)
        await pilot.press("1")
        await until(pilot, lambda: console.screen is not view)
        before = view.compared
        row = {"event": "eval", "step": 11, "time": 9e9, "train_loss": 0.5, "val_loss": 0.25}
        with run.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        looked = console.context.snapshot
        await until(pilot, lambda: console.context.snapshot is not looked)
        assert view.compared is before
        await pilot.press("4")
        await until(pilot, lambda: cells(console, "best_val_loss")["rope-s1"] == "0.2500")

    with_console(project, steps)


def test_hostile_settings_and_samples_reach_the_terminal_as_symbols(
    tmp_path: Path,
) -> None:
    project = make_project(tmp_path / "project")
    runs = project.root / "runs"
    finished_run(runs, "one", model={"norm": HOSTILE, HOSTILE: 1, "state": "x"})
    other = finished_run(runs, "two", 1.0, model={"norm": "[red]" * 2000}, experiment=HOSTILE)
    finished_run(runs, "three", float("nan"), rows=[])
    write_samples(other, {3: HOSTILE * 4000})
    with other.samples_path.open("a", encoding="utf-8") as file:
        file.write('{"step": "x", "text": 1}\n{"step": true, "text": "no"}\n[1]\n{"step": 4}\n{')

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "one", "two", "three")
        for key in ("a", "right", "right", "G", *["tab"] * 4, "less_than_sign"):
            await pilot.press(key)
            await pilot.pause(0.05)
            assert not CONTROL.search(shown(console).replace("\n", ""))
        table(console).focus()
        await pilot.press("y")
        await until(pilot, lambda: console.clipboard)
        assert not CONTROL.search(console.clipboard)
        for size in ((60, 16), (200, 60), (30, 5), (100, 20)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert not CONTROL.search(shown(console).replace("\n", ""))

    with_console(project, steps)


def test_without_colours_better_and_worse_are_told_by_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    project = make_project(tmp_path / "project")
    for run_id, loss in (("one", 2.0), ("two", 1.5), ("three", 2.5)):
        finished_run(project.root / "runs", run_id, loss, seed=None)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "one", "two", "three")
        await until(pilot, lambda: len(rows(console)) == 3)
        found = shifts(console, "best_val_loss")
        assert found == {"one": "", "two": "-0.5000 ✓", "three": "+0.5000 ✗"}
        text = shown(console)
        assert "1.5000 ◎ -0.5000 ✓" in text
        assert "✓ better · ✗ worse" in text

    with_console(project, steps, (120, 40))


def test_a_run_that_waits_in_the_queue_is_no_fault_of_a_comparison(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        endless = ("train.runtime.max_iters=1000000",)
        for run_id in ("now", "soon"):
            console.context.training.submit(Launch("tiny", endless, run_id=run_id))
        await until(pilot, lambda: "now" in console.context.snapshot.runs)
        console.context.workspace.selected = ["learned-s1", "rope-s1", "soon"]
        await open_view(console, pilot)
        await until(pilot, lambda: "rope-s1" in shown(console))
        assert "soon" not in shown(console)
        console.context.workspace.selected = ["learned-s1", "soon"]
        console.context.publish_workspace()
        await until(pilot, lambda: "at least two runs" in shown(console))
        assert "\u2717" not in shown(console)

    with_console(project, steps)


def test_the_compared_runs_are_shared_as_one_file(trained: Project, home: Path) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "rope-s1")
        await pilot.press("H")
        await until(pilot, lambda: "Wrote" in said(console))

    with_console(trained, steps)
    (path,) = home.iterdir()
    text = path.read_text(encoding="utf-8")
    assert path.suffix == ".html"
    assert "rope-s1" in text


def test_as_many_texts_are_shown_as_fit(project: Project) -> None:
    for run_id in ("learned-s1", "learned-s2", "rope-s1"):
        write_samples(project.run_named(run_id), {5: f"text of {run_id}"})

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await compare(console, pilot, "learned-s1", "learned-s2", "rope-s1")
        await pilot.press("greater_than_sign")
        await until(pilot, lambda: "text of learned-s1" in shown(console))
        assert "text of rope-s1" in shown(console)
        await pilot.resize_terminal(80, 16)
        await until(pilot, lambda: "not shown" in shown(console))
        assert "text of learned-s1" in shown(console)

    with_console(project, steps, (80, 24))
