import random
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.command import CommandPalette
from textual.pilot import Pilot
from textual.widgets import Static

from builders.commands import CONTROL, Project, make_project
from builders.runs import make_run, train_row
from builders.tui import shown, until, with_console
from transformer_playground.tui.app import Console
from transformer_playground.tui.dialogs.help import KeysScreen
from transformer_playground.tui.launch.view import LaunchScreen
from transformer_playground.tui.shared.view import VIEWS

HOSTILE = "\x1b]52;c;cm0=\x07\x9b31m\u202e[/red][bold]\x00"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "config"))
    project = make_project(tmp_path / "project")
    for number in range(3):
        make_run(project.root / "runs", f"tiny-{number}", rows=[train_row(1)])
    return project


def settings_file(project: Project) -> Path:
    folder = project.root.parent / "config"
    folder.mkdir(exist_ok=True)
    return folder / "console.toml"


def notices(console: Console) -> str:
    return "\n".join(f"{each.title} {each.message}" for each in console._notifications)


def test_help_shows_the_keys_of_the_view_first_and_finds_one_by_its_words(project: Project) -> None:
    settings_file(project).write_text('[keys]\nruns.filter = "f"\n')

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.snapshot.runs)
        await pilot.press("2", "question_mark")
        await until(pilot, lambda: isinstance(console.screen, KeysScreen))
        await until(pilot, lambda: "Live" in shown(console))
        assert shown(console).splitlines()[3].strip(" │┃").startswith("Live")
        await pilot.press(*"filter")
        await until(pilot, lambda: "Filter the runs." in shown(console))
        assert "f                Filter the runs." in shown(console)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(console.screen, KeysScreen))

    with_console(project, steps)


def test_the_footer_always_says_where_the_keys_are_listed(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        # In the sample view the prompt has the focus, and takes "?" for a character.
        for view in "124":
            await pilot.press(view)
            await until(pilot, lambda: shown(console).splitlines()[-1].rstrip().endswith("? keys"))

    with_console(project, steps)


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
def test_the_palette_finds_experiments_and_runs(project: Project, size: tuple[int, int]) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(console.context.snapshot.runs) == 3)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(console.screen, CommandPalette))
        await pilot.press(*"open tiny-1")
        await until(pilot, lambda: "open tiny-1" in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: console.current_mode == "live")
        assert console.context.workspace.current == "tiny-1"
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(console.screen, CommandPalette))
        await pilot.press(*"train tiny")
        await until(pilot, lambda: "Set up a new run" in shown(console))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(console.screen, LaunchScreen))

    with_console(project, steps, size)


def test_the_palette_shows_the_key_of_a_command_at_the_right(project: Project) -> None:
    settings_file(project).write_text('[keys]\neverywhere.new = "f13"\n')

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.snapshot.runs)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(console.screen, CommandPalette))
        await pilot.press(*"train: a new")
        await until(pilot, lambda: "train: Train a new run" in shown(console))
        (row,) = [row for row in shown(console).splitlines() if "train: Train a new run" in row]
        assert row.rstrip().endswith("  f13")

    with_console(project, steps)


def test_a_hostile_run_in_the_palette_stays_text(project: Project) -> None:
    hostile = HOSTILE.replace("/", "\u2215").replace("\x00", "")
    (project.root / "runs" / hostile).mkdir()

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: hostile in console.context.snapshot.runs)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(console.screen, CommandPalette))
        await pilot.press(*"open bold")
        await until(pilot, lambda: "[bold]" in shown(console))
        assert CONTROL.search(shown(console)) is None

    with_console(project, steps)


def test_a_theme_is_remembered_and_comments_of_the_file_stay(project: Project) -> None:
    path = settings_file(project)
    path.write_text("# mine\nbell = true\n")

    async def change(console: Console, pilot: Pilot[Any]) -> None:
        assert console.theme == "playground-dark"
        await pilot.press("f2")
        assert console.theme == "playground-light"

    async def look(console: Console, pilot: Pilot[Any]) -> None:
        assert console.theme == "playground-light"
        assert console.context.settings.bell

    with_console(project, change)
    assert path.read_text().startswith("# mine\nbell = true\n")
    with_console(project, look)


@pytest.mark.parametrize(
    "text", ["[[[", "theme = 3", "keys = 1", "bell = 'x'", "\x00", "a = " + "[" * 5000]
)
def test_a_damaged_settings_file_is_told_and_left_alone(project: Project, text: str) -> None:
    path = settings_file(project)
    path.write_text(text)

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "console.toml" in notices(console))
        await pilot.press("f2")

    with_console(project, steps)
    assert path.read_text() == text


def test_what_is_wrong_with_remapped_keys_is_told_in_one_notice(project: Project) -> None:
    settings_file(project).write_text(
        'theme = "plaid"\n[keys]\nruns.filter = "q"\nruns.nothing = "b"\nruns.pin = "\\u001b]"\n'
    )

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: notices(console))
        assert len(console._notifications) == 1
        for words in ("runs.filter", "everywhere.quit", "runs.nothing", "runs.pin", "plaid"):
            assert words in notices(console)
        assert CONTROL.search(notices(console)) is None

    with_console(project, steps)


def test_a_config_folder_that_cannot_be_written_is_no_reason_to_fail(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    occupied = project.root / "occupied"
    occupied.write_text("a file where the folder would be")
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(occupied))

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await pilot.press("f2")
        await until(pilot, lambda: console.context.snapshot.runs)

    with_console(project, steps)


@pytest.mark.parametrize("keys", ["q", "ctrl+q", "ctrl+c"])
def test_each_key_to_quit_quits_when_nothing_trains(project: Project, keys: str) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.snapshot.runs)
        await pilot.press(keys)
        await until(pilot, lambda: console._exit)
        assert console.return_value == 0

    with_console(project, steps)


def _has_lines(console: Console, count: int) -> bool:
    return len(shown(console).split("\n")) == count


def test_any_change_of_size_is_survived_and_a_tiny_one_says_so(project: Project) -> None:
    source = random.Random(1)
    sizes = [(1, 1), (300, 100), (59, 16), (60, 15), (60, 16), (2, 90), (200, 1)]
    sizes += [(source.randint(1, 300), source.randint(1, 100)) for _ in range(20)]

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.snapshot.runs)
        for number, size in enumerate(sizes):
            console.action_view(VIEWS[number % len(VIEWS)][1])
            await pilot.resize_terminal(*size)
        for size in ((59, 16), (60, 15)):
            await pilot.resize_terminal(*size)
            await until(pilot, partial(_has_lines, console, size[1]))
            await until(pilot, lambda: "too small: needs 60 x 16" in shown(console))
            assert shown(console).strip() == "too small: needs 60 x 16"
        await pilot.resize_terminal(60, 16)
        await until(pilot, lambda: shown(console).startswith(" tp "))
        assert not console.screen.query_one("#too-small", Static).display

    with_console(project, steps)


def test_without_colour_states_have_a_glyph_and_a_word(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: "tiny-0" in shown(console))
        assert "· new" in shown(console) or "! interrupted" in shown(console)
        segments = [each for strip in console.screen._compositor.render_strips() for each in strip]
        colours = [each.style.color for each in segments if each.style and each.style.color]
        assert colours
        for red, green, blue in (colour.get_truecolor() for colour in colours):
            assert red == green == blue

    with_console(project, steps)


def test_without_a_shell_ctrl_z_says_so_and_stops_nothing(project: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: console.context.snapshot.runs)
        await pilot.press("ctrl+z")
        await until(pilot, lambda: "There is no shell to return to." in notices(console))

    with_console(project, steps)
