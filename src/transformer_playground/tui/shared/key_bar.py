"""The keys of the place where the user is, in one line at the bottom."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from textual import events
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget

# Set off at the end of the line, where no other key pushes it out.
_EDGE = "▏"


@dataclass(frozen=True)
class ShownKey:
    """A key in the line.

    Attributes:
        key: Its name in the toolkit.
        face: What is printed on it.
        label: What it does, in a word.
        help: What it does, in a sentence.
        answers: Whether it does anything now.
    """

    key: str
    face: str
    label: str
    help: str
    answers: bool

    def content(self) -> Content:
        """How it looks."""
        shown = Content.assemble(
            (self.face, "bold $footer-key-foreground"),
            (f" {self.label}", "$footer-description-foreground"),
        )
        return shown if self.answers else shown.stylize("dim")

    @property
    def cells(self) -> int:
        """Its width."""
        return self.content().cell_length


class KeyBar(Widget):
    """One line for all keys: a widget for each would cost more than the rest of a view.

    A click on a key presses it; the pointer on it asks for its help.
    """

    ALLOW_SELECT = False
    keys: reactive[tuple[ShownKey, ...]] = reactive(())
    _is_due = False

    def on_mount(self) -> None:
        """Follow the keys that answer."""
        self.screen.bindings_updated_signal.subscribe(self, self._look_soon)

    def render(self) -> Content:
        """Keys from the left as far as there is room, and at the right the one that lists all."""
        left = Content(" ").join(key.content() for key in self._line())
        last = self._last()
        if last is None:
            return left
        end = Content.assemble((_EDGE, "$foreground 20%"), last.content(), " ")
        room = max(0, self.size.width - end.cell_length)
        left = left.truncate(room)
        return Content.assemble(left, " " * (room - left.cell_length), end)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Press the key that was clicked."""
        key = self._key_at(event.x)
        if key is not None:
            self.app.simulate_key(key.key)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Offer the help of the key under the pointer."""
        key = self._key_at(event.x)
        self.tooltip = key.help if key is not None else None

    def _look_soon(self, screen: Screen[Any]) -> None:
        """Several changes at once, as each new focus brings, are one look."""
        if screen is self.screen and self.app.app_focus and not self._is_due:
            self._is_due = True
            self.call_later(self._look)

    def _look(self) -> None:
        self._is_due = False
        active = self.screen.active_bindings
        shown: dict[str, ShownKey] = {}
        for name, (_, binding, answers, tooltip) in active.items():
            is_last = name == self.app.COMMAND_PALETTE_BINDING
            # Keys that do the same are shown once, by the first of them.
            if not (binding.show or is_last) or binding.action in shown:
                continue
            face = self.app.get_key_display(binding)
            shown[binding.action] = ShownKey(name, face, binding.description, tooltip, answers)
        self.keys = tuple(shown.values())

    def _line(self) -> Sequence[ShownKey]:
        return [key for key in self.keys if key.key != self.app.COMMAND_PALETTE_BINDING]

    def _last(self) -> ShownKey | None:
        return next((k for k in self.keys if k.key == self.app.COMMAND_PALETTE_BINDING), None)

    def _key_at(self, x: int) -> ShownKey | None:
        last = self._last()
        if last is not None and x >= self.size.width - last.cells - 1:
            return last
        end = 0
        for key in self._line():
            if end <= x < end + key.cells:
                return key
            end += key.cells + 1
        return None
