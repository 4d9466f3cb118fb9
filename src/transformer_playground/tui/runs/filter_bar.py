"""The filter of the runs table: a line to type into, and what is wrong with it."""

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input, Static

from transformer_playground.terminal import visible
from transformer_playground.tui.shared.line_input import LineInput


class FilterBar(Vertical):
    """Shown while there is a filter or one is being written."""

    class Changed(Message):
        """The filter is another one."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The user is done with it."""

    def compose(self) -> ComposeResult:
        """The line above its problem."""
        yield LineInput(
            placeholder="filter: words, status:running, val_loss<1.9, model.norm=rmsnorm, -tag:old",
            id="filter-text",
        )
        yield Static("", id="filter-problem", classes="error", markup=False)

    def on_mount(self) -> None:
        """Stay away until asked for."""
        self.display = False

    def open(self) -> None:
        """Show the line and let the user write."""
        self.display = True
        self._input.focus()

    def clear(self) -> None:
        """Take the filter away."""
        self._input.value = ""
        self.display = False

    @property
    def text(self) -> str:
        """The filter."""
        return self._input.value

    def show_problem(self, problem: str) -> None:
        """Say what is wrong with it; nothing if it is right."""
        line = self.query_one("#filter-problem", Static)
        line.update(visible(problem))
        line.display = bool(problem)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        event.stop()
        self.post_message(self.Changed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Back to the table; the filter stays."""
        event.stop()
        self.display = bool(self.text)
        self.post_message(self.Left())

    def on_key(self, event: events.Key) -> None:
        """Escape takes the filter away; down goes into the table."""
        if event.key == "escape":
            event.stop()
            self.clear()
            self.post_message(self.Left())
        elif event.key == "down":
            event.stop()
            self.post_message(self.Left())

    @property
    def _input(self) -> LineInput:
        return self.query_one("#filter-text", LineInput)
