"""The command palette: keys, experiments, runs and themes by name."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from rich.cells import cell_len
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.types import IgnoreReturnCallbackType

from transformer_playground.terminal import visible_line
from transformer_playground.training.launch import Launch
from transformer_playground.tui.bindings import KEYS, key_hint
from transformer_playground.tui.core.context import AppContext, context_of
from transformer_playground.tui.launch.actions import edit_launch
from transformer_playground.tui.shared.view import View

# Keys that only move the cursor or open the palette itself.
_MOVES = {"up", "down", "left", "right", "page_up", "page_down", "first", "last", "palette"}

_CLOSENESS = 1_000.0
# Cells of the palette beside the text of an entry.
_FRAME_CELLS = 6


@dataclass(frozen=True)
class Command:
    """One entry of the palette.

    Attributes:
        text: Name; may hold untrusted text.
        help: One sentence, never untrusted text: the palette parses it as markup.
        key: The key that does the same, shown at the right.
        in_overview: Whether it is listed before anything is typed.
    """

    text: str
    help: str
    run: IgnoreReturnCallbackType
    in_overview: bool = False
    key: str = ""


def closeness(text: str, query: str) -> int:
    """How exactly a name matches: all of it, a whole word, the start of a word, or not so."""
    text, query = text.casefold(), query.casefold().strip()
    words = text.replace(":", " ").split()
    if text == query:
        return 3
    if query in words or f" {text} ".endswith(f" {query} "):
        return 2
    return int(any(word.startswith(query) for word in words) or text.startswith(query))


class ConsoleCommands(Provider):
    """Keys of the current view, experiments, runs and themes."""

    async def discover(self) -> Hits:
        for command in self._commands():
            if command.in_overview:
                text = visible_line(command.text)
                yield DiscoveryHit(self._line(command), command.run, text, command.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for command in self._commands():
            text = visible_line(command.text)
            score = matcher.match(text)
            if score > 0:
                # The fuzzy score orders only matches of the same closeness.
                score += _CLOSENESS * closeness(text, query)
                yield Hit(score, self._line(command), command.run, text, command.help)

    def _line(self, command: Command) -> Content:
        text, key = visible_line(command.text), visible_line(command.key)
        width = self.app.size.width - _FRAME_CELLS
        gap = max(2, width - cell_len(text) - cell_len(key))
        return Content.assemble(text, " " * gap if key else "", (key, "$accent"))

    def _commands(self) -> Iterator[Command]:
        yield from self._of_keys()
        context = context_of(self.screen)
        for experiment in context.snapshot.experiments:
            edit = partial(edit_launch, context, Launch(experiment.name))
            yield Command(f"train {experiment.name}", "Set up a new run of this experiment.", edit)
        for run_id in context.snapshot.runs:
            show = partial(self._show_run, context, run_id)
            name = context.name_of(run_id)
            text = f"open {run_id}" if name == run_id else f"open {name} · {run_id}"
            yield Command(text, "Show this run in the Live view.", show)
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
                shown = key_hint(key.id, context_of(self.screen).keymap)
                text = f"{key.label}: {key.help.rstrip('.')}"
                yield Command(text, "", run, in_overview=True, key=shown)
