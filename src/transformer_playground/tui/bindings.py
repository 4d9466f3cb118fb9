"""Every key of the console in one table: it drives the bindings, the help and the settings file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

Place = Literal["everywhere", "runs", "live", "sample", "compare", "dialog"]

PLACES: Mapping[Place, str] = {
    "everywhere": "Everywhere",
    "runs": "Runs",
    "live": "Live",
    "sample": "Sample",
    "compare": "Compare",
    "dialog": "Dialogs",
}


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
    Key("everywhere", "help", "question_mark,f1", "app.keys", "keys", "Show every key.", True),
    Key("everywhere", "palette", "ctrl+p", "app.command_palette", "commands", "Find a command."),
    Key("dialog", "close", "escape", "dismiss_dialog", "close", "Close the dialog.", footer=True),
    Key("everywhere", "quit", "q,ctrl+q", "app.leave", "quit", "Quit; training is saved.", True),
)


def bindings_for(place: Place) -> list[BindingType]:
    """What a view puts into its `BINDINGS`."""
    return [
        Binding(key.keys, key.action, key.label, show=key.footer, tooltip=key.help, id=key.id)
        for key in KEYS
        if key.place == place
    ]


def known_ids() -> frozenset[str]:
    """Every id that a settings file may remap."""
    return frozenset(key.id for key in KEYS)


def by_place(places: Mapping[Place, str] = PLACES) -> Iterator[tuple[str, list[Key]]]:
    """The table grouped for reading: title of a place and its keys."""
    for place, title in places.items():
        keys = [key for key in KEYS if key.place == place]
        if keys:
            yield title, keys
