"""One key binding of the console, and the places in which keys work."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

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


class Key(NamedTuple):
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
