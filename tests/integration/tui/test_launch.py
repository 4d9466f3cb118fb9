"""Launching from the console, by keyboard alone, with tiny real runs."""

from pathlib import Path
from typing import Any

import pytest
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import Static, TextArea

from builders.commands import CONFIG, Project, make_project, make_trained_project
from builders.tui import shown, until, with_console
from transformer_playground.runs.folder import read_run_config
from transformer_playground.training.launch import Launch, resolve_launch
from transformer_playground.training.lr_range import RangeTest
from transformer_playground.tui.app import Console
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.launch import rate_screen
from transformer_playground.tui.launch.actions import edit_launch
from transformer_playground.tui.launch.edit_config import EditConfigScreen
from transformer_playground.tui.launch.overrides_input import OverridesInput
from transformer_playground.tui.launch.rate_screen import RateScreen
from transformer_playground.tui.launch.rate_test import RateTest
from transformer_playground.tui.launch.service import Preview
from transformer_playground.tui.launch.settings_table import SettingsPane, SettingsTable
from transformer_playground.tui.launch.variants import Plan
from transformer_playground.tui.launch.view import LaunchScreen
from transformer_playground.tui.live.view import LiveView

NAMES = {
    "=": "equals_sign",
    ".": "full_stop",
    "_": "underscore",
    "-": "minus",
    " ": "space",
    '"': "quotation_mark",
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))
    return make_project(tmp_path / "project")


async def write(pilot: Pilot[Any], text: str) -> None:
    await pilot.press(*(NAMES.get(char, char) for char in text))


async def paste(console: Console, pilot: Pilot[Any], text: str) -> None:
    assert console.focused is not None
    console.focused.post_message(Paste(text))
    await pilot.pause()


async def open_form(console: Console, pilot: Pilot[Any]) -> LaunchScreen:
    await pilot.press("n")
    await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
    await until(pilot, lambda: "tokens each" in shown(console))
    assert isinstance(console.screen, LaunchScreen)
    return console.screen


def all_ended(console: Console) -> bool:
    return bool(console.context.training.jobs) and all(
        job.has_ended for job in console.context.training.jobs
    )


def prepare_tiny(project: Project) -> None:
    launch = Launch("tiny")
    resolve_launch(project.root / "experiments", project.root / "runs", launch).prepare(
        lambda _: None
    )


def settings_of(project: Project) -> dict[str, Any]:
    (run,) = project.runs
    settings: dict[str, Any] = read_run_config(run)["config"]
    return settings


def test_three_keys_lead_from_nothing_to_a_trained_run(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot)
        await until(pilot, lambda: "· not prepared: training prepares it" in shown(console))
        assert "20 steps · 4 × 16 = 64 tokens each" in shown(console)
        await pilot.press("enter")
        await until(pilot, lambda: console.current_mode == "live")
        assert console.context.workspace.current == console.context.training.jobs[0].run_id
        await until(pilot, lambda: all_ended(console))
        assert console.context.training.jobs[0].state == "finished"
        await until(
            pilot, lambda: console.context.training.jobs[0].run_id in console.context.snapshot.runs
        )
        assert console.context.workspace.current == console.context.training.jobs[0].run_id

    with_console(project, steps)
    (run,) = project.runs
    assert run.run_id.startswith("tiny-")


def test_an_override_is_typed_with_completion_and_trained(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot)
        await write(pilot, "positional")
        await until(pilot, lambda: "model.positional_encoding=" in shown(console))
        await pilot.press("tab")
        assert console.screen.query_one(OverridesInput).typed == "model.positional_encoding="
        await write(pilot, "ro")
        await pilot.press("enter")
        assert console.screen.query_one(OverridesInput).overrides == [
            "model.positional_encoding=rope"
        ]
        await paste(console, pilot, "train.runtime.max_iters=3")
        await pilot.press("enter", "enter")
        await until(pilot, lambda: all_ended(console))

    with_console(project, steps)
    assert settings_of(project)["model"]["positional_encoding"] == "rope"
    assert settings_of(project)["train"]["runtime"]["max_iters"] == 3


def test_short_keys_several_on_a_line_and_a_second_equals_sign_are_understood(
    project: Project,
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot)
        field = console.screen.query_one(OverridesInput)
        await paste(console, pilot, "norm=rmsnorm max_iters")
        await pilot.press("tab")
        assert field.typed == "norm=rmsnorm train.runtime.max_iters="
        # The completed key has its sign already.
        await write(pilot, "=3 n_layer=1")
        assert field.typed == "norm=rmsnorm train.runtime.max_iters=3 n_layer=1"
        await pilot.press("enter")
        added = ["model.norm=rmsnorm", "train.runtime.max_iters=3", "model.n_layer=1"]
        assert field.overrides == added
        await write(pilot, "max_iters=2")
        await pilot.press("enter")
        assert field.overrides == [added[0], added[2], "train.runtime.max_iters=2"]
        await write(pilot, "nolayer=2")
        await until(pilot, lambda: "unknown key nolayer" in shown(console))

    with_console(project, steps)


def test_the_form_has_its_own_key_bar_and_typing_in_its_list_goes_to_the_field(
    project: Project,
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        form = await open_form(console, pilot)
        await until(pilot, lambda: "^o experiment" in shown(console).splitlines()[-1])
        for words in ("f5 train", "^t edit file", "^s save", "esc close"):
            assert words in shown(console).splitlines()[-1]
        assert "filter" not in shown(console).splitlines()[-1]
        # Up in the empty field goes to the table, where other keys are in the bar.
        await pilot.press("up")
        await until(pilot, lambda: form.query_one(SettingsTable).has_focus)
        await until(pilot, lambda: "space default" in shown(console).splitlines()[-1])
        await write(pilot, "n_layer=1")
        assert form.query_one(OverridesInput).typed == "n_layer=1"
        await pilot.press("enter")
        assert "backspace edits the last one" in shown(console)

    with_console(project, steps)


def test_arrows_choose_among_completions(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot)
        await paste(console, pilot, "model.norm=")
        await pilot.press("down", "down", "enter")
        assert console.screen.query_one(OverridesInput).overrides == ["model.norm=rmsnorm"]
        table = console.screen.query_one(SettingsTable)
        await until(pilot, lambda: table.rows and table.rows[1].key == "model.norm")
        assert (table.rows[1].new, table.rows[1].was) == ("rmsnorm", "layernorm")

    with_console(project, steps)


def test_a_number_that_begins_like_the_present_one_stays_as_typed(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot)
        await paste(console, pilot, "train.runtime.max_iters=2")
        await pilot.press("enter")
        assert console.screen.query_one(OverridesInput).overrides == ["train.runtime.max_iters=2"]
        # A setting that may also be unset offers a word beside its numbers.
        for number in ("40", "4"):
            await paste(console, pilot, f"train.schedule.lr_decay_iters={number}")
            await pilot.press("enter")
        overrides = console.screen.query_one(OverridesInput).overrides
        assert overrides[-1] == "train.schedule.lr_decay_iters=4"

    with_console(project, steps)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("model.n_layer=0", "model.n_layer = 0 must be a whole number, at least 1"),
        ("model.n_layers=2", "unknown key model.n_layers = 2; did you mean model.n_layer?"),
        ("model.n_head=3", "n_embd = 16 is not divisible by n_head = 3"),
        ("model.norm=lms", "must be one of"),
        ("nothing=[", "is not a TOML value"),
    ],
)
def test_what_is_wrong_is_said_while_typing_and_cannot_be_launched(
    project: Project, typed: str, sentence: str
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot)
        await paste(console, pilot, typed)
        await until(pilot, lambda: words(sentence) in words(shown(console)))
        await pilot.press("enter", "f5")
        await pilot.pause()
        assert isinstance(console.screen, LaunchScreen)
        assert console.screen.query_one(OverridesInput).overrides == []
        assert not console.context.training.jobs

    with_console(project, steps, size=(140, 45))


def words(text: str) -> str:
    return " ".join(text.replace("│", " ").split())


def test_overrides_can_be_taken_back(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        fields = (await open_form(console, pilot)).query_one(OverridesInput)
        for text in ("train.runtime.seed=1", "train.runtime.seed=2", "model.bias=true"):
            await paste(console, pilot, text)
            await pilot.press("enter")
            await until(pilot, lambda: not fields.typed)
        assert fields.overrides == ["train.runtime.seed=2", "model.bias=true"]
        await pilot.press("backspace")
        await until(pilot, lambda: fields.typed == "model.bias=true")
        assert fields.overrides == ["train.runtime.seed=2"]
        table = console.screen.query_one(SettingsTable)
        await pilot.press("ctrl+u")
        await until(pilot, lambda: table.rows and table.rows[0].key == "changed")
        await pilot.press("up", "home", "down")
        await until(pilot, lambda: table.current and table.current.is_changed)
        await pilot.press("delete")
        await until(pilot, lambda: fields.overrides == [])

    with_console(project, steps)


def test_a_run_id_is_checked(project: Project) -> None:
    (project.root / "runs" / "taken").mkdir(parents=True)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot)
        await pilot.press("tab")
        await write(pilot, "taken")
        await until(pilot, lambda: "already a run 'taken'" in shown(console))
        await pilot.press("enter")
        assert not console.context.training.jobs
        await write(pilot, " x")
        await until(pilot, lambda: "is not a valid run ID" in shown(console))
        await pilot.press("backspace", "backspace")
        await write(pilot, "-2")
        await until(pilot, lambda: "already" not in shown(console))
        await pilot.press("enter")
        assert console.context.training.jobs[0].run_id == "taken-2"
        console.context.training.close()

    with_console(project, steps)


def test_what_is_wrong_with_a_setting_is_said_until_its_own_check_finds_it_right(
    project: Project,
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        form = await open_form(console, pilot)
        launch = form._launch()
        problem = form.query_one("#launch-problem", Static)
        wrong = "train.max_iters must be positive."
        form._show_plan(launch, (Plan(), "There is already a run 'taken'."))
        # The answer about the ids comes last, though it was asked for first.
        form._show_preview(launch, form._typed, Preview(problem=wrong))
        form._show_plan(launch, (Plan(), ""))
        assert str(problem.content) == wrong
        form._show_preview(launch, form._typed, Preview())
        assert not problem.display

    with_console(project, steps)


def test_escape_closes_the_form_and_trains_nothing(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot)
        await pilot.press("escape")
        assert not isinstance(console.screen, LaunchScreen)
        assert not console.context.training.jobs

    with_console(project, steps)


def test_of_several_experiments_one_is_chosen_first(project: Project) -> None:
    make_project(project.root / "other").experiment.rename(project.root / "experiments" / "zebra")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(console.context.snapshot.experiments) == 2)
        await pilot.pause()
        # Another view may not know of any experiment.
        await pilot.press("2")
        console.context.workspace.experiment = None
        await pilot.press("n")
        await until(pilot, lambda: "type to narrow" in shown(console))
        assert "gpt  · not prepared bottles on a wall" in shown(console)
        await write(pilot, "zeb")
        await pilot.press("enter")
        await until(pilot, lambda: "Train zebra" in shown(console))
        await pilot.press("escape")
        console.context.workspace.experiment = "zebra"
        await pilot.press("n")
        await until(pilot, lambda: "Train zebra" in shown(console))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "type to narrow" in shown(console))
        await pilot.press("up", "enter")
        await until(pilot, lambda: "Train tiny" in shown(console))

    with_console(project, steps)


def test_the_file_is_edited_with_its_comments_and_checked_before_it_is_saved(
    project: Project,
) -> None:
    path = project.experiment / "config.toml"
    path.write_text(CONFIG + "# the last word\n", encoding="utf-8")
    before = path.read_bytes()

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: isinstance(console.screen, EditConfigScreen))
        text = console.screen.query_one(TextArea)
        await pilot.press("pageup", "ctrl+home", "enter", "up")
        await write(pilot, "nonsense")
        await pilot.press("ctrl+s")
        assert "line 1" in shown(console)
        assert "tiny/config.toml" in shown(console)
        assert ".tmp" not in shown(console)
        assert path.read_bytes() == before
        await pilot.press(*["backspace"] * len("nonsense"))
        await pilot.press("number_sign")
        await write(pilot, "first")
        text.text = text.text.replace("max_iters = 20", "max_iters = 7")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
        await until(pilot, lambda: "7 steps" in shown(console))

    with_console(project, steps)
    expected = "#first\n" + before.decode().replace("max_iters = 20", "max_iters = 7")
    assert path.read_text(encoding="utf-8") == expected
    assert [each.name for each in project.experiment.iterdir() if "tmp" in each.name] == []


def test_a_change_made_elsewhere_is_shown_and_not_written_over_unseen(project: Project) -> None:
    path = project.experiment / "config.toml"

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: isinstance(console.screen, EditConfigScreen))
        await pilot.press("number_sign", "enter")
        theirs = CONFIG.replace("max_iters = 20", "max_iters = 99")
        path.write_text(theirs, encoding="utf-8")
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert "changed by another program" in shown(console)
        assert path.read_text(encoding="utf-8") == theirs
        await pilot.press("escape")
        assert "Not saved" in shown(console)
        await pilot.press("ctrl+r")
        assert console.screen.query_one(TextArea).text == theirs
        await pilot.press("escape")
        await until(pilot, lambda: "99 steps" in shown(console))

    with_console(project, steps, size=(100, 40))


def test_overrides_can_be_written_into_the_file(project: Project) -> None:
    path = project.experiment / "config.toml"
    path.write_text(CONFIG.replace("n_layer = 2", "n_layer = 2  # few"), encoding="utf-8")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot)
        await paste(console, pilot, "model.n_layer=3")
        await pilot.press("enter", "ctrl+s")
        fields = console.screen.query_one(OverridesInput)
        assert fields.overrides == []
        await until(pilot, lambda: "3 layers" in shown(console))

    with_console(project, steps)
    assert path.read_text(encoding="utf-8") == CONFIG.replace("n_layer = 2", "n_layer = 3  # few")


def test_a_broken_file_is_told_in_the_form_and_cannot_be_launched(project: Project) -> None:
    (project.experiment / "config.toml").write_text("[model\n\x1b]0;owned\x07", encoding="utf-8")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await pilot.press("n")
        await until(pilot, lambda: "config.toml, line 1" in shown(console))
        assert "\x1b" not in shown(console)
        await pilot.press("enter")
        assert isinstance(console.screen, LaunchScreen)
        assert not console.context.training.jobs

    with_console(project, steps)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (140, 45), (30, 8)])
def test_the_form_fits_every_size_with_everything_in_it(
    project: Project, size: tuple[int, int]
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        edit_launch(console.context, Launch("tiny", ("model.bias=true", "model.qk_norm=true")))
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
        await pilot.pause()
        await until(pilot, lambda: "tokens each" in shown(console))
        await paste(console, pilot, "model.norm=")
        await pilot.resize_terminal(*size)
        await pilot.pause()
        field = console.screen.query_one("#override")
        if size >= (60, 16):
            assert field.region.bottom <= size[1]
            assert "model.norm=" in shown(console)

    with_console(project, steps, size=(80, 24))


def test_without_experiments_one_key_offers_the_bundled_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "tp new" in shown(console))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(console.screen, PickScreen) and console.focused)
        await paste(console, pilot, "phrases")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
        assert (tmp_path / "experiments" / "phrases" / "config.toml").is_file()
        await until(pilot, lambda: [*console.context.snapshot.experiments])

    with_console(Project(tmp_path), steps)


def test_the_form_says_what_a_run_needs_from_an_earlier_one_or_from_timed_steps(
    project: Project,
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot)
        await until(pilot, lambda: "from real, a run with the same steps" in shown(console))
        assert "KiB of disk" in shown(console)
        await write(pilot, "model.n_embd=32")
        await until(pilot, lambda: "by the speed of real, a run with other steps" in shown(console))
        assert "about" in shown(console)
        await pilot.press("f6")
        await until(pilot, lambda: "timing a few steps" in shown(console))
        await until(pilot, lambda: " timed steps" in shown(console), 60)
        # The measured figures are kept while other settings are tried.
        await pilot.press("backspace", "backspace", "6", "4")
        await until(pilot, lambda: "timed steps" not in shown(console))
        await pilot.press("backspace", "backspace", "3", "2")
        await until(pilot, lambda: " timed steps" in shown(console))

    with_console(make_trained_project(project.root / "trained", "real"), steps, size=(120, 40))


def test_a_learning_rate_is_found_and_taken_into_the_form(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = tuple(10 ** (place / 10 - 5) for place in range(41))
    losses = tuple(4 - 2 / (1 + abs(place - 30)) for place in range(41))
    found = RangeTest(rates, losses, True, 1e-3)
    asked: list[Launch] = []

    class Tested(RateTest):
        """Finds at once what a process would."""

        def __init__(self, experiments_dir: Path, runs_dir: Path, launch: Launch) -> None:
            super().__init__(experiments_dir, runs_dir, launch)
            asked.append(launch)

        def run(self, on_note: object = None) -> RangeTest:
            return found

    monkeypatch.setattr(rate_screen, "RateTest", Tested)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        form = await open_form(console, pilot)
        await write(pilot, "model.n_layer=1")
        await pilot.press("f8")
        await until(pilot, lambda: isinstance(console.screen, RateScreen))
        await until(pilot, lambda: "suggested" in shown(console))
        assert "┤" in shown(console)
        await pilot.press("enter")
        await until(pilot, lambda: console.screen is form)
        taken = ["model.n_layer=1", "train.optim.learning_rate=0.001"]
        assert form.query_one(OverridesInput).overrides == taken

    with_console(project, steps, size=(120, 40))
    assert [launch.overrides for launch in asked] == [("model.n_layer=1",)]


def test_without_data_or_runs_the_form_says_why_nothing_is_known(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await open_form(console, pilot)
        await until(pilot, lambda: "known once the data is prepared" in shown(console))
        await pilot.press("f6")
        await until(pilot, lambda: "no steps could be timed" in shown(console), 60)
        assert "dataset" in shown(console)
        prepare_tiny(project)
        await write(pilot, "max_iters=30")
        await until(pilot, lambda: "time unknown: no run on this machine yet" in shown(console))

    with_console(project, steps, size=(120, 40))


def go_to(form: LaunchScreen, key: str) -> list[str]:
    """The keys that move the table's cursor to a setting."""
    table = form.query_one(SettingsTable)
    place, *_ = [place for place, row in enumerate(table.rows) if row.key == key]
    return ["home", *["down"] * place]


def test_a_value_is_changed_in_its_row_and_a_wrong_one_is_refused_there(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        form = await open_form(console, pilot)
        table, pane = form.query_one(SettingsTable), form.query_one(SettingsPane)
        fields = form.query_one(OverridesInput)
        await until(pilot, lambda: len(table.rows) > 5)
        await pilot.press("up", *go_to(form, "model.n_layer"))
        told = form.query_one("#settings-help", Static)
        # The table has less room for it.
        text = "Number of transformer blocks. A whole number, at least 1, at most 1000."
        await until(pilot, lambda: str(told.render()) == text)
        await pilot.press("enter")
        await until(pilot, lambda: pane.is_editing)
        await pilot.press("ctrl+u", "0", "enter")
        await until(pilot, lambda: "at least 1" in shown(console))
        assert pane.is_editing
        await pilot.press("ctrl+u", "3", "enter")
        await until(pilot, lambda: not pane.is_editing)
        assert fields.overrides == ["model.n_layer=3"]
        await until(pilot, lambda: "3 layers" in shown(console))
        # Choices turn in place; space takes the default; escape gives a change up.
        await pilot.press(*go_to(form, "model.norm"), "right")
        await until(pilot, lambda: "model.norm=rmsnorm" in fields.overrides)
        await pilot.press("enter")
        await until(pilot, lambda: pane.is_editing)
        # All choices are offered; the beginning of one stands for it.
        assert "layernorm  default" in shown(console)
        await pilot.press("ctrl+u", "l", "enter")
        await until(pilot, lambda: "model.norm=layernorm" in fields.overrides)
        await pilot.press("enter")
        await until(pilot, lambda: pane.is_editing)
        await pilot.press("x", "escape")
        await until(pilot, lambda: table.has_focus)
        assert isinstance(console.screen, LaunchScreen)
        await pilot.press(*go_to(form, "model.n_layer"), "space")
        await until(pilot, lambda: "model.n_layer=4" in fields.overrides)

    with_console(project, steps, size=(120, 40))


def test_lists_queue_one_run_each_and_leave_out_those_that_exist(project: Project) -> None:
    (project.root / "runs" / "r-1-2").mkdir(parents=True)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        form = await open_form(console, pilot)
        await paste(console, pilot, "train.runtime.seed=1, 2 n_layer=1, 2 max_iters=3")
        await pilot.press("enter", "tab")
        await paste(console, pilot, "r-{seed}")
        await until(pilot, lambda: "4 runs need ids of their own" in shown(console))
        await pilot.press("f5")
        assert not console.context.training.jobs
        await paste(console, pilot, "-{n_layer}")
        await until(pilot, lambda: "1 exists already and is left out" in shown(console))
        assert "3 runs, one after the other" in shown(console)
        await pilot.press("f5")
        await until(pilot, lambda: len(console.context.training.jobs) == 3)
        found = [(job.run_id, job.launch.overrides) for job in console.context.training.jobs]
        assert [run_id for run_id, _ in found] == ["r-1-1", "r-2-1", "r-2-2"]
        assert found[1][1] == (
            "train.runtime.seed=2", "model.n_layer=1", "train.runtime.max_iters=3"
        )  # fmt: skip
        assert form not in console.screen_stack
        console.context.training.close()

    with_console(project, steps, size=(120, 40))


def test_a_run_is_trained_again_with_its_overrides(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.workspace.current == "real")
        path = project.root / "trained" / "runs" / "real" / "config.json"
        path.write_text(path.read_text().replace('"norm": "layernorm"', '"norm": "rmsnorm"'))
        await pilot.press("C")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
        form = console.screen
        assert "model.norm=rmsnorm" in form.query_one(OverridesInput).overrides
        table = form.query_one(SettingsTable)
        assert table.has_focus
        await until(pilot, lambda: "Train again like real" in shown(console))
        await until(pilot, lambda: any(row.key == "model.norm" for row in table.rows))
        row = next(row for row in table.rows if row.key == "model.norm")
        assert (row.new, row.was, row.default) == ("rmsnorm", "rmsnorm", "layernorm")
        # A view of one run means that one, wherever the cursor of the table is.
        await pilot.press("escape", "2")
        await until(pilot, lambda: isinstance(console.screen, LiveView))
        console.context.workspace.current = None
        await pilot.press("C")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))
        await until(pilot, lambda: "Train again like real" in shown(console))

    with_console(make_trained_project(project.root / "trained", "real"), steps, size=(120, 40))
