"""The runs view as its user meets it: keys alone, real files, broken ones and hostile ones."""

import csv
import json
import re
import shutil
import signal
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from builders.commands import CONTROL, TP, Project, make_project
from builders.comparisons import finished_run
from builders.runs import make_run, status_row, train_row
from builders.tui import shown, until, with_console
from transformer_playground.runs.annotations import Annotations, read_annotations, write_annotations
from transformer_playground.tui.app import Console
from transformer_playground.tui.dialogs.base import ConfirmScreen
from transformer_playground.tui.dialogs.edit_text import EditTextScreen
from transformer_playground.tui.launch.view import LaunchScreen
from transformer_playground.tui.runs.column_picker import ColumnsScreen
from transformer_playground.tui.runs.filter_bar import FilterBar
from transformer_playground.tui.runs.table import RunsTable
from transformer_playground.tui.runs.view import RunsView
from transformer_playground.tui.shared.key_bar import KeyBar

SIZES = [(80, 24), (140, 45), (180, 50)]
HOSTILE = "\x1b]52;c;cm0=\x07\x1b[31m\x9b31m\x7f\u202e[/red][bold]\x08"
LOSSES = {"ant": 2.0, "bee": 1.5, "cat": 2.5}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to stand in, with settings of its own."""
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Three finished runs: ant, bee, and cat, which differs in a setting."""
    project = make_project(tmp_path / "project")
    for run_id, loss in LOSSES.items():
        model = {"norm": "rmsnorm"} if run_id == "cat" else None
        finished_run(project.root / "runs", run_id, loss, model=model)
    return project


def view(console: Console) -> RunsView:
    screen = console.screen_stack[0]
    assert isinstance(screen, RunsView)
    return screen


def order(console: Console) -> list[str]:
    return list(view(console).table_state.order)


def cursor(console: Console) -> str | None:
    return view(console).query_one(RunsTable).cursor


async def ready(console: Console, pilot: Pilot[Any], runs: int = 3) -> None:
    await until(pilot, lambda: len(order(console)) == runs and cursor(console) is not None)


async def go_to(console: Console, pilot: Pilot[Any], run_id: str) -> None:
    await pilot.press("g")
    while cursor(console) != run_id:
        await pilot.press("j")
    await until(pilot, lambda: console.context.workspace.current == run_id)


def typed(text: str) -> list[str]:
    names = {" ": "space", "<": "less_than_sign", "_": "underscore", ".": "full_stop"}
    names |= {":": "colon", "=": "equals_sign", "-": "minus"}
    return [names.get(char, char) for char in text]


def header(console: Console) -> str:
    """The lowest line of the headers of the table."""
    lines = shown(console).splitlines()
    return next(line for line in lines if re.search("    run[ ↑↓]", line))


@pytest.mark.parametrize("size", SIZES)
def test_the_table_shows_state_losses_and_the_selected_run(
    project: Project, size: tuple[int, int]
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await go_to(console, pilot, "bee")
        await until(pilot, lambda: "checkpoints" in shown(console) or "bits/byte" in shown(console))
        text = shown(console)
        for word in ("ant", "bee", "cat", "✓ finished", "1.5000", "⣀", "Runs 3"):
            assert word in text
        assert ("Experiments" in text) == (size[0] > 80)

    with_console(project, steps, size)


def test_the_filter_applies_while_typing_and_escape_clears_it(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await pilot.press("slash", *typed("val_l"))
        # Half a name of a field is not yet a word to look for.
        assert len(order(console)) == 3
        bar = console.screen.query_one(KeyBar)
        labels = {"keep", "complete", "clear", "save"}
        await until(pilot, lambda: {key.label for key in bar.keys} >= labels)
        assert not {key.label for key in bar.keys} & {"filter", "next pane"}
        await pilot.press(*typed("oss<2.2"))
        await until(pilot, lambda: sorted(order(console)) == ["ant", "bee"])
        assert "Runs 2 of 3" in shown(console)
        await pilot.press(*typed(" val_loss<q"))
        await until(pilot, lambda: "'q' is not a number" in shown(console))
        assert sorted(order(console)) == ["ant", "bee"]
        await pilot.press("escape")
        await until(pilot, lambda: len(order(console)) == 3)
        assert "'q' is not a number" not in shown(console)
        await pilot.press("slash", *typed("model.norm=rmsnorm"), "enter")
        await until(pilot, lambda: order(console) == ["cat"])
        # Back in the table, keys are keys again and the filter is still on show.
        await pilot.press("space")
        assert console.context.workspace.selected == ["cat"]
        assert "model.norm=rmsnorm" in shown(console)

    with_console(project, steps)


def test_the_filter_completes_fields_and_values_and_tab_never_leaves_it(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await pilot.press("slash", *typed("norm"))
        await until(pilot, lambda: "norm=  model.norm" in shown(console))
        await pilot.press("tab", *typed("rm"), "tab")
        bar = view(console).query_one(FilterBar)
        assert bar.text == "norm=rmsnorm "
        await until(pilot, lambda: order(console) == ["cat"])
        # Without completions Tab does nothing, and the next letters are not commands.
        await pilot.press("tab", *typed("d"))
        assert bar.text == "norm=rmsnorm d"
        assert console.screen is view(console)
        await pilot.press(*typed("zz"))
        await until(pilot, lambda: "No run matches. esc clears the filter." in shown(console))
        await pilot.press("enter")
        assert console.focused is view(console).query_one(RunsTable)
        await pilot.press("escape")
        await until(pilot, lambda: len(order(console)) == 3)
        assert "No run matches" not in shown(console)

    with_console(project, steps)


def test_a_filter_is_saved_under_a_name_and_offered_by_the_next_console(project: Project) -> None:
    async def save(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await pilot.press("slash", "ctrl+s", *typed("norm=rmsnorm"), "ctrl+s")
        await until(pilot, lambda: isinstance(console.screen, EditTextScreen))
        await pilot.press("enter", *typed("a|square"), "enter")
        await until(pilot, lambda: console.context.settings.filters == {"a|square": "norm=rmsnorm"})
        await pilot.press("escape", "q")

    async def use(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await pilot.press("slash")
        await until(pilot, lambda: "saved as a|square" in shown(console))
        # Tab takes none unasked; a taken one replaces all that was typed of its name.
        await pilot.press("tab", *typed("a|s"), "tab")
        await until(pilot, lambda: order(console) == ["cat"])
        assert view(console).query_one(FilterBar).text == "norm=rmsnorm "
        # Without a name the saved filter is deleted.
        await pilot.press("ctrl+s", "end", *["backspace"] * len("a|square"), "enter")
        await until(pilot, lambda: not console.context.settings.filters)

    with_console(project, save)
    with_console(project, use)


def test_arrows_choose_a_completion_of_the_filter_and_enter_takes_it(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await pilot.press("slash", *typed("norm:"), "down", "enter")
        bar = view(console).query_one(FilterBar)
        assert bar.text == "norm:rmsnorm "
        await pilot.press("enter")
        assert order(console) == ["cat"]

    with_console(project, steps)


def test_a_run_is_called_by_its_settings_until_it_is_renamed(
    project: Project,
) -> None:
    runs = project.root / "runs"
    for number, name in enumerate(("rope", "alibi")):
        run_id = f"tiny-20270115-06000{number}-000{number}"
        finished_run(runs, run_id, 2.0, model={"positional_encoding": name})

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot, 5)
        await go_to(console, pilot, "tiny-20270115-060000-0000")
        await until(pilot, lambda: "rope · tiny-20270115-060000-0000" in shown(console))
        await pilot.press("2")
        await until(pilot, lambda: "loss · rope" in shown(console))
        await pilot.press("1", "slash", *typed("alibi"), "enter", "d")
        await until(pilot, lambda: "Delete alibi?" in shown(console))
        await pilot.press("escape", "R", *["backspace"] * 40, *typed("mine"), "enter")
        await until(pilot, lambda: "Renamed alibi to mine." in shown(console))
        await pilot.press("escape")
        await until(pilot, lambda: "mine" in order(console))
        assert console.context.name_of("mine") == "mine"

    with_console(project, steps, (140, 40))


def test_sorting_goes_through_the_columns_and_is_remembered(project: Project) -> None:
    async def sort(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await go_to(console, pilot, "cat")
        for _ in range(10):
            if view(console).table_state.sort == "val_loss":
                break
            await pilot.press("o")
        assert order(console) == ["bee", "ant", "cat"]
        assert "val↑" in shown(console)
        await pilot.press("O")
        assert order(console) == ["cat", "ant", "bee"]
        # The cursor stays on its run, wherever that goes.
        assert cursor(console) == "cat"

    async def come_back(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        assert order(console) == ["cat", "ant", "bee"]

    with_console(project, sort)
    with_console(project, come_back)


def test_the_column_of_the_order_is_seen_at_every_width_and_position(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        state = view(console).table_state
        for _ in range(len(state.columns()) + 1):
            for width in (140, 80, 60):
                await pilot.resize_terminal(width, 24)
                for _ in range(4):
                    head = header(console)
                    assert "↑" in head or "↓" in head, (state.sort, width)
                    await pilot.press("right")
            await pilot.press("o")

    with_console(project, steps, (140, 24))


def test_a_hidden_column_is_not_sorted_by(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        state = view(console).table_state
        state.sort_by("val_loss", 0.0)
        assert order(console) == ["bee", "ant", "cat"]
        for keys, sort in ((["status", "age"], "age"), (["status"], "run")):
            view(console)._set_columns(keys)
            assert state.sort == sort
            wanted = f"{sort}↑"
            await until(pilot, partial(lambda text: text in header(console), wanted))

    with_console(project, steps)


def test_all_runs_that_match_are_selected_with_one_key(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await pilot.press("slash", *typed("val_loss<2.2"), "enter")
        await until(pilot, lambda: len(order(console)) == 2)
        await pilot.press("asterisk")
        assert sorted(console.context.workspace.selected) == ["ant", "bee"]
        await until(pilot, lambda: "2 selected" in shown(console))
        await pilot.press("escape", "asterisk")
        assert sorted(console.context.workspace.selected) == ["ant", "bee", "cat"]

    with_console(project, steps)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (100, 24), (140, 45), (200, 60)])
def test_panes_keep_their_places_when_the_focus_moves_and_one_key_maximises(
    project: Project, size: tuple[int, int]
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        panes = [view(console).query_one(name) for name in ("#runs-pane", "#details")]
        before = [pane.region for pane in panes]
        await pilot.press("tab")
        await until(pilot, lambda: view(console)._pane == "details")
        assert [pane.region for pane in panes] == before
        await pilot.press("z")
        await until(pilot, lambda: panes[1].region.height == size[1] - 2)
        assert panes[1].region.width == size[0]
        assert not panes[0].display or not panes[0].region.area
        await pilot.press("escape")
        await until(pilot, lambda: [pane.region for pane in panes] == before)
        await pilot.press("shift+tab", "z")
        await until(pilot, lambda: panes[0].region.size == (size[0], size[1] - 2))

    with_console(project, steps, size)


def test_a_click_on_a_header_sorts_by_it(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await until(pilot, lambda: " val " in header(console))
        table = view(console).query_one(RunsTable)
        row = shown(console).splitlines().index(header(console)) - table.region.y
        for expected in (["bee", "ant", "cat"], ["cat", "ant", "bee"]):
            offset = (header(console).index(" val") + 2 - table.region.x, row)
            await pilot.click(RunsTable, offset=offset)
            await until(pilot, partial(lambda wanted: order(console) == wanted, expected))

    with_console(project, steps)


def test_selection_and_baseline_show_glyphs_and_differences(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await go_to(console, pilot, "ant")
        await pilot.press("p")
        await until(pilot, lambda: order(console)[0] == "ant")
        await go_to(console, pilot, "bee")
        await pilot.press("space")
        await until(pilot, lambda: "1 selected" in shown(console))
        text = shown(console)
        assert "⌂● ant" in text
        assert "▲ bee" in text
        assert "-0.5000" in text
        assert "+0.5000" in text
        await pilot.press("A")
        await until(pilot, lambda: not console.context.workspace.selected)
        assert "▲ bee" not in shown(console)
        await pilot.press("1", "g", "p")
        await until(pilot, lambda: "-0.5000" not in shown(console))

    with_console(project, steps)


def test_columns_are_chosen_from_fields_and_settings_and_remembered(project: Project) -> None:
    async def choose(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(console.screen, ColumnsScreen))
        await pilot.press(*typed("model.norm"), "space")
        for _ in range(len("model.norm")):
            await pilot.press("backspace")
        await pilot.press(*typed("train_loss"), "enter", "escape")
        await until(pilot, lambda: "rmsnorm" in shown(console))
        header = next(line for line in shown(console).splitlines() if "tok/s" in line)
        assert " norm " in header
        assert " train " in header

    async def come_back(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        assert "rmsnorm" in shown(console)

    with_console(project, choose, (140, 45))
    with_console(project, come_back, (140, 45))


def test_columns_beyond_the_edge_come_with_the_arrow_keys(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        state = view(console).table_state
        state.choose_columns([*state.keys, "params", "seed", "wall_time", "created"], 0.0)
        view(console).action_reverse()
        await until(pilot, lambda: "more →" in shown(console))
        assert "seed" not in header(console)
        await pilot.press(*["right"] * 6)
        await until(pilot, lambda: "seed" in header(console))
        assert "ant" in shown(console)

    with_console(project, steps)


def test_a_note_and_tags_are_written_into_the_run_folder(project: Project) -> None:
    run = project.run_named("bee")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await go_to(console, pilot, "bee")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(console.screen, EditTextScreen))
        assert "enter saves · ctrl+j breaks the line" in shown(console)
        await pilot.press(*"best", "ctrl+j", *"of all", "enter")
        await until(pilot, lambda: read_annotations(run).note == "best\nof all")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(console.screen, EditTextScreen))
        await pilot.press(*typed("good -bad"), "enter")
        await until(pilot, lambda: "'-bad' is not a valid tag" in shown(console))
        for _ in range(5):
            await pilot.press("backspace")
        await pilot.press(*typed(" final"), "enter")
        await until(pilot, lambda: read_annotations(run).tags == ("good", "final"))
        assert read_annotations(run).note == "best\nof all"
        await until(pilot, lambda: "good, final" in shown(console))

    with_console(project, steps, (140, 45))


def test_a_rename_keeps_selection_and_cursor(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await go_to(console, pilot, "bee")
        await pilot.press("space")
        await go_to(console, pilot, "bee")
        await pilot.press("R")
        await until(pilot, lambda: isinstance(console.screen, EditTextScreen))
        await pilot.press("x", "enter")
        await until(pilot, lambda: "beex" in order(console))
        assert console.context.workspace.selected == ["beex"]
        await until(pilot, lambda: cursor(console) == "beex")
        assert project.run_named("beex").config_path.is_file()
        # A name that is taken is refused in words, and nothing happens.
        await pilot.press("R")
        await until(pilot, lambda: isinstance(console.screen, EditTextScreen))
        await pilot.press(*["backspace"] * 4, *"ant", "enter")
        await until(pilot, lambda: "already a run 'ant'" in shown(console))
        assert sorted(order(console)) == ["ant", "beex", "cat"]

    with_console(project, steps, (140, 45))


def test_deleting_asks_and_can_be_undone(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await go_to(console, pilot, "bee")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(console.screen, ConfirmScreen))
        await pilot.press("escape")
        assert len(project.runs) == 3
        await pilot.press("d")
        await until(pilot, lambda: isinstance(console.screen, ConfirmScreen))
        await pilot.press("enter")
        await until(pilot, lambda: len(order(console)) == 2)
        assert not project.run_named("bee").root.exists()
        assert cursor(console) in ("ant", "cat")
        await pilot.press("u")
        await until(pilot, lambda: len(order(console)) == 3)
        assert project.run_named("bee").config_path.is_file()
        await until(pilot, lambda: cursor(console) == "bee")
        await pilot.press("u")
        await until(pilot, lambda: "Nothing was deleted in this session" in shown(console))

    with_console(project, steps)


def test_selected_runs_are_deleted_and_restored_together(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await pilot.press("g", "space", "space", "d")
        await until(pilot, lambda: "2 selected runs" in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: len(order(console)) == 1)
        await pilot.press("u")
        await ready(console, pilot)

    with_console(project, steps)


@pytest.mark.parametrize("kind", ["csv", "md", "json"])
def test_the_table_is_exported_as_it_is_shown(project: Project, home: Path, kind: str) -> None:
    (home / f"runs.{kind}").write_text("mine")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await pilot.press("slash", *typed("val_loss<2.2"), "enter")
        await until(pilot, lambda: len(order(console)) == 2)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(console.screen, ConfirmScreen))
        await pilot.press(*["tab"] * ["csv", "md", "json"].index(kind), "enter")
        await until(pilot, (home / f"runs-2.{kind}").is_file)
        await until(pilot, lambda: f"runs-2.{kind}" in shown(console).replace("\n", ""))

    with_console(project, steps, (140, 45))
    text = (home / f"runs-2.{kind}").read_text()
    assert (home / f"runs.{kind}").read_text() == "mine"
    match kind:
        case "csv":
            rows = list(csv.DictReader(text.splitlines()))
            assert {row["run"]: row["val_loss"] for row in rows} == {"ant": "2.0", "bee": "1.5"}
        case "md":
            assert "| ant | ✓ finished |" in text
            assert text.splitlines()[1].startswith("| :-- |")
        case "json":
            assert {row["run_id"]: row["val_loss"] for row in json.loads(text)} == {
                "ant": 2.0,
                "bee": 1.5,
            }


def test_a_finished_run_cannot_be_resumed(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await pilot.press("r")
        await until(pilot, lambda: "there is nothing to resume" in shown(console).replace("\n", ""))
        assert not console.context.training.jobs

    with_console(project, steps, (140, 45))


def test_the_id_is_copied(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await go_to(console, pilot, "cat")
        await pilot.press("y")
        await until(pilot, lambda: console.clipboard == "cat")

    with_console(project, steps)


def test_sections_show_settings_with_provenance_samples_and_the_log(project: Project) -> None:
    run = project.run_named("cat")
    document = json.loads(run.config_path.read_text())
    document["provenance"] = {"model.norm": "--set"}
    run.config_path.write_text(json.dumps(document))
    sample = {"step": 50, "time": 1050.0, "prompt": "once", "text": " upon a time"}
    run.samples_path.write_text(json.dumps(sample) + "\n")
    run.logs.mkdir(exist_ok=True)
    run.log_path.write_text("first line\nlast line\n")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await go_to(console, pilot, "cat")
        await pilot.press("v")
        await until(pilot, lambda: re.search('model.norm +"rmsnorm"', shown(console)))
        await until(pilot, lambda: "changed from the default" in shown(console))
        assert "--set" in shown(console)
        await pilot.press("v")
        await until(pilot, lambda: "once upon a time" in shown(console))
        await pilot.press("v")
        await until(pilot, lambda: "last line" in shown(console))

    with_console(project, steps, (140, 45))


def test_experiments_show_their_data_and_lead_to_training(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await pilot.press("shift+tab")
        await until(pilot, lambda: "· not prepared" in shown(console))
        assert "bottles on a wall" in shown(console)
        assert console.context.workspace.experiment == "tiny"
        (project.experiment / "config.toml").write_text("nonsense = ")
        await until(pilot, lambda: "✗ broken" in shown(console))
        await pilot.press("escape")
        await until(pilot, lambda: "ant" in shown(console))
        assert console.context.workspace.experiment is None

    with_console(project, steps)


def test_a_folder_that_cannot_be_an_experiment_is_listed_with_the_reason(
    project: Project,
) -> None:
    shutil.copytree(project.experiment, project.experiment.with_name("mein Text"))

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await pilot.press("shift+tab")
        await until(pilot, lambda: "✗ broken" in shown(console))
        assert "mein Text" in shown(console)
        await until(pilot, lambda: "✗ cannot be used" in shown(console))
        assert "is not an experiment name" in shown(console)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
        await pilot.press("ctrl+t", "ctrl+s", "f5")
        await until(pilot, lambda: "is not an experiment name" in shown(console))
        assert isinstance(console.screen, LaunchScreen)

    with_console(project, steps, (140, 45))


def test_an_invalid_config_shows_its_error_until_it_is_fixed(
    project: Project,
) -> None:
    config = project.experiment / "config.toml"
    whole = config.read_bytes()
    nonsense = {
        b"nonsense = ": "line 1, column 12",
        b"[model]\n\xff\xfe\x00": "is not UTF-8",
        b"[model]\nn_layrs = 3\n": "unknown key model.n_layrs",
        b'[model]\nn_layer = "\\u001b]0;t\\u0007\\u202e[/red]"\n': "must be a whole number",
        b"a = " + b"[" * 100_000: "nested more than 16 deep",
        b"# " + b"x" * 300_000: "larger than 256 KiB",
    }

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        def words() -> str:
            # As one paragraph, whatever the width of the pane breaks it into.
            return " ".join(shown(console).replace("│", " ").split())

        await ready(console, pilot)
        await pilot.press("shift+tab")
        await until(pilot, lambda: "· not prepared" in words())
        for content, problem in nonsense.items():
            config.write_bytes(content)
            console.context.refresh_snapshot()
            await until(pilot, lambda said=problem: said in words())  # type: ignore[misc]
            assert "✗ cannot be used" in words()
            assert CONTROL.search(shown(console)) is None
            # Neither its settings nor the launch form may crash.
            await pilot.press("n")
            await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
            await pilot.press("escape")
            assert isinstance(console.screen, RunsView)
        assert sorted(order(console)) == sorted(LOSSES)
        config.write_bytes(whole)
        console.context.refresh_snapshot()
        await until(pilot, lambda: "· not prepared" in words())
        assert not console.context.training.jobs

    with_console(project, steps, (180, 50))


@pytest.mark.parametrize("size", SIZES)
def test_without_runs_first_steps_are_shown_and_enter_opens_the_launch_form(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    project = make_project(tmp_path / "project")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "three keys away" in shown(console))
        assert "tiny" in shown(console)
        await pilot.press("enter")
        await until(pilot, lambda: type(console.screen).__name__ == "LaunchScreen")

    with_console(project, steps, size)


def test_without_experiments_it_shows_how_to_create_one(tmp_path: Path) -> None:
    project = Project(tmp_path)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "tp new my_experiment" in shown(console))
        for key in ("tab", "slash", "space", "d", "e", "p", "enter", "x", "j", "G", "v", "o", "c"):
            await pilot.press(key)
        await pilot.press("escape")
        make_project(tmp_path / "later")
        shutil.move(tmp_path / "later" / "experiments", tmp_path / "experiments")
        await until(pilot, lambda: "three keys away" in shown(console))

    with_console(project, steps)


def test_the_cursor_stays_on_its_run_when_others_come_and_go(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await go_to(console, pilot, "bee")
        for number in range(5):
            finished_run(project.root / "runs", f"new-{number}")
        await until(pilot, lambda: len(order(console)) == 8)
        assert cursor(console) == "bee"
        shutil.rmtree(project.run_named("new-4").root)
        await until(pilot, lambda: len(order(console)) == 7)
        assert cursor(console) == "bee"
        # The run under the cursor vanishes: a neighbour takes its place, and nothing breaks.
        shutil.rmtree(project.run_named("bee").root)
        await until(pilot, lambda: len(order(console)) == 6)
        assert cursor(console) in order(console)

    with_console(project, steps)


def test_commands_on_a_removed_run_report_it(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot)
        await go_to(console, pilot, "bee")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(console.screen, EditTextScreen))
        shutil.rmtree(project.run_named("bee").root)
        await pilot.press(*"gone", "enter")
        await until(pilot, lambda: "no run 'bee'" in shown(console))
        assert not project.run_named("bee").root.exists()

    with_console(project, steps, (140, 45))


def test_control_characters_in_run_data_never_reach_the_terminal(project: Project) -> None:
    runs = project.root / "runs"
    failed = make_run(
        runs,
        "failed",
        [
            status_row(0, "running"),
            train_row(1),
            status_row(1, "failed", error=HOSTILE + "x" * 10_000),
        ],
        experiment=HOSTILE,
    )
    write_annotations(failed, Annotations(note=HOSTILE * 20))
    document = json.loads(failed.config_path.read_text())
    document["config"]["model"] = {HOSTILE: HOSTILE}
    document["provenance"] = {f"model.{HOSTILE}": HOSTILE}
    failed.config_path.write_text(json.dumps(document))
    failed.samples_path.write_text(
        json.dumps({"step": HOSTILE, "prompt": HOSTILE, "text": HOSTILE}) + "\n[1]\n"
    )
    failed.logs.mkdir(exist_ok=True)
    failed.log_path.write_bytes(HOSTILE.encode() + b"\xff\xfe\n")
    (runs / f"bad{HOSTILE}".replace("/", "")).mkdir()

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot, 5)
        await go_to(console, pilot, "failed")
        await until(pilot, lambda: "✗ failed" in shown(console))
        assert "[/red]" in shown(console)
        for key in ("v", "v", "v", "v", "tab", "G", "tab", "tab", "G", "e"):
            await pilot.press(key)
            await pilot.pause(0.05)
            assert not CONTROL.search(shown(console))
        await pilot.press("escape", "y")
        await pilot.pause(0.05)
        for size in ((60, 16), (200, 60), (30, 5), (100, 20), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert not CONTROL.search(shown(console))

    with_console(project, steps, (140, 45))


def test_without_colours_glyphs_and_text_show_state_and_selection(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    runs = project.root / "runs"
    make_run(
        runs, "dog", [status_row(0, "running"), status_row(1, "failed", error="out of memory")]
    )

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await ready(console, pilot, 4)
        await go_to(console, pilot, "dog")
        await pilot.press("p")
        await until(pilot, lambda: "⌂● dog" in shown(console))
        assert "✗ failed" in shown(console)
        assert "out of memory" in shown(console)

    with_console(project, steps)


def test_a_run_trained_by_another_process_is_updated(project: Project) -> None:
    config = project.experiment / "config.toml"
    config.write_text(config.read_text().replace("max_iters = 20", "max_iters = 100000"))
    words = [str(TP), "loop", "tiny", "--run-id", "elsewhere"]
    with subprocess.Popen(
        words, cwd=project.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as child:
        try:

            async def steps(console: Console, pilot: Pilot[Any]) -> None:
                rows = view(console).table_state
                await until(pilot, lambda: "elsewhere" in rows.runs)
                await until(pilot, lambda: rows.runs["elsewhere"].state == "running")
                await until(pilot, lambda: (rows.runs["elsewhere"].summary.step or 0) > 0)
                first = rows.runs["elsewhere"].summary.step or 0
                await until(pilot, lambda: (rows.runs["elsewhere"].summary.step or 0) > first)
                await go_to(console, pilot, "elsewhere")
                await until(pilot, lambda: f"by process {child.pid}" in shown(console))
                child.send_signal(signal.SIGTERM)
                await until(pilot, lambda: rows.runs["elsewhere"].state == "stopped")

            with_console(project, steps)
        finally:
            child.kill()
