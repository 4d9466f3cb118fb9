"""A line to type into that holds no control character, whatever is pasted."""

from textual import events
from textual.widgets import Input

from transformer_playground.terminal import visible_line


class LineInput(Input):
    """An `Input` in which control characters stand as symbols: a line break as ␊."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave the key to others while there is nothing to cut."""
        if action == "cut":
            return not self.selection.is_empty
        return super().check_action(action, parameters)

    def replace(self, text: str, start: int, end: int) -> None:
        """Put text in the place of a part; every way to add text leads here."""
        super().replace(visible_line(text), start, end)

    async def on_paste(self, event: events.Paste) -> None:
        """Take in every line, not the first one only."""
        event.prevent_default()
        event.stop()
        self.replace(event.text, *sorted(self.selection))
