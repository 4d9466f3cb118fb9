"""Single-line input that shows control characters as symbols."""

from textual import events
from textual.widgets import Input

from transformer_playground.terminal import visible_line


class LineInput(Input):
    """An `Input` that shows control characters as symbols: a line break as ␊."""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Let others handle the cut key while nothing is selected."""
        if action == "cut":
            return not self.selection.is_empty
        return super().check_action(action, parameters)

    def replace(self, text: str, start: int, end: int) -> None:
        """Replace a part of the text; typing and pasting both call this method."""
        super().replace(visible_line(text), start, end)

    async def on_paste(self, event: events.Paste) -> None:
        """Insert every pasted line, not only the first one."""
        event.prevent_default()
        event.stop()
        self.replace(event.text, *sorted(self.selection))
