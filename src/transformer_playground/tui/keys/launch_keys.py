"""Keys of what starts, orders, changes and exports runs: forms, sweeps and dialogs."""

from functools import partial

from transformer_playground.tui.keys.key import Key

_launch = partial(Key, "launch")
_rate = partial(Key, "rate")
_settings = partial(Key, "settings")
_export = partial(Key, "export")
_edit = partial(Key, "edit")
_sweep = partial(Key, "sweep")
_configurations = partial(Key, "configurations")
_dialog = partial(Key, "dialog")
_alerts = partial(Key, "alerts")
_queue = partial(Key, "queue")

LAUNCH_KEYS: tuple[Key, ...] = (
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
    _sweep("add", "plus", "add", "Add values, seeds or runs to the sweep.", footer=True),
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
    _alerts("dismiss", "d,delete", "dismiss_alert", "Dismiss the alert.", "dismiss", footer=True),
    _alerts("dismiss_all", "A", "dismiss_all", "Dismiss all alerts.", "all", footer=True),
    _queue("first", "I", "first", "Train this run in front of the others.", "next", footer=True),
    _queue("delete", "d,delete", "remove", "Take the run off the queue.", "remove", footer=True),
    _queue("dismiss_all", "A", "remove_all", "Take all runs off the queue.", "all", footer=True),
    _dialog("close", "escape", "dismiss_dialog", "Close the dialog.", footer=True),
)
