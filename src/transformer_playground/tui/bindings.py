"""Every key of the console in one table: it drives the bindings, the help and the settings file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType
from textual.keys import _character_to_key

Place = Literal[
    "everywhere",
    "runs",
    "live",
    "sample",
    "samples",
    "compare",
    "comparison",
    "scrub",
    "chart",
    "launch",
    "edit",
    "dialog",
]

PLACES: Mapping[Place, str] = {
    "everywhere": "Everywhere",
    "runs": "Runs",
    "live": "Live",
    "sample": "Sample",
    "samples": "Sampled text",
    "compare": "Compare",
    "comparison": "Comparison table",
    "scrub": "Samples of training steps",
    "chart": "Charts",
    "launch": "Launch form",
    "edit": "Settings file",
    "dialog": "Dialogs",
}


_KEY_NAME = re.compile(r"[a-zA-Z0-9_+]{1,60}")


@dataclass(frozen=True)
class Key:
    """One thing a key does.

    Attributes:
        place: The view in which it works.
        name: Together with the place its id in the settings file: `runs.filter`.
        keys: Keys in Textual's notation, separated by commas.
        action: Method `action_…` of the view, or of the app with an `app.` in front.
        label: At most two words, for the footer.
        help: One sentence for the help screen.
        footer: Whether the footer shows it.
    """

    place: Place
    name: str
    keys: str
    action: str
    label: str
    help: str
    footer: bool = False

    @property
    def id(self) -> str:
        """The name that the settings file uses."""
        return f"{self.place}.{self.name}"


KEYS: tuple[Key, ...] = (
    Key("everywhere", "runs", "1", "app.view('runs')", "runs", "Go to the runs."),
    Key("everywhere", "live", "2", "app.view('live')", "live", "Go to the live view."),
    Key("everywhere", "sample", "3", "app.view('sample')", "sample", "Go to the sampling pane."),
    Key("everywhere", "compare", "4", "app.view('compare')", "compare", "Compare marked runs."),
    Key("everywhere", "new", "n", "app.launch", "train", "Train a new run.", footer=True),
    Key("everywhere", "branch", "B", "app.branch", "branch", "Train on from a checkpoint anew."),
    Key("everywhere", "help", "question_mark,f1", "app.keys", "keys", "Show every key."),
    Key("everywhere", "palette", "ctrl+p", "app.command_palette", "commands", "Find a command."),
    Key("everywhere", "theme", "f2", "app.theme", "colours", "Change between dark and light."),
    Key("runs", "open", "enter", "open", "watch", "Watch the chosen runs.", footer=True),
    Key("runs", "filter", "slash", "filter", "filter", "Filter the runs.", footer=True),
    Key("runs", "mark", "space", "mark", "mark", "Mark the run, or take its mark away.", True),
    Key("runs", "unmark", "A", "unmark", "no marks", "Take every mark away."),
    Key("runs", "pin", "p", "pin", "baseline", "Measure others against this run.", footer=True),
    Key("runs", "sort", "o", "sort", "sort", "Sort by the next column.", footer=True),
    Key("runs", "reverse", "O", "reverse", "reverse", "Turn the order round."),
    Key("runs", "columns", "c", "columns", "columns", "Choose the columns."),
    Key("runs", "left", "left,h", "sideways(-1)", "left", "Columns to the left; section before."),
    Key("runs", "right", "right,l", "sideways(1)", "right", "Columns to the right; next section."),
    Key("runs", "section", "v", "section", "section", "Show the next section of the details."),
    Key("runs", "pane", "tab", "pane(1)", "pane", "Go to the next pane.", footer=True),
    Key("runs", "pane_back", "shift+tab", "pane(-1)", "pane before", "Go to the pane before."),
    Key("runs", "up", "up,k", "move(-1)", "up", "Go up."),
    Key("runs", "down", "down,j", "move(1)", "down", "Go down."),
    Key("runs", "page_up", "pageup", "page(-1)", "page up", "Go a page up."),
    Key("runs", "page_down", "pagedown", "page(1)", "page down", "Go a page down."),
    Key("runs", "first", "g,home", "end(-1)", "first", "Go to the first."),
    Key("runs", "last", "G,end", "end(1)", "last", "Go to the last."),
    Key("runs", "note", "e", "note", "note", "Write a note on the run."),
    Key("runs", "tags", "t", "tags", "tags", "Tag the run."),
    Key("runs", "rename", "R", "rename", "rename", "Give the run another name."),
    Key("runs", "delete", "d,delete", "delete", "delete", "Delete marked runs, or this one."),
    Key("runs", "undo", "u", "undo", "undo", "Put back what was deleted last."),
    Key("runs", "resume", "r", "resume", "resume", "Go on with a run that was broken off."),
    Key("runs", "copy", "y", "copy", "copy id", "Copy the run's id."),
    Key("runs", "export", "x", "export", "export", "Write the table to a file."),
    Key("runs", "out", "escape", "out", "out", "Back to the table; then drop the filter."),
    Key(
        "live", "quantity", "m", "quantity", "quantity", "Show loss, learning rate, speed, …", True
    ),
    Key("live", "axis", "x", "axis", "axis", "Draw by step, tokens or time.", footer=True),
    Key("live", "pane", "t", "other_pane", "log", "Show the log, or the samples.", footer=True),
    Key("live", "maximise", "z", "maximise", "large", "Give the focused pane all the room."),
    Key("live", "earlier", "less_than_sign", "scrub(-1)", "earlier", "Samples of a step before."),
    Key("live", "later", "greater_than_sign", "scrub(1)", "later", "Samples of the next step."),
    Key("live", "next", "right_square_bracket", "focus_run(1)", "next run", "The next run's data."),
    Key("live", "previous", "left_square_bracket", "focus_run(-1)", "run", "The run before it."),
    Key("live", "pause", "P", "pause", "pause", "Pause training before its next step, or go on."),
    Key("live", "stop", "S", "stop", "stop", "Save a checkpoint and stop training."),
    Key("live", "evaluate", "E", "evaluate", "evaluate", "Evaluate before the next step."),
    Key("live", "sample", "G", "sample", "sample", "Draw a sample before the next step."),
    Key("live", "checkpoint", "K", "checkpoint", "checkpoint", "Save before the next step."),
    Key("live", "write", "w", "write", "write", "Write the chart of the loss as SVG."),
    Key("live", "out", "escape", "out", "out", "Make the large pane small again."),
    Key("chart", "crosshair", "c", "toggle_crosshair", "values", "Point at a step.", footer=True),
    Key("chart", "left", "left", "move_crosshair(-1)", "previous", "Point at the point before."),
    Key("chart", "right", "right", "move_crosshair(1)", "next", "Point at the next point."),
    Key("chart", "leave", "escape", "leave_crosshair", "no values", "Point at nothing."),
    Key("chart", "log", "l", "toggle_log", "log", "Switch the log axis on or off.", footer=True),
    Key("chart", "smooth", "s", "next_smoothing", "smooth", "Smooth more, or not at all.", True),
    Key("chart", "zoom_in", "plus,equals_sign", "zoom(1)", "zoom", "Zoom in.", footer=True),
    Key("chart", "zoom_out", "minus", "zoom(-1)", "zoom out", "Zoom out."),
    Key("chart", "taller", "ctrl+up", "zoom_up(1)", "taller", "Zoom in from bottom to top."),
    Key("chart", "flatter", "ctrl+down", "zoom_up(-1)", "flatter", "Zoom out from bottom to top."),
    Key("chart", "pan_left", "shift+left", "pan(-0.2, 0.0)", "pan left", "Look further left."),
    Key("chart", "pan_right", "shift+right", "pan(0.2, 0.0)", "pan right", "Look further right."),
    Key("chart", "pan_up", "shift+up", "pan(0.0, 0.2)", "pan up", "Look further up."),
    Key("chart", "pan_down", "shift+down", "pan(0.0, -0.2)", "pan down", "Look further down."),
    Key("chart", "reset", "0", "reset_view", "all", "Show everything, and follow new data."),
    Key("sample", "draw", "enter", "draw", "sample", "Sample.", footer=True),
    Key("sample", "stop", "ctrl+x", "stop", "stop", "Stop sampling at once.", footer=True),
    Key("sample", "out", "escape", "out", "out", "Stop; else leave the field, or the token.", True),
    Key("sample", "prompt", "i", "write", "prompt", "Write the prompt."),
    Key("sample", "newline", "ctrl+j", "newline", "line break", "Put a line break in the prompt."),
    Key("sample", "older", "up", "recall(1)", "older", "In the prompt: an older one."),
    Key("sample", "newer", "down", "recall(-1)", "newer", "In the prompt: a newer one."),
    Key("sample", "run", "r", "pick_run", "run", "Choose the run to sample from.", footer=True),
    Key("sample", "checkpoint", "c", "pick_checkpoint", "checkpoint", "Choose a checkpoint.", True),
    Key("sample", "beside", "b", "beside", "beside", "Sample marked runs, or best and last.", True),
    Key("sample", "unconditional", "u", "unconditional", "no prompt", "Begin without a prompt."),
    Key("samples", "colours", "o", "colours", "colours", "Colour tokens by probability.", True),
    Key("samples", "left", "left,h", "point(-1)", "token", "Point at the token before."),
    Key("samples", "right", "right,l", "point(1)", "token", "Point at the next token."),
    Key("samples", "up", "up,k", "step(-1)", "up", "Scroll up."),
    Key("samples", "down", "down,j", "step(1)", "down", "Scroll down."),
    Key("samples", "page_up", "pageup", "page(-1)", "page up", "Scroll a page up."),
    Key("samples", "page_down", "pagedown", "page(1)", "page down", "Scroll a page down."),
    Key("samples", "first", "g,home", "end(-1)", "start", "Go to the start of the text."),
    Key("samples", "last", "G,end", "end(1)", "end", "Go to the end, and follow it."),
    Key("samples", "copy", "y", "copy", "copy", "Copy the samples of the pane.", footer=True),
    Key("samples", "export", "x", "export", "export", "Write all samples to a file.", footer=True),
    Key("launch", "train", "f5,ctrl+enter", "train", "train", "Train with these settings."),
    Key("launch", "edit", "ctrl+t", "edit", "edit file", "Edit the experiment's file."),
    Key("launch", "keep", "ctrl+s", "keep", "keep", "Write what is set into the file."),
    Key("launch", "other", "ctrl+o", "other", "other", "Choose another experiment."),
    Key("edit", "save", "ctrl+s", "save", "save", "Check the settings and save the file."),
    Key("edit", "reload", "ctrl+r", "reload", "reload", "Take what the file holds now."),
    Key("compare", "pin", "p", "pin", "pin", "Pin the column's run as the baseline.", footer=True),
    Key("compare", "group", "g", "group", "group", "Average runs that differ in their seed.", True),
    Key("compare", "all", "a", "all_settings", "all", "Show every setting, or what differs.", True),
    Key("compare", "mark", "m", "mark", "runs", "Add a run, or leave one out.", footer=True),
    Key("compare", "copy", "y", "copy", "copy", "Copy the table as Markdown.", footer=True),
    Key("compare", "export", "x", "export", "export", "Write CSV, JSON, Markdown or SVG.", True),
    Key("compare", "next", "right_square_bracket", "pane(1)", "next pane", "Go to the next pane."),
    Key("compare", "previous", "left_square_bracket", "pane(-1)", "pane", "Go to the pane before."),
    Key("compare", "tab", "tab", "tab(1)", "next", "Go to the next field, or pane."),
    Key("compare", "back", "shift+tab", "tab(-1)", "back", "Go to the field before, or pane."),
    Key("compare", "axis", "t", "axis", "axis", "Draw curves by step, tokens or time."),
    Key(
        "compare", "earlier", "less_than_sign", "scrub(-1)", "earlier", "An earlier training step."
    ),
    Key("compare", "later", "greater_than_sign", "scrub(1)", "later", "A later training step."),
    Key("compare", "prompt", "i", "write", "prompt", "Write a prompt for all of them."),
    Key("compare", "stop", "ctrl+x", "stop", "stop", "Stop sampling at once.", footer=True),
    Key("compare", "out", "escape", "out", "out", "Stop sampling; else leave the field."),
    Key("comparison", "up", "up,k", "step(-1)", "up", "Go a line up."),
    Key("comparison", "down", "down,j", "step(1)", "down", "Go a line down."),
    Key("comparison", "left", "left,h", "turn(-1)", "left", "Go to the column at the left."),
    Key("comparison", "right", "right,l", "turn(1)", "right", "Go to the column at the right."),
    Key("comparison", "page_up", "pageup", "page(-1)", "page up", "Go a page up."),
    Key("comparison", "page_down", "pagedown", "page(1)", "page down", "Go a page down."),
    Key("comparison", "first", "home", "end(-1)", "start", "Go to the first line."),
    Key("comparison", "last", "G,end", "end(1)", "end", "Go to the last line."),
    Key("scrub", "earlier", "left,h", "scrub(-1)", "earlier", "Samples of a step before."),
    Key("scrub", "later", "right,l", "scrub(1)", "later", "Samples of the next step."),
    Key("scrub", "first", "home", "end(-1)", "first", "Samples of the first step."),
    Key("scrub", "last", "G,end", "end(1)", "last", "Samples of the last step, and new ones."),
    Key("scrub", "up", "up,k", "scroll_text(-1)", "up", "Scroll up."),
    Key("scrub", "down", "down,j", "scroll_text(1)", "down", "Scroll down."),
    Key("dialog", "close", "escape", "dismiss_dialog", "close", "Close the dialog.", footer=True),
    Key(
        "everywhere",
        "quit",
        "q,ctrl+q,ctrl+c",
        "app.leave",
        "quit",
        "Quit; training is saved.",
        True,
    ),
)


def bindings_for(place: Place) -> list[BindingType]:
    """What a view puts into its `BINDINGS`."""
    return [
        Binding(key.keys, key.action, key.label, show=key.footer, tooltip=key.help, id=key.id)
        for key in KEYS
        if key.place == place
    ]


def check_keymap(stated: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The part of a user's keymap that can be used, and what is wrong with the rest.

    Keys that clash, that nobody can press or that belong to no binding are left as they were.
    """
    known = {key.id: key for key in KEYS}
    problems = [f"Nothing is called {name}." for name in sorted(stated.keys() - known.keys())]
    keymap: dict[str, str] = {}
    for name in (name for name in stated if name in known):
        pressed = split_keys(stated[name])
        if not pressed or not all(map(_KEY_NAME.fullmatch, pressed)):
            problems.append(f"{name}: '{stated[name]}' is no key.")
        else:
            keymap[name] = ",".join(pressed)
    for name in list(keymap):
        other = _clash(name, keymap)
        if other is not None:
            problems.append(f"{name}: {other} has the key {keymap.pop(name)} already.")
    return keymap, problems


def split_keys(keys: str) -> list[str]:
    """Keys that are separated by commas; one character stands for itself."""
    names = (key.strip() for key in keys.split(","))
    return [_character_to_key(name) if len(name) == 1 else name for name in names if name]


def _clash(name: str, keymap: Mapping[str, str]) -> str | None:
    mine = next(key for key in KEYS if key.id == name)
    pressed = set(split_keys(keymap[name]))
    # A key of a view and one that works everywhere would both answer, as would two of one place.
    for key in KEYS:
        is_near = key.place == mine.place or "everywhere" in {key.place, mine.place}
        if key is mine or not is_near:
            continue
        if pressed & set(split_keys(keymap.get(key.id, key.keys))):
            return key.id
    return None


def by_place(first: str | None = None) -> Iterator[tuple[str, list[Key]]]:
    """The table grouped for reading: title of a place and its keys, one place before all others."""
    for place, title in sorted(PLACES.items(), key=lambda item: item[0] != first):
        keys = [key for key in KEYS if key.place == place]
        if keys:
            yield title, keys


_SHOWN = {
    "question_mark": "?",
    "slash": "/",
    "plus": "+",
    "equals_sign": "=",
    "minus": "-",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "escape": "esc",
}


def key_hint(binding_id: str, keymap: Mapping[str, str]) -> str:
    """The first key of a binding as a hint shows it, such as "esc" for `runs.out`.

    Args:
        binding_id: An id of the table.
        keymap: The user's keys as `check_keymap` returns them (`Console.keymap`).
    """
    key = next(key for key in KEYS if key.id == binding_id)
    return keys_text(split_keys(keymap.get(binding_id, key.keys))[0])


def keys_text(keys: str) -> str:
    """Keys as people write them."""
    return " ".join(
        "+".join(_SHOWN.get(part, part) for part in name.split("+")) for name in split_keys(keys)
    )
