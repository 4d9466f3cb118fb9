"""The command palette: keys, experiments, runs and themes by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.types import IgnoreReturnCallbackType

from transformer_playground.terminal import visible_line
from transformer_playground.training.launch import Launch
from transformer_playground.tui.bindings import KEYS
from transformer_playground.tui.core.context import AppContext, context_of
from transformer_playground.tui.launch.actions import edit_launch
from transformer_playground.tui.shared.view import View

# Keys that only move the cursor or open the palette itself.
_MOVES = {"up", "down", "left", "right", "page_up", "page_down", "first", "last", "palette"}


@dataclass(frozen=True)
class Command:
    """One entry of the palette.

    Attributes:
        text: Name; may hold untrusted text.
        help: One sentence, never untrusted text: the palette parses it as markup.
        in_overview: Whether it is listed before anything is typed.
    """

    text: str
    help: str
    run: IgnoreReturnCallbackType
    in_overview: bool = False


class ConsoleCommands(Provider):
    """Keys of the current view, experiments, runs and themes."""

    async def discover(self) -> Hits:
        for command in self._commands():
            if command.in_overview:
                text = visible_line(command.text)
                yield DiscoveryHit(Content(text), command.run, text, command.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in self._commands():
            text = visible_line(command.text)
            score = matcher.match(text)
            if score > 0:
                yield Hit(score, Content(text), command.run, text, command.help)

    def _commands(self) -> Iterator[Command]:
        yield from self._of_keys()
        context = context_of(self.screen)
        for experiment in context.snapshot.experiments:
            edit = partial(edit_launch, context, Launch(experiment.name))
            yield Command(f"train {experiment.name}", "Set up a new run of this experiment.", edit)
        for run_id in context.snapshot.runs:
            show = partial(self._show_run, context, run_id)
            yield Command(f"open {run_id}", "Show this run in the Live view.", show)
        for name in self.app.available_themes:
            use = partial(setattr, self.app, "theme", name)
            yield Command(f"theme {name}", "Use this theme from now on.", use, in_overview=True)
        save = partial(self.app.deliver_screenshot)
        yield Command("screenshot", "Save a screenshot as SVG.", save, in_overview=True)

    def _show_run(self, context: AppContext, run_id: str) -> None:
        context.publish_workspace(current=run_id)
        context.workspace.opened = run_id
        self.app.switch_mode("live")

    def _of_keys(self) -> Iterator[Command]:
        here = self.screen.NAME if isinstance(self.screen, View) else None
        for key in KEYS:
            if key.place in {"everywhere", here} and key.name not in _MOVES:
                run = partial(self.app.run_action, key.action, self.screen)
                yield Command(f"{key.label}: {key.help.rstrip('.')}", "", run, in_overview=True)
