"""Table of all key bindings, used by the views, the help screen and the settings file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

from textual.binding import Binding, BindingType
from textual.keys import _character_to_key

Place = Literal[
    "everywhere",
    "runs",
    "filter",
    "live",
    "sample",
    "samples",
    "inside",
    "compare",
    "comparison",
    "scrub",
    "grid",
    "model",
    "sweep",
    "configurations",
    "data",
    "chart",
    "launch",
    "rate",
    "settings",
    "export",
    "edit",
    "dialog",
    "alerts",
    "queue",
]

PLACES: Mapping[Place, str] = {
    "everywhere": "Everywhere",
    "runs": "Runs",
    "filter": "Filter of runs",
    "live": "Live",
    "sample": "Sample",
    "samples": "Sample text",
    "inside": "Inside a text",
    "compare": "Compare",
    "comparison": "Comparison table",
    "scrub": "Training samples",
    "grid": "Grid",
    "model": "Model",
    "sweep": "Sweep",
    "configurations": "Configurations of a sweep",
    "data": "Data",
    "chart": "Charts",
    "launch": "Launch form",
    "rate": "Learning rate",
    "settings": "Settings table",
    "export": "Export form",
    "edit": "Text editor",
    "dialog": "Dialogs",
    "alerts": "List of alerts",
    "queue": "Queue of runs",
}


_VALID_NAME = re.compile(r"[a-zA-Z0-9_+]{1,60}")


@dataclass(frozen=True)
class Key:
    """One key binding.

    Attributes:
        place: View or widget in which it works.
        name: Second part of its id: `filter` in `runs.filter`.
        keys: Keys in Textual's notation, separated by commas.
        action: Method `action_…` of the view, or of the app with the prefix `app.`.
        title: At most two words for the key bar; the name if empty.
        footer: Whether the key bar shows it.
    """

    place: Place
    name: str
    keys: str
    action: str
    help: str
    title: str = ""
    footer: bool = False

    @property
    def id(self) -> str:
        return f"{self.place}.{self.name}"

    @property
    def label(self) -> str:
        return self.title or self.name.replace("_", " ")


_everywhere = partial(Key, "everywhere")
_runs = partial(Key, "runs")
_filter = partial(Key, "filter")
_live = partial(Key, "live")
_chart = partial(Key, "chart")
_sample = partial(Key, "sample")
_samples = partial(Key, "samples")
_inside = partial(Key, "inside")
_launch = partial(Key, "launch")
_rate = partial(Key, "rate")
_settings = partial(Key, "settings")
_export = partial(Key, "export")
_edit = partial(Key, "edit")
_compare = partial(Key, "compare")
_comparison = partial(Key, "comparison")
_scrub = partial(Key, "scrub")
_grid = partial(Key, "grid")
_model = partial(Key, "model")
_sweep = partial(Key, "sweep")
_configurations = partial(Key, "configurations")
_data = partial(Key, "data")
_dialog = partial(Key, "dialog")
_alerts = partial(Key, "alerts")
_queue = partial(Key, "queue")

KEYS: tuple[Key, ...] = (
    _everywhere("runs", "1", "app.view('runs')", "Go to the Runs view."),
    _everywhere("live", "2", "app.view('live')", "Go to the Live view."),
    _everywhere("sample", "3", "app.view('sample')", "Go to the Sample view."),
    _everywhere("compare", "4", "app.view('compare')", "Go to the Compare view."),
    _everywhere("grid", "5", "app.view('grid')", "Go to the Grid view."),
    _everywhere("model", "6", "app.view('model')", "Go to the Model view."),
    _everywhere("data", "7", "app.view('data')", "Go to the Data view."),
    _everywhere("machine", "8", "app.view('machine')", "Go to the Machine view."),
    _everywhere("sweep", "9", "app.view('sweep')", "Go to the Sweep view."),
    _everywhere("new", "n", "app.launch", "Train a new run.", "train", footer=True),
    _everywhere("again", "C", "app.again", "Train again like this run, with changes.", "again"),
    _everywhere("share", "H", "app.share", "Write the selected runs as one HTML file."),
    _everywhere("branch", "B", "app.branch", "Branch: start a new run from a checkpoint."),
    _everywhere("help", "question_mark,f1", "app.keys", "Show all keys.", "keys"),
    _everywhere(
        "palette", "ctrl+p", "app.command_palette", "Open the command palette.", "commands"
    ),
    _everywhere("notices", "N", "app.notices", "Show the last notices."),
    _everywhere(
        "alerts", "exclamation_mark", "app.alerts", "Show the alerts of runs and of the machine."
    ),
    _everywhere("queue", "Q", "app.queue", "Show the runs that wait to be trained."),
    _everywhere("theme", "f2", "app.theme", "Switch between the dark and the light theme."),
    _everywhere("suspend", "ctrl+z", "app.suspend_console", "Suspend; fg in the shell continues."),
    _runs("open", "enter", "open", "Open the run in the Live view.", footer=True),
    _runs("filter", "slash", "filter", "Filter the runs.", footer=True),
    _runs("mark", "space", "mark", "Select or unselect the run.", "select", footer=True),
    _runs("mark_all", "asterisk", "mark_all", "Select all runs that match.", "select all"),
    _runs("unmark", "A", "unmark", "Unselect all runs.", "unselect all"),
    _runs("pin", "p", "pin", "Set or clear the baseline of comparisons.", "baseline", footer=True),
    _runs("sort", "o", "sort", "Sort by the next column.", footer=True),
    _runs("reverse", "O", "reverse", "Reverse the sort order."),
    _runs("tree", "T", "tree", "Show branches below the run that they started from."),
    _runs("columns", "c", "columns", "Choose the columns."),
    _runs("left", "left", "sideways(-1)", "Scroll left; in the details: previous section."),
    _runs("right", "right", "sideways(1)", "Scroll right; in the details: next section."),
    _runs("section", "v", "section", "Show the next section of the details."),
    _runs("pane", "tab", "pane(1)", "Go to the next pane.", "next pane", footer=True),
    _runs("pane_back", "shift+tab", "pane(-1)", "Go to the previous pane.", "previous pane"),
    _runs("maximise", "z", "maximise", "Maximise or restore the focused pane."),
    _runs("up", "up,k", "move(-1)", "Go up one row."),
    _runs("down", "down,j", "move(1)", "Go down one row."),
    _runs("page_up", "pageup", "page(-1)", "Go up one page."),
    _runs("page_down", "pagedown", "page(1)", "Go down one page."),
    _runs("first", "g,home", "end(-1)", "Go to the first row."),
    _runs("last", "G,end", "end(1)", "Go to the last row."),
    _runs("note", "e", "note", "Edit the note of the run."),
    _runs("tags", "t", "tags", "Edit the tags of the run."),
    _runs("rename", "R", "rename", "Rename the run."),
    _runs("delete", "d,delete", "delete", "Delete the selected runs, or this one."),
    _runs("undo", "u", "undo", "Restore the runs that were deleted last."),
    _runs("resume", "r", "resume", "Resume an interrupted run."),
    _runs("pause", "P", "pause", "Pause before the next step, or resume."),
    _runs("stop", "S", "stop", "Save a checkpoint and stop training."),
    _runs("evaluate", "E", "evaluate", "Evaluate before the next step."),
    _runs("sample", "D", "sample", "Draw a sample before the next step."),
    _runs("checkpoint", "K", "checkpoint", "Save a checkpoint before the next step."),
    _runs("inside", "L", "inside", "Look inside the model, with a validation text.", "inside"),
    _runs("copy", "y", "copy", "Copy the id of the run.", "copy id"),
    _runs("export", "x", "export", "Export the table to a file."),
    _runs("export_model", "X", "export_model", "Export the model of the run to other programs."),
    _runs(
        "out", "escape", "out", "Restore the panes, go back to the table, clear the filter.", "back"
    ),
    _filter(
        "save",
        "ctrl+s",
        "save_filter",
        "Save the filter under a name, or delete a saved one.",
        footer=True,
    ),
    _live(
        "quantity",
        "m",
        "quantity",
        "Choose what to plot, from all numbers of the run.",
        footer=True,
    ),
    _live("axis", "a", "axis", "Plot by step, tokens or time.", "x axis", footer=True),
    _live(
        "ngram",
        "F",
        "ngram",
        "Count n-grams of the training text, and draw their loss as a line.",
        "n-grams",
    ),
    _live("pane", "v", "other_pane", "Show the event log, or the samples.", "events", footer=True),
    _live(
        "maximise", "z", "maximise", "Maximise or restore the focused pane.", "large", footer=True
    ),
    _live("earlier", "less_than_sign", "scrub(-1)", "Show samples of the previous step."),
    _live("later", "greater_than_sign", "scrub(1)", "Show samples of the next step."),
    _live("next", "right_square_bracket", "focus_run(1)", "Show the next run.", "next run"),
    _live(
        "previous", "left_square_bracket", "focus_run(-1)", "Show the previous run.", "previous run"
    ),
    _live("pause", "P", "pause", "Pause before the next step, or resume.", footer=True),
    _live("stop", "S", "stop", "Save a checkpoint and stop training.", footer=True),
    _live("evaluate", "E", "evaluate", "Evaluate before the next step.", footer=True),
    _live("sample", "D", "sample", "Draw a sample before the next step.", footer=True),
    _live(
        "checkpoint",
        "K",
        "checkpoint",
        "Save a checkpoint before the next step.",
        "save",
        footer=True,
    ),
    _live("inside", "L", "inside", "Look inside the model, with a validation text."),
    _live("write", "x", "write", "Export the loss chart as an SVG file.", "export"),
    _live("out", "escape", "out", "Restore the maximised pane.", "restore"),
    _chart(
        "crosshair",
        "full_stop",
        "toggle_crosshair",
        "Show values at the crosshair.",
        "values",
        footer=True,
    ),
    _chart("left", "left", "move_crosshair(-1)", "Move the crosshair left.", "previous"),
    _chart("right", "right", "move_crosshair(1)", "Move the crosshair right.", "next"),
    _chart("leave", "escape", "leave_crosshair", "Hide the crosshair.", "hide values"),
    _chart("log", "l", "toggle_log", "Switch the log y axis on or off.", "log axis", footer=True),
    _chart("smooth", "s", "next_smoothing", "Change the smoothing of the curves.", footer=True),
    _chart("zoom_in", "plus,equals_sign", "zoom(1)", "Zoom in.", "zoom", footer=True),
    _chart("zoom_out", "minus", "zoom(-1)", "Zoom out."),
    _chart("taller", "ctrl+up", "zoom_up(1)", "Zoom in on the y axis.", "zoom y"),
    _chart("flatter", "ctrl+down", "zoom_up(-1)", "Zoom out on the y axis.", "unzoom y"),
    _chart("pan_left", "shift+left", "pan(-0.2, 0.0)", "Pan left."),
    _chart("pan_right", "shift+right", "pan(0.2, 0.0)", "Pan right."),
    _chart("pan_up", "shift+up", "pan(0.0, 0.2)", "Pan up."),
    _chart("pan_down", "shift+down", "pan(0.0, -0.2)", "Pan down."),
    _chart(
        "reset",
        "0",
        "show_all",
        "Show all points; again, leave out the first steps.",
        "all",
        footer=True,
    ),
    _sample("draw", "enter", "draw", "Draw samples.", "sample", footer=True),
    _sample("stop", "ctrl+x", "stop", "Stop sampling.", footer=True),
    _sample("out", "escape", "out", "Stop; else leave the field or token.", "back", footer=True),
    _sample("prompt", "i", "write", "Edit the prompt."),
    _sample("newline", "ctrl+j", "newline", "Insert a line break into the prompt.", "line break"),
    _sample("older", "up", "recall(1)", "In the prompt: show an older prompt."),
    _sample("newer", "down", "recall(-1)", "In the prompt: show a newer prompt."),
    _sample("run", "f", "pick_run", "Choose the run to sample from.", footer=True),
    _sample(
        "checkpoint", "w", "pick_checkpoint", "Choose one or several checkpoints.", footer=True
    ),
    _sample(
        "beside", "b", "beside", "Sample selected runs, or best and last.", "several", footer=True
    ),
    _sample("unconditional", "U", "unconditional", "Sample with or without a prompt.", "no prompt"),
    _samples("colours", "h", "colours", "Colour the tokens by probability.", footer=True),
    _samples(
        "verbatim",
        "Y",
        "verbatim",
        "Mark the longest passage that stands in the training text.",
        "copied",
        footer=True,
    ),
    _samples("inside", "L", "inside", "Look inside the model at this token.", footer=True),
    _samples("left", "left", "point(-1)", "Go to the previous token.", "token"),
    _samples("right", "right", "point(1)", "Go to the next token.", "token"),
    _samples("up", "up,k", "step(-1)", "Scroll up."),
    _samples("down", "down,j", "step(1)", "Scroll down."),
    _samples("page_up", "pageup", "page(-1)", "Scroll one page up."),
    _samples("page_down", "pagedown", "page(1)", "Scroll one page down."),
    _samples("first", "g,home", "end(-1)", "Go to the start of the text.", "start"),
    _samples("last", "G,end", "end(1)", "Go to the end and follow new text.", "end"),
    _samples("copy", "y", "copy", "Copy the samples of the pane.", footer=True),
    _samples("export", "x", "export", "Export all samples to a file.", footer=True),
    _inside("left", "left", "token(-1)", "Go to the previous token.", "token"),
    _inside("right", "right", "token(1)", "Go to the next token.", "token"),
    _inside("first", "g,home", "end(-1)", "Go to the start of the text.", "start"),
    _inside("last", "G,end", "end(1)", "Go behind the end: what follows the text.", "end"),
    _inside(
        "next",
        "right_square_bracket",
        "surprise(1)",
        "Go to the next token that surprises.",
        "surprise",
        footer=True,
    ),
    _inside(
        "previous",
        "left_square_bracket",
        "surprise(-1)",
        "Go to the previous token that surprises.",
        "previous surprise",
    ),
    _inside("up", "up,k", "block(-1)", "Choose the block above."),
    _inside("down", "down,j", "block(1)", "Choose the block below."),
    _inside(
        "part",
        "tab",
        "part(1)",
        "Choose the next head, the MLP or the whole block.",
        "head",
        footer=True,
    ),
    _inside(
        "part_back",
        "shift+tab",
        "part(-1)",
        "Choose the previous head, the MLP or the whole block.",
        "previous head",
    ),
    _inside(
        "section", "v", "section", "Show the attention, or the lens.", "attention", footer=True
    ),
    _inside(
        "delete",
        "d,delete",
        "knock_out",
        "Knock out the chosen part, or restore it.",
        "knock out",
        footer=True,
    ),
    _inside("undo", "u", "restore", "Restore all that is knocked out.", "restore", footer=True),
    _inside("mean", "M", "mean", "Replace what is knocked out by its mean, or by zero."),
    _inside(
        "earlier",
        "less_than_sign",
        "scrub(-1)",
        "Go to the checkpoint before.",
        footer=True,
    ),
    _inside(
        "later",
        "greater_than_sign",
        "scrub(1)",
        "Go to the checkpoint after.",
        footer=True,
    ),
    _inside("checkpoint", "w", "pick_checkpoint", "Choose the checkpoint."),
    _inside(
        "beside",
        "b",
        "beside",
        "Put another checkpoint or run beside, or remove it.",
        footer=True,
    ),
    _inside("prompt", "i", "write", "Type a text to look at.", "text", footer=True),
    _inside(
        "goto",
        "number_sign",
        "go_to_window",
        "Go to a window of the validation split by its number.",
        "window",
        footer=True,
    ),
    _inside("page_up", "pageup", "window(-1)", "Go to the validation window before."),
    _inside("page_down", "pagedown", "window(1)", "Go to the next validation window."),
    _inside("export", "x", "export", "Export as JSON, as tp inspect writes it.", footer=True),
    _inside("out", "escape", "out", "Go back.", "back", footer=True),
    _launch("train", "f5,ctrl+enter", "train", "Start training with these settings.", footer=True),
    _launch(
        "measure",
        "f6",
        "measure",
        "Time a few steps, for the time and memory that the run needs.",
        "time steps",
        footer=True,
    ),
    _launch("sweep", "f7", "sweep", "Make a sweep of these settings.", "as sweep", footer=True),
    _launch("rate", "f8", "rate", "Find a learning rate by a range test.", "find rate"),
    _launch("edit", "ctrl+t", "edit", "Edit the configuration file.", "edit file", footer=True),
    _launch("keep", "ctrl+s", "keep", "Save the added settings to the file.", "save", footer=True),
    _launch("other", "ctrl+o", "other", "Choose another experiment.", "experiment", footer=True),
    _launch(
        "differing",
        "f4",
        "differing",
        "Show all settings, or only those that are not the defaults.",
        "all settings",
        footer=True,
    ),
    _rate("take", "enter", "take", "Take the suggestion into the form.", "take", footer=True),
    _settings("edit", "enter", "edit", "Change the value; open or close a group.", footer=True),
    _settings("default", "space", "default", "Take the default.", footer=True),
    _settings(
        "take_back",
        "delete,backspace",
        "take_back",
        "Take the change back.",
        "undo",
        footer=True,
    ),
    _settings("next", "right", "turn(1)", "Take the next choice, or open a group."),
    _settings("previous", "left", "turn(-1)", "Take the previous choice, or close a group."),
    _settings("up", "up", "step(-1)", "Go up one row."),
    _settings("down", "down", "step(1)", "Go down one row."),
    _settings("page_up", "pageup", "page(-1)", "Go up one page."),
    _settings("page_down", "pagedown", "page(1)", "Go down one page."),
    _settings("first", "home", "end(-1)", "Go to the first row."),
    _settings("last", "end", "end(1)", "Go to the last row."),
    _export("start", "enter,f5", "start", "Start the export.", "export", footer=True),
    _export("stop", "ctrl+x", "stop", "Stop the export.", footer=True),
    _export("next", "right,space", "change(1)", "Choose the next value.", footer=True),
    _export("previous", "left", "change(-1)", "Choose the previous value."),
    _export("up", "up", "step(-1)", "Go to the field above."),
    _export("down", "down", "step(1)", "Go to the field below."),
    _edit(
        "newline",
        "ctrl+j",
        "newline",
        "Insert a line break into a note.",
        "line break",
        footer=True,
    ),
    _edit(
        "save", "ctrl+s", "save", "Save the text; a configuration is checked first.", footer=True
    ),
    _edit("reload", "ctrl+r", "reload", "Reload the file and discard changes.", footer=True),
    _compare("pin", "p", "pin", "Set or clear this run as the baseline.", "baseline", footer=True),
    _compare("group", "g", "group", "Average runs that differ only in seed.", "seeds", footer=True),
    _compare(
        "all",
        "v",
        "all_settings",
        "Show all settings, or only differences.",
        "settings",
        footer=True,
    ),
    _compare(
        "test",
        "W",
        "test",
        "Test single runs on every window of the validation split.",
        footer=True,
    ),
    _compare("mark", "space", "mark", "Add or remove a run.", "runs", footer=True),
    _compare("copy", "y", "copy", "Copy the table as Markdown.", footer=True),
    _compare("export", "x", "export", "Export as CSV, JSON, Markdown or SVG.", footer=True),
    _compare("tab", "tab", "tab(1)", "Go to the next field or pane.", "next"),
    _compare("back", "shift+tab", "tab(-1)", "Go to the previous field or pane.", "previous"),
    _compare("axis", "a", "axis", "Plot by step, tokens or time.", "x axis"),
    _compare("earlier", "less_than_sign", "scrub(-1)", "Go to an earlier training step."),
    _compare("later", "greater_than_sign", "scrub(1)", "Go to a later training step."),
    _compare("prompt", "i", "write", "Edit the prompt for all runs."),
    _compare("stop", "ctrl+x", "stop", "Stop sampling or testing.", "stop", footer=True),
    _compare("out", "escape", "out", "Stop sampling; otherwise leave the field.", "back"),
    _comparison("up", "up,k", "step(-1)", "Go up one row."),
    _comparison("down", "down,j", "step(1)", "Go down one row."),
    _comparison("left", "left", "turn(-1)", "Go to the column on the left."),
    _comparison("right", "right", "turn(1)", "Go to the column on the right."),
    _comparison("page_up", "pageup", "page(-1)", "Go up one page."),
    _comparison("page_down", "pagedown", "page(1)", "Go down one page."),
    _comparison("first", "home", "end(-1)", "Go to the first row."),
    _comparison("last", "G,end", "end(1)", "Go to the last row."),
    _scrub("earlier", "left", "scrub(-1)", "Show samples of the previous step."),
    _scrub("later", "right", "scrub(1)", "Show samples of the next step."),
    _scrub("first", "home", "end(-1)", "Show samples of the first step."),
    _scrub("last", "G,end", "end(1)", "Go to the last step and follow new samples."),
    _scrub("up", "up,k", "scroll_text(-1)", "Scroll up."),
    _scrub("down", "down,j", "scroll_text(1)", "Scroll down."),
    _grid(
        "group",
        "g",
        "group",
        "Charts by run, or by quantity of one run.",
        "by quantity",
        footer=True,
    ),
    _grid("open", "enter", "open", "Open the run in the Live view.", footer=True),
    _grid("maximise", "z", "maximise", "Enlarge the chart, or restore it.", "large", footer=True),
    _grid("larger", "plus,equals_sign", "size(-1)", "Larger charts, fewer on a page.", footer=True),
    _grid("smaller", "minus", "size(1)", "Smaller charts, more on a page.", footer=True),
    _grid(
        "quantity",
        "m",
        "quantity",
        "Choose what to plot, from all numbers of the run.",
        footer=True,
    ),
    _grid("crosshair", "full_stop", "crosshair", "Show values at a cursor.", "values", footer=True),
    _grid(
        "reset",
        "0",
        "show_all",
        "Show all points; again, leave out the first steps.",
        "all",
        footer=True,
    ),
    _grid("axis", "a", "axis", "Plot by step, tokens or time.", "x axis", footer=True),
    _grid("log", "l", "log", "Switch the log y axis on or off.", "log axis", footer=True),
    _grid("smooth", "s", "smoothing", "Change the smoothing of the curves."),
    _grid("pin", "p", "pin", "Set or clear the baseline, which is drawn behind.", "baseline"),
    _grid("left", "left", "move(-1, 0)", "Go to the chart on the left; move the cursor."),
    _grid("right", "right", "move(1, 0)", "Go to the chart on the right; move the cursor."),
    _grid("up", "up,k", "move(0, -1)", "Go up one row of charts."),
    _grid("down", "down,j", "move(0, 1)", "Go down one row of charts."),
    _grid("page_up", "pageup", "page(-1)", "Go to the previous page."),
    _grid("page_down", "pagedown", "page(1)", "Go to the next page."),
    _grid("first", "home", "end(-1)", "Go to the first chart."),
    _grid("last", "G,end", "end(1)", "Go to the last chart."),
    _grid("next", "right_square_bracket", "focus_run(1)", "Show the next run.", "next run"),
    _grid(
        "previous", "left_square_bracket", "focus_run(-1)", "Show the previous run.", "previous run"
    ),
    _grid("out", "escape", "out", "Hide the cursor, restore the size, go back to runs.", "back"),
    _model("fold", "enter", "fold", "Fold or unfold the module.", footer=True),
    _model(
        "beside",
        "b",
        "beside",
        "Compare with another run, experiment or checkpoint.",
        "compare",
        footer=True,
    ),
    _model(
        "pane",
        "v",
        "details",
        "Show the module with a histogram of its weights.",
        "details",
        footer=True,
    ),
    _model(
        "measure",
        "f6",
        "measure",
        "Measure weights, gradients and silent neurons of a large model.",
        footer=True,
    ),
    _model("run", "f", "pick_run", "Choose the run or experiment to look at.", footer=True),
    _model("checkpoint", "w", "pick_checkpoint", "Choose the checkpoint.", footer=True),
    _model("earlier", "less_than_sign", "scrub(-1)", "Go to an earlier checkpoint."),
    _model("later", "greater_than_sign", "scrub(1)", "Go to a later checkpoint."),
    _model(
        "quantity", "m", "quantity", "Choose what the curves over checkpoints show.", footer=True
    ),
    _model("export", "x", "export", "Export as Markdown or JSON.", footer=True),
    _model("copy", "y", "copy", "Copy the table as Markdown.", footer=True),
    _model("unfold_all", "plus,equals_sign", "fold_all(False)", "Unfold all modules.", "unfold"),
    _model("fold_all", "minus", "fold_all(True)", "Fold all modules.", "fold all"),
    _model("right", "right", "turn(1)", "Unfold the module; go into it."),
    _model("left", "left", "turn(-1)", "Fold the module; go to the one around it."),
    _model("up", "up,k", "step(-1)", "Go up one row."),
    _model("down", "down,j", "step(1)", "Go down one row."),
    _model("page_up", "pageup", "page(-1)", "Go up one page."),
    _model("page_down", "pagedown", "page(1)", "Go down one page."),
    _model("first", "g,home", "end(-1)", "Go to the first row."),
    _model("last", "G,end", "end(1)", "Go to the last row."),
    _model("next", "right_square_bracket", "focus_run(1)", "Show the next run.", "next run"),
    _model(
        "previous", "left_square_bracket", "focus_run(-1)", "Show the previous run.", "previous run"
    ),
    _model("out", "escape", "out", "Hide the details; end the comparison.", "back"),
    _sweep("open", "enter", "open", "Open the run in the Live view.", footer=True),
    _sweep("filter", "slash", "filter", "Keep the runs that match a filter.", footer=True),
    _sweep("resume", "r", "resume", "Train the runs that are left.", "train rest", footer=True),
    _sweep("stop", "S", "stop", "Stop the sweep, now or after the run in training.", footer=True),
    _sweep(
        "first",
        "I",
        "first",
        "Train this configuration in front of the others.",
        "next",
        footer=True,
    ),
    _sweep(
        "quantity", "m", "quantity", "Choose the settings of the heat map.", "heat map", footer=True
    ),
    _sweep("mark_all", "asterisk", "mark_all", "Select all runs that are shown.", "select all"),
    _sweep("export", "x", "export", "Export as CSV or Markdown.", footer=True),
    _sweep("copy", "y", "copy", "Copy the results as Markdown."),
    _sweep("maximise", "z", "maximise", "Maximise or restore the focused pane.", "large"),
    _sweep("pane", "tab", "pane(1)", "Go to the next pane.", "next pane"),
    _sweep("pane_back", "shift+tab", "pane(-1)", "Go to the previous pane.", "previous pane"),
    _sweep("out", "escape", "out", "Restore the panes, clear the filter.", "back"),
    _configurations("up", "up,k", "step(-1)", "Go up one row."),
    _configurations("down", "down,j", "step(1)", "Go down one row."),
    _configurations("page_up", "pageup", "page(-1)", "Go up one page."),
    _configurations("page_down", "pagedown", "page(1)", "Go down one page."),
    _configurations("first", "home", "end(-1)", "Go to the first row."),
    _configurations("last", "G,end", "end(1)", "Go to the last row."),
    _data("left", "left", "move(-1)", "Show the tokens before these.", "before", footer=True),
    _data("right", "right", "move(1)", "Show the tokens after these.", "after", footer=True),
    _data("first", "home", "end(-1)", "Show the first tokens of the split."),
    _data("last", "end", "end(1)", "Show the last tokens of the split."),
    _data(
        "goto",
        "number_sign",
        "goto",
        "Go to a token, line, window or step by number.",
        "go to",
        footer=True,
    ),
    _data("random", "J", "random", "Jump to a random place.", "random", footer=True),
    _data("search", "slash", "search", "Search for a text.", footer=True),
    _data("match", "f3", "match(1)", "Go to the next match.", "next match", footer=True),
    _data("match_back", "shift+f3", "match(-1)", "Go to the match before.", "previous match"),
    _data("split", "V", "split", "Show the other split: training or validation.", footer=True),
    _data("earlier", "less_than_sign", "step(-1)", "Show the batch of the step before."),
    _data("later", "greater_than_sign", "step(1)", "Show the batch of the next step."),
    _data("sort", "o", "sort", "Sort the vocabulary by the next column.", footer=True),
    _data(
        "evaluate",
        "E",
        "evaluate",
        "Count a large dataset; measure the loss of each token, or each window, with the run.",
        "measure",
        footer=True,
    ),
    _data("inside", "L", "inside", "Look inside the model at this place.", footer=True),
    _data("run", "f", "run", "Choose the run or experiment whose dataset is shown.", footer=True),
    _data("copy", "y", "copy", "Copy the text of the window."),
    _data("tab", "tab", "tab(1)", "Go to the next pane.", "next pane", footer=True),
    _data("back", "shift+tab", "tab(-1)", "Go to the previous pane.", "previous pane"),
    _data("stop", "ctrl+x", "stop", "Stop counting, measuring or searching.", footer=True),
    _data("out", "escape", "out", "Stop; unmark the match; go back to the text.", "back"),
    _alerts("dismiss", "d,delete", "dismiss_alert", "Dismiss the alert.", "dismiss", footer=True),
    _alerts("dismiss_all", "A", "dismiss_all", "Dismiss all alerts.", "all", footer=True),
    _queue("first", "I", "first", "Train this run in front of the others.", "next", footer=True),
    _queue("delete", "d,delete", "remove", "Take the run off the queue.", "remove", footer=True),
    _queue("dismiss_all", "A", "remove_all", "Take all runs off the queue.", "all", footer=True),
    _dialog("close", "escape", "dismiss_dialog", "Close the dialog.", footer=True),
    _everywhere(
        "quit",
        "q,ctrl+q,ctrl+c",
        "app.leave",
        "Quit; a run in training is saved first.",
        footer=True,
    ),
)


def bindings_for(place: Place, only: str | None = None) -> list[BindingType]:
    """Textual bindings of a place, or only the one with this id, for `BINDINGS` of a widget."""
    return [
        Binding(key.keys, key.action, key.label, show=key.footer, tooltip=key.help, id=key.id)
        for key in KEYS
        if key.place == place and only in (None, key.id)
    ]


def check_keymap(wanted: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The valid part of a user's keymap, and one message for each invalid entry.

    An entry is invalid if it names no binding, no key, or a key that another binding has.
    """
    known = {key.id: key for key in KEYS}
    problems = [f"There is no key binding {name}." for name in sorted(wanted.keys() - known.keys())]
    keymap: dict[str, str] = {}
    for name in (name for name in wanted if name in known):
        pressed = split_keys(wanted[name])
        if not pressed or not all(map(_VALID_NAME.fullmatch, pressed)):
            problems.append(f"{name}: '{wanted[name]}' is not a key.")
        else:
            keymap[name] = ",".join(pressed)
    while conflict := _first_conflict(keymap):
        name, other = conflict
        # Without its entry a binding has its default key again, which may be another entry's.
        problems.append(f"{name}: {other} already has the key {keymap.pop(name)}.")
    return keymap, problems


def split_keys(keys: str) -> list[str]:
    """Textual names of keys that are separated by commas; a single character names its key."""
    names = (key.strip() for key in keys.split(","))
    return [_character_to_key(name) if len(name) == 1 else name for name in names if name]


def _first_conflict(keymap: Mapping[str, str]) -> tuple[str, str] | None:
    for name in keymap:
        other = _conflict(name, keymap)
        if other is not None:
            return name, other
    return None


def _conflict(name: str, keymap: Mapping[str, str]) -> str | None:
    changed = next(key for key in KEYS if key.id == name)
    pressed = set(split_keys(keymap[name]))
    # Two bindings conflict in the same place, or if one of them works everywhere.
    for key in KEYS:
        is_active_together = key.place == changed.place or "everywhere" in {
            key.place,
            changed.place,
        }
        if key is changed or not is_active_together:
            continue
        if pressed & set(split_keys(keymap.get(key.id, key.keys))):
            return key.id
    return None


def by_place(first: str | None = None) -> Iterator[tuple[str, list[Key]]]:
    """Title and keys of each place; the place `first` comes first."""
    for place, title in sorted(PLACES.items(), key=lambda item: item[0] != first):
        keys = [key for key in KEYS if key.place == place]
        if keys:
            yield title, keys


_SYMBOLS = {
    "full_stop": ".",
    "asterisk": "*",
    "exclamation_mark": "!",
    "question_mark": "?",
    "number_sign": "#",
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
        keymap: The user's keys as `check_keymap` returns them (`AppContext.keymap`).
    """
    key = next(key for key in KEYS if key.id == binding_id)
    return keys_text(split_keys(keymap.get(binding_id, key.keys))[0])


def keys_text(keys: str) -> str:
    """Keys as hints and documents write them, separated by spaces."""
    return " ".join(
        "+".join(_SYMBOLS.get(part, part) for part in name.split("+")) for name in split_keys(keys)
    )
