"""The sample view as its user meets it: keys alone, any checkpoint, while training goes on."""

import contextlib
import json
import shutil
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Static

from builders.commands import CONTROL, Project, in_process, make_project
from builders.schemas import check
from builders.training import TEXT
from builders.tui import shown, until, with_console
from transformer_playground.cli.main import main
from transformer_playground.training.launch import Launch
from transformer_playground.tui.app import Console
from transformer_playground.tui.dialogs.pick import PickSeveralScreen
from transformer_playground.tui.launch.view import LaunchScreen
from transformer_playground.tui.runs.view import RunsView
from transformer_playground.tui.sample import form_state
from transformer_playground.tui.sample.form import SampleForm
from transformer_playground.tui.sample.panes import SamplePanes
from transformer_playground.tui.sample.token_view import TokenDetail, TokenView
from transformer_playground.tui.sample.view import SampleView
from transformer_playground.tui.shared.line_input import LineInput

HOSTILE = "\x1b]52;c;cm0=\x07\x1b[31m\x9b31m\x7f\u202e[/red][bold]\x08"
OLDER = "ckpt_last_00000015.pt"
NAMES = {" ": "space", ":": "colon", ".": "full_stop", "-": "minus"}


def trained(root: Path, *run_ids: str, text: str = TEXT) -> Project:
    project = make_project(root, text=text)
    with contextlib.chdir(root):
        for run_id in run_ids:
            assert main(["loop", "tiny", "--run-id", run_id]) == 0
    return project


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with the runs `one` and `two`, of which `two` is newer."""
    return trained(tmp_path_factory.mktemp("two") / "project", "one", "two")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to stand in, with settings of its own."""
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))
    here = tmp_path / "here"
    here.mkdir()
    with contextlib.chdir(here):
        yield here


@pytest.fixture
def project(two_runs: Project, tmp_path: Path) -> Project:
    """A copy of the two runs to change."""
    return Project(shutil.copytree(two_runs.root, tmp_path / "project"))


async def open_view(console: Console, pilot: Pilot[Any]) -> None:
    await until(pilot, lambda: console.context.snapshot.runs)
    await pilot.press("3")
    await until(pilot, lambda: isinstance(console.screen, SampleView))
    await until(pilot, lambda: console.screen.query_one(SampleForm).display)
    await until(pilot, lambda: isinstance(console.focused, TokenView))
    await pilot.press("i")
    await until(pilot, lambda: console.screen.query_one(SampleForm).prompt.has_focus)


async def write(pilot: Pilot[Any], text: str) -> None:
    await pilot.press(*(NAMES.get(char, char) for char in text))


async def fill(console: Console, pilot: Pilot[Any], field: str, text: str) -> None:
    console.screen.query_one(f"#{field}").focus()
    await pilot.pause()
    await write(pilot, text)


def word(console: Console) -> str:
    return str(console.screen.query_one("#sample-status", Static).content)


def source(console: Console) -> str:
    return str(console.screen.query_one("#sample-source", Static).content)


async def draw(console: Console, pilot: Pilot[Any]) -> None:
    console.screen.query_one(SampleForm).show_status("about to begin")
    await pilot.press("enter")
    await ended(console, pilot)


async def ended(console: Console, pilot: Pilot[Any]) -> None:
    going = ("about to begin", "▶", "■ stopping")
    await until(pilot, lambda: not word(console).startswith(going))
    await pilot.pause()


def panes(console: Console) -> list[TokenView]:
    return console.screen.query_one(SamplePanes).shown


def texts(console: Console) -> list[str]:
    return [
        "\n".join(view.transcript.texts()) if view.transcript else "" for view in panes(console)
    ]


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
def test_by_keys_alone_one_samples_reads_probabilities_copies_and_exports(
    two_runs: Project, home: Path, size: tuple[int, int]
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await write(pilot, "12 bottles")
        await draw(console, pilot)
        assert texts(console)[0].startswith("12 bottles")
        assert "✓ 40 tokens" in shown(console)
        assert "12 bottles" in shown(console)

        await pilot.press("escape", "h")
        await pilot.pause()
        assert "≥50%" in shown(console)
        await pilot.press("right", "right", "right", "left")
        await pilot.pause()
        detail = str(console.screen.query_one(TokenDetail).content)
        assert detail.startswith("token 2  “")
        assert detail.count("%") == 7
        assert "most likely" in shown(console)

        await pilot.press("y", "x")
        assert console.clipboard == texts(console)[0]
        await until(pilot, lambda: list(home.glob("samples-*.jsonl")))
        await pilot.press("escape", "escape", "1")

    with_console(two_runs, steps, size)

    (path,) = home.glob("samples-*.jsonl")
    (row,) = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    check("sample", row)
    assert row["run_id"] == "two"
    assert row["prompt"] == "12 bottles"
    assert len(row["tokens"]) == 40


def test_fields_say_what_is_wrong_while_typing_and_change_what_is_drawn(two_runs: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await fill(console, pilot, "top_p", "2")
        await pilot.pause()
        assert word(console) == "top-p must be a number, more than 0, at most 1."
        await pilot.press("enter")
        await pilot.pause()
        assert texts(console) == [""]

        await pilot.press("backspace")
        await fill(console, pilot, "max_new_tokens", "5")
        await fill(console, pilot, "num_samples", "3")
        await draw(console, pilot)
        assert word(console).startswith("✓ 15 tokens")
        first = texts(console)
        await draw(console, pilot)
        assert texts(console) == first
        await fill(console, pilot, "seed", "99")
        await draw(console, pilot)
        assert texts(console) != first

    with_console(two_runs, steps)


def test_flags_the_form_and_a_comparison_draw_the_same_tokens(
    two_runs: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {
        "temperature": "1.3",
        "top_k": "9",
        "top_p": "0.9",
        "max_new_tokens": "12",
        "num_samples": "3",
        "seed": "7",
    }
    flags = ["--prompt", "12 b", "--checkpoint", OLDER]
    for name, value in asked.items():
        flags += ["--" + name.replace("num_samples", "n-samples").replace("_", "-"), value]
    sampled = in_process(two_runs, capsys, "sample", "two", *flags, "--json").lines
    generated = in_process(two_runs, capsys, "generate", "--run-id", "two", *flags, "--json").lines
    words = ("compare", "--run-ids", "one,two", "--no-group", *flags, "--json")
    (comparison,) = in_process(two_runs, capsys, *words).lines
    rows: list[dict[str, Any]] = []

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await pilot.press("escape", "w", "down", "enter")
        await until(pilot, lambda: f"{OLDER} · step 15" in shown(console))
        for field, text in {"prompt": "12 b", **asked}.items():
            await fill(console, pilot, field, text)
        await draw(console, pilot)
        rows.extend(console.screen.query_one(SamplePanes).rows())

    with_console(two_runs, steps)

    assert len({tuple(row["tokens"]) for row in sampled}) == 3
    assert generated == sampled == [{"event": "sample", **row} for row in rows]
    assert comparison["sampling"]["runs"][1]["texts"] == [row["text"] for row in sampled]
    check("compare", comparison)
    for row in sampled:
        check("sample", row)


def test_what_a_prompt_loses_at_the_context_is_shown(two_runs: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await write(pilot, "12 bottles 12 bottles")
        await draw(console, pilot)
        assert "only the last 16 are used" in shown(console)

    with_console(two_runs, steps)


@pytest.mark.parametrize("key", ["ctrl+x", "escape"])
def test_sampling_stops_at_once_from_within_the_prompt(two_runs: Project, key: str) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await fill(console, pilot, "max_new_tokens", "100000")
        console.screen.query_one("#prompt").focus()
        await pilot.press("1", "enter")
        await until(pilot, lambda: len(texts(console)[0]) > 20)
        await pilot.press(key)
        await ended(console, pilot)
        assert "stopped" in word(console)
        assert 20 < len(texts(console)[0]) < 90_000
        assert console.screen.query_one("#prompt").has_focus

    with_console(two_runs, steps)


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
def test_marked_runs_are_sampled_beside_each_other_or_below_each_other(
    two_runs: Project, size: tuple[int, int]
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        for run_id in ("one", "two"):
            console.context.workspace.toggle_selected(run_id)
        await write(pilot, "7")
        await pilot.press("escape", "b")
        await draw(console, pilot)

        first, second = panes(console)
        assert len(texts(console)[0]) == len(texts(console)[1]) == 41
        assert "one · best" in shown(console)
        assert "two · best" in shown(console)
        is_beside = first.region.y == second.region.y and first.region.x < second.region.x
        is_below = first.region.x == second.region.x and first.region.y < second.region.y
        assert (is_beside, is_below) == (size[0] >= 100, size[0] < 100)
        assert not first.region.overlaps(second.region)

        await pilot.press("b")
        await pilot.pause()
        assert len(panes(console)) == 1

    with_console(two_runs, steps, size)


def test_several_checkpoints_of_one_run_are_marked_with_space(two_runs: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await pilot.press("escape", "w")
        await until(
            pilot, lambda: isinstance(console.screen, PickSeveralScreen) and console.focused
        )
        rows = [" ".join(row.split()) for row in shown(console).splitlines()]
        # One row for each file, however many names it has.
        assert sum("step 20 best, last val loss" in row for row in rows) == 1
        assert sum("step 15 ckpt_last_00000015.pt" in row for row in rows) == 1
        await pilot.press("space", "space", "enter")
        await draw(console, pilot)
        assert "two · best" in shown(console)
        assert f"two · {OLDER}" in shown(console)
        first, second = texts(console)
        assert first
        assert second
        await pilot.press("b")
        await until(pilot, lambda: len(panes(console)) == 1)

    with_console(two_runs, steps, (140, 45))


def test_two_names_of_one_checkpoint_are_not_sampled_twice(two_runs: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await pilot.press("escape", "b")
        await until(pilot, lambda: "Best and last of this run are one checkpoint" in "".join(
            each.message for each in console._notifications))  # fmt: skip
        assert len(panes(console)) == 1

    with_console(two_runs, steps, (140, 45))


def test_best_and_last_are_sampled_beside_each_other_while_they_differ(project: Project) -> None:
    folder = project.run_named("two").checkpoints
    for name in ("last", "ckpt_last_00000020"):
        shutil.copy(folder / "ckpt_last_00000015.json", folder / "new.json")
        (folder / "new.json").replace(folder / f"{name}.json")
        shutil.copy(folder / "ckpt_last_00000015.pt", folder / "new.pt")
        (folder / "new.pt").replace(folder / f"{name}.pt")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await pilot.press("escape", "b")
        await draw(console, pilot)
        assert "two · best" in shown(console)
        assert "two · last" in shown(console)
        assert all(texts(console))

    with_console(project, steps, (140, 45))


def test_texts_of_other_checkpoints_than_the_form_names_are_titled_as_older(
    two_runs: Project,
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await draw(console, pilot)
        assert "older sample" not in shown(console)
        await pilot.press("escape", "1")
        await until(pilot, lambda: isinstance(console.screen, RunsView))
        await pilot.press("g", "j")
        await until(pilot, lambda: console.context.workspace.current == "one")
        await pilot.press("3")
        await until(pilot, lambda: "older sample" in shown(console))
        assert "two · best" in shown(console)
        await draw(console, pilot)
        assert "older sample" not in shown(console)
        assert "one · best" in shown(console)

    with_console(two_runs, steps)


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
def test_the_text_has_the_focus_whenever_the_view_opens_and_digits_change_the_view(
    two_runs: Project, size: tuple[int, int]
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        assert console.screen.query_one(SampleForm).prompt.has_focus
        # A click on another view leaves the prompt focused.
        await console.run_action("view('runs')")
        for _ in range(2):
            await pilot.press("3")
            await until(pilot, lambda: isinstance(console.focused, TokenView))
            await pilot.press("2")
            await until(pilot, lambda: console.current_mode == "live")
        await pilot.press("3")
        assert console.screen.query_one(SampleForm).prompt.value == ""

    with_console(two_runs, steps, size)


def test_a_sample_keeps_what_it_was_drawn_from_when_a_newer_checkpoint_appears(
    project: Project,
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await fill(console, pilot, "seed", "5")
        await fill(console, pilot, "temperature", "0.5")
        await draw(console, pilot)
        (pane,) = panes(console)
        before = str(pane.border_subtitle)
        assert before.startswith("step 20 · val loss ")
        assert " · temp. 0.5 · seed 5" in before
        text = texts(console)

        await fill(console, pilot, "seed", "6")
        overrides = ("train.runtime.max_iters=40",)
        job = console.context.training.submit(Launch("tiny", overrides, resume="two"))
        await until(pilot, lambda: job.has_ended)
        await until(pilot, lambda: "step 40" in source(console))
        assert texts(console) == text
        assert str(pane.border_subtitle) == before

    with_console(project, steps, (140, 45))


def test_run_and_checkpoint_are_picked_from_lists_that_typing_narrows(two_runs: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await pilot.press("escape", "f", "o", "n", "enter")
        await until(pilot, lambda: "one" in shown(console).splitlines()[2])
        assert console.context.workspace.current == "one"
        await pilot.press("w", "down", "enter")
        await until(pilot, lambda: f"{OLDER} · step 15" in shown(console))
        await draw(console, pilot)
        assert f"one · {OLDER}" in shown(console)
        assert texts(console)[0]

    with_console(two_runs, steps)


def test_prompts_of_the_past_come_back_even_after_a_restart(
    two_runs: Project, tmp_path: Path
) -> None:
    async def first(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await write(pilot, "12")
        await pilot.press("ctrl+j")
        await draw(console, pilot)
        assert texts(console)[0].startswith("12\n")

    async def second(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await pilot.press("5", "up")
        assert console.screen.query_one(SampleForm).prompt.value == "12␊"
        await pilot.press("down")
        assert console.screen.query_one(SampleForm).prompt.value == "5"

    with_console(two_runs, first)
    saved = tomllib.loads((tmp_path / "settings/console.toml").read_text(encoding="utf-8"))
    assert saved["layout"]["sample"]["history"] == ["12␊"]
    with_console(two_runs, second)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (100, 30)])
def test_every_field_of_the_form_is_whole(two_runs: Project, size: tuple[int, int]) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await pilot.press("escape")
        form = console.screen.query_one(SampleForm)
        inner = form.content_region
        for field in form_state.FORM_FIELDS:
            widget = form.query_one(f"#{field.name}")
            assert widget.region.right <= inner.right, field
            label = form.query_one(f"#{field.name}-label", Static)
            assert label.region.width == len(str(label.content)), field
        assert form.query_one("#weights").region.right <= inner.right
        assert "weights float32" in shown(console)
        assert ("samples 1" in shown(console)) == (size[0] >= 80)

    with_console(two_runs, steps, size)


def test_samples_are_drawn_with_weights_of_the_type_in_the_form(two_runs: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        form = console.screen.query_one(SampleForm)
        weights = form.query_one("#weights", LineInput)
        weights.value = "int4"
        await pilot.pause()
        assert "weights must be auto, float32, bfloat16, float16 or int8." in shown(console)
        weights.value = "int8"
        await draw(console, pilot)
        assert texts(console)[0]
        assert form.request().quantization == "int8"

    with_console(two_runs, steps)


def test_sampled_line_breaks_are_seen_and_the_form_alone_counts_the_tokens_of_one_pane(
    two_runs: Project,
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await draw(console, pilot)
        first, *others = texts(console)[0].splitlines()
        assert others
        assert f"{first}⏎" in shown(console)
        assert shown(console).count("✓ 40 tokens") == 1

    with_console(two_runs, steps)


def test_without_a_prompt_a_text_begins_as_documents_begin(two_runs: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await write(pilot, "99")
        await pilot.press("escape", "U")
        await draw(console, pilot)
        assert texts(console)[0]
        assert not texts(console)[0].startswith("99")

    with_console(two_runs, steps)


def test_the_text_is_followed_only_while_the_reader_is_at_its_end(two_runs: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await fill(console, pilot, "max_new_tokens", "100000")
        await pilot.press("enter")
        (view,) = panes(console)
        await until(pilot, lambda: view.max_scroll_y > 1)
        assert view.scroll_offset.y > 0
        view.focus()
        await pilot.press("g")
        rows = view.max_scroll_y
        await until(pilot, lambda: view.max_scroll_y > rows + 1)
        assert view.scroll_offset.y == 0
        await pilot.press("G")
        rows = view.max_scroll_y
        await until(pilot, lambda: view.max_scroll_y > rows + 1)
        assert view.scroll_offset.y > rows
        await pilot.press("ctrl+x")
        await ended(console, pilot)

    with_console(two_runs, steps)


def test_a_click_points_at_a_token(two_runs: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await pilot.press("1")
        await draw(console, pilot)
        # Inside the frame; the prompt takes the first cell.
        await pilot.click(panes(console)[0], offset=(4, 1))
        await pilot.pause()
        assert str(console.screen.query_one(TokenDetail).content).startswith("token 2 ")

    with_console(two_runs, steps)


def test_what_goes_wrong_is_a_sentence_in_the_pane_and_the_console_lives_on(
    project: Project,
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await write(pilot, "Z")
        await draw(console, pilot)
        assert "✗" in shown(console), shown(console)
        assert "Z" in shown(console)
        before = console.context.snapshot
        await until(pilot, lambda: console.context.snapshot is not before)
        await pilot.pause(0.2)
        assert "✗" in shown(console)
        await pilot.press("backspace")
        for file in project.run_named("two").checkpoints.glob("*.pt"):
            file.write_bytes(b"torn")
        await draw(console, pilot)
        assert "No usable checkpoint" in shown(console)
        await pilot.press("escape", "f", "o", "n", "enter")
        await until(pilot, lambda: "one" in shown(console).splitlines()[2])
        await draw(console, pilot)
        assert len(texts(console)[0]) > 20

    with_console(project, steps)


def test_a_run_that_vanishes_is_a_sentence_too(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        shutil.rmtree(project.root / "runs")
        await pilot.press("enter")
        await pilot.pause()
        await until(pilot, lambda: "There is no run" in shown(console)
                    or "No run has a checkpoint" in shown(console))  # fmt: skip

    with_console(project, steps)


def test_no_checkpoint_yet_says_which_key_trains_one(tmp_path: Path) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await pilot.press("3")
        await until(pilot, lambda: "No run has a checkpoint yet." in shown(console))
        assert "n trains a new run." in shown(console)
        await pilot.press("enter", "h", "right", "b", "w", "y", "x", "escape", "escape")
        assert isinstance(console.screen, SampleView)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))

    with_console(make_project(tmp_path / "empty"), steps)


def test_hostile_samples_and_prompts_are_shown_as_symbols(tmp_path: Path) -> None:
    project = trained(tmp_path / "hostile", "run", text=(HOSTILE + "1 bottle\n") * 60)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await fill(console, pilot, "temperature", "9")
        await fill(console, pilot, "max_new_tokens", "300")
        prompt = console.screen.query_one(SampleForm).prompt
        prompt.focus()
        console.copy_to_clipboard("\x1b[/red]\n1")
        await pilot.press("ctrl+v")
        assert prompt.value == "␛[/red]␊1"
        await draw(console, pilot)
        assert texts(console)[0].startswith("␛[/red]\n1")
        await pilot.press("escape", "h", *["right"] * 20, "y")
        await pilot.pause()
        for text in (shown(console), console.clipboard):
            assert "␛" in text
            assert CONTROL.search(text) is None

    with_console(project, steps)


def test_sampling_works_while_training_goes_on_and_does_not_stop_it(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        endless = ("train.runtime.max_iters=1000000", "train.runtime.eval_interval=20")
        job = console.context.training.submit(Launch("tiny", endless, "endless"))
        await until(pilot, lambda: job.step > 40)
        console.context.publish_workspace(current="endless")
        await open_view(console, pilot)
        await until(pilot, lambda: "endless" in shown(console).splitlines()[2])
        before = job.step
        await pilot.press("1")
        await draw(console, pilot)
        assert len(texts(console)[0]) == 41, shown(console)
        await until(pilot, lambda: job.step > before + 40)
        assert job.state == "running"
        console.context.training.stop(job)
        await until(pilot, lambda: job.has_ended)

    with_console(project, steps)


def test_quitting_while_sampling_ends_the_worker(two_runs: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await fill(console, pilot, "max_new_tokens", "100000")
        await pilot.press("enter")
        await until(pilot, lambda: len(texts(console)[0]) > 20)

    with_console(two_runs, steps)

    assert not [each for each in threading.enumerate() if "asyncio" in each.name]


def test_any_resize_keeps_the_text(two_runs: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_view(console, pilot)
        await pilot.press("1")
        await draw(console, pilot)
        for size in ((140, 45), (61, 17), (20, 5), (1, 1), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        assert "✓ 40 tokens" in shown(console)
        assert panes(console)[0].transcript.n_rows < 10  # type: ignore[union-attr]

    with_console(two_runs, steps)
