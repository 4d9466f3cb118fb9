"""Key bar: the keys of the focused view or widget, in one line at the bottom."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from textual import events
from textual.content import Content
from textual.dom import DOMNode
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget

# Separates the help key, which is always visible at the right end.
_EDGE = "▏"


class ShownKey(NamedTuple):
    """One key in the bar.

    Attributes:
        face: How the key is written.
        is_enabled: Whether its action is available now.
    """

    key: str
    face: str
    label: str
    help: str
    is_enabled: bool

    def content(self) -> Content:
        if not self.is_enabled:
            return Content.styled(f"{self.face} {self.label}", "$text-muted")
        return Content.assemble(
            (self.face, "bold $footer-key-foreground"),
            (f" {self.label}", "$footer-description-foreground"),
        )

    @property
    def width(self) -> int:
        return self.content().cell_length


def fitting_keys(keys: Sequence[ShownKey], space: int) -> list[ShownKey]:
    """The keys before the first that has no room in full; all are in the help.

    Args:
        space: Cells for the keys and one between each two.
    """
    ends = accumulate(key.width + 1 for key in keys)
    return [key for key, end in zip(keys, ends, strict=True) if end - 1 <= space]


class KeyBar(Widget):
    """One widget for all keys, because a widget per key would be slower than the rest of a view.

    A click on a key presses it; hovering over it shows its help. While the focus is in a widget
    with a true `HIDES_OTHER_KEYS`, the keys of the view are not shown.
    """

    ALLOW_SELECT = False
    keys: reactive[tuple[ShownKey, ...]] = reactive(())
    _is_scheduled = False

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._schedule_update)

    def render(self) -> Content:
        """As many whole keys as fit from the left, and the help key at the right."""
        left = Content(" ").join(key.content() for key in self._fitting_keys())
        end = self._end()
        return Content.assemble(left, " " * (self._space() - left.cell_length), end)

    def _end(self) -> Content:
        last = self._help_key()
        return Content.assemble((_EDGE, "$line"), last.content(), " ") if last else Content("")

    def _space(self) -> int:
        """Cells for the other keys."""
        return max(0, self.size.width - self._end().cell_length)

    def _fitting_keys(self) -> Sequence[ShownKey]:
        return fitting_keys(self._other_keys(), self._space())

    def on_mouse_down(self, event: events.MouseDown) -> None:
        key = self._key_at(event.x)
        if key is not None:
            self.app.simulate_key(key.key)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        key = self._key_at(event.x)
        self.tooltip = key.help if key is not None else None

    def _schedule_update(self, screen: Screen[Any]) -> None:
        # A change of focus sends several signals; they need one update.
        if screen is self.screen and self.app.app_focus and not self._is_scheduled:
            self._is_scheduled = True
            self.call_later(self._update_keys)

    def _update_keys(self) -> None:
        self._is_scheduled = False
        active = self.screen.active_bindings
        # Dialogs are no views.
        rank_of = getattr(self.screen, "in_key_bar", lambda _: "shown")
        label_of = getattr(self.screen, "key_label", lambda _, label: label)
        shown: dict[str, ShownKey] = {}
        first: list[str] = []
        within = self._only_keys_of()
        for name, (owner, binding, is_enabled, tooltip) in active.items():
            if within and owner not in within:
                continue
            is_last = name == self.app.COMMAND_PALETTE_BINDING
            # Of several keys for one action only the first is shown.
            if not (binding.show or is_last) or binding.action in shown:
                continue
            rank = "shown" if is_last else rank_of(binding.action)
            if rank == "hidden":
                continue
            if rank == "first":
                first.append(binding.action)
            face = self.app.get_key_display(binding)
            label = label_of(binding.action, binding.description)
            shown[binding.action] = ShownKey(name, face, label, tooltip, is_enabled)
        shown = {action: shown[action] for action in [*first, *shown]}
        self.keys = tuple(shown.values())

    def _only_keys_of(self) -> Sequence[DOMNode]:
        """Whose keys are shown while others would be text; empty for all."""
        focused = self.screen.focused
        path = list(focused.ancestors_with_self) if focused is not None else []
        for place, widget in enumerate(path):
            if getattr(widget, "HIDES_OTHER_KEYS", False):
                return [*path[: place + 1], self.app]
        return ()

    def _other_keys(self) -> Sequence[ShownKey]:
        return [key for key in self.keys if key.key != self.app.COMMAND_PALETTE_BINDING]

    def _help_key(self) -> ShownKey | None:
        return next((k for k in self.keys if k.key == self.app.COMMAND_PALETTE_BINDING), None)

    def _key_at(self, x: int) -> ShownKey | None:
        last = self._help_key()
        if last is not None and x >= self.size.width - last.width - 1:
            return last
        end = 0
        for key in self._fitting_keys():
            if end <= x < end + key.width:
                return key
            end += key.width + 1
        return None
