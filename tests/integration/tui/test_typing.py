"""Typing faster than the console handles keys: no key is reordered, lost or a command."""

from pathlib import Path
from typing import Any

import pytest
from textual.events import Key, Paste
from textual.keys import _character_to_key
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from builders.commands import Project, make_trained_project
from builders.tui import shown, until, with_console
from transformer_playground.tui.app import Console
from transformer_playground.tui.dialogs.pick import PickScreen
from transformer_playground.tui.launch.overrides_input import OverridesInput
from transformer_playground.tui.shared.view import View

# Typed characters, keys that edit and a paste, and what they leave in an empty line.
BURST = (
    *("end", "ctrl+u", "9", "9", "ctrl+w", "1", "2", "3", "backspace", "backspace", "4", "5"),
    *("left", "6", "home", "7", "delete", "0", "end", "8", "paste:90", "backspace", "3"),
)
WRITTEN = "70465893"
RUNS = ("one", "two")


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_trained_project(tmp_path_factory.mktemp("typing") / "project", *RUNS)


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFORMER_PLAYGROUND_CONFIG_DIR", str(tmp_path / "settings"))


def send(console: Console, *keys: str) -> None:
    """Put keys into the queue of the console, all at once."""
    for key in keys:
        if key.startswith("paste:"):
            console.post_message(Paste(key.removeprefix("paste:")))
        elif len(key) == 1:
            console.post_message(Key(_character_to_key(key), key))
        else:
            console.post_message(Key(key, None))


def line(console: Console) -> str | None:
    """The text of the field with the focus; in a text of several lines, that of the cursor."""
    match console.focused:
        case Input() as field:
            return field.value
        case TextArea() as area:
            return area.text.split("\n")[area.cursor_location[0]]
    return None


def has_empty_view(console: Console) -> bool:
    """Whether the sample or comparison view still reads the runs."""
    return any(each.display for each in console.screen.query("#sample-empty, #compare-empty"))


# View -> keys that open each of its fields. The last key is part of the burst; the empty one
# stands for a dialog that a thread opens.
FIELDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "1": (
        ("/",),
        ("e",),
        ("t",),
        ("R",),
        ("?",),
        ("c",),
        ("ctrl+p",),
        ("n",),
        ("n", "tab"),
        ("n", "ctrl+t"),
        ("n", "ctrl+o", ""),
        ("B", ""),
    ),
    "3": (("i",), *((("i", *["tab"] * number)) for number in range(1, 7)), ("f",), ("w",)),
    "4": (("space",), ("i",), *((("i", *["tab"] * number)) for number in range(1, 7))),
}


@pytest.mark.parametrize(("view", "fields"), FIELDS.items(), ids=["runs", "sample", "compare"])
def test_a_burst_of_keys_leaves_the_text_that_was_typed(
    two_runs: Project, view: str, fields: tuple[tuple[str, ...], ...]
) -> None:
    async def fill(console: Console, pilot: Pilot[Any], keys: tuple[str, ...]) -> str:
        *before, last = keys
        for key in before:
            await pilot.press(key)
        if not last:
            await until(pilot, lambda: isinstance(console.screen, PickScreen))
        send(console, *filter(None, (last,)), *BURST)
        await until(pilot, lambda: line(console) is not None and WRITTEN in str(line(console)))
        return str(line(console))

    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(console.context.snapshot.runs) == len(RUNS))
        for run_id in RUNS:
            console.context.workspace.toggle_selected(run_id)
        await pilot.press(view)
        await until(pilot, lambda: not has_empty_view(console))
        written = {}
        for keys in fields:
            # Out of a field that has the focus from the start.
            await pilot.press("escape")
            written[keys] = await fill(console, pilot, keys)
            # Twice where text would be lost.
            await pilot.press("escape", "escape", "escape")
            await until(pilot, lambda: isinstance(console.screen, View))
        assert written == dict.fromkeys(fields, WRITTEN)

    with_console(two_runs, steps)


def test_letters_after_the_filter_key_are_no_commands(two_runs: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(console.context.snapshot.runs) == len(RUNS))
        send(console, "/", *"one", "enter", "p")
        await until(pilot, lambda: console.context.workspace.baseline == "one")
        assert console.query_one("#filter-text", Input).value == "one"
        assert console.screen is console.query_one("#filter-text").screen

    with_console(two_runs, steps)


def test_settings_typed_in_one_go_are_added_one_after_the_other(two_runs: Project) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(console.context.snapshot.runs) == len(RUNS))
        first, second = "model.n_layer=1", "train.runtime.seed=7"
        send(console, "n", *first, "enter", *second, "enter", *"left over")
        await until(pilot, lambda: line(console) == "left over")
        assert console.screen.query_one(OverridesInput).overrides == [first, second]

    with_console(two_runs, steps)


def test_text_typed_while_a_dialog_opens_and_closes_reaches_no_other_field(
    two_runs: Project,
) -> None:
    async def steps(console: Console, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: len(console.context.snapshot.runs) == len(RUNS))
        send(console, "e", *"delete", "escape", "t", *"ddd", "backspace", "escape", "/", *"one")
        await until(pilot, lambda: line(console) == "one")
        await until(pilot, lambda: "1 of 2" in shown(console))
        assert set(console.context.snapshot.runs) == set(RUNS)

    with_console(two_runs, steps)
