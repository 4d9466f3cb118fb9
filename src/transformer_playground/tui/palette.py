"""The command palette: keys, experiments, runs and themes by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.types import IgnoreReturnCallbackType

from transformer_playground.terminal import visible_line
from transformer_playground.training.launch import Launch
from transformer_playground.tui.bindings import KEYS
from transformer_playground.tui.shared.view import View

if TYPE_CHECKING:
    from transformer_playground.tui.app import Console

# Keys that say what they do only where they are pressed.
_MOVES = {"up", "down", "left", "right", "page_up", "page_down", "first", "last", "palette"}


@dataclass(frozen=True)
class Command:
    """Something that the palette offers.

    Attributes:
        text: What it is called; may hold untrusted names.
        help: One sentence of ours, never untrusted text: the palette reads it as markup.
        run: Does it.
        at_once: Whether it is offered before anything is typed.
    """

    text: str
    help: str
    run: IgnoreReturnCallbackType
    at_once: bool = False


class ConsoleCommands(Provider):
    """Everything that can be asked for by name where the user is."""

    async def discover(self) -> Hits:
        """What there is before anything is typed."""
        for command in self._commands():
            if command.at_once:
                text = visible_line(command.text)
                yield DiscoveryHit(Content(text), command.run, text, command.help)

    async def search(self, query: str) -> Hits:
        """What fits the words that were typed, the best first."""
        matcher = self.matcher(query)
        for command in self._commands():
            text = visible_line(command.text)
            score = matcher.match(text)
            if score > 0:
                yield Hit(score, Content(text), command.run, text, command.help)

    @property
    def _console(self) -> "Console":
        return cast("Console", self.app)

    def _commands(self) -> Iterator[Command]:
        yield from self._of_keys()
        console = self._console
        for experiment in console.snapshot.experiments:
            ask = partial(console.ask_launch, Launch(experiment.name))
            yield Command(f"train {experiment.name}", "Set up a new run of this experiment.", ask)
        for run_id in console.snapshot.runs:
            yield Command(f"open {run_id}", "Watch this run.", partial(console.open_run, run_id))
        for name in console.available_themes:
            use = partial(console.use_theme, name)
            yield Command(f"theme {name}", "Use these colours from now on.", use, at_once=True)
        picture = partial(console.deliver_screenshot)
        yield Command("picture", "Save a picture of the screen as SVG.", picture, at_once=True)

    def _of_keys(self) -> Iterator[Command]:
        here = self.screen.NAME if isinstance(self.screen, View) else None
        for key in KEYS:
            if key.place in {"everywhere", here} and key.name not in _MOVES:
                run = partial(self.app.run_action, key.action, self.screen)
                yield Command(f"{key.label}: {key.help.rstrip('.')}", "", run, at_once=True)
