"""Events as JSON lines for another program to read."""

from collections.abc import Callable
from typing import Any

from transformer_playground.training.events import Event
from transformer_playground.training.sinks.rows import event_rows


class JsonStreamSink:
    """Hands every row to a function that prints it."""

    essential = False

    def __init__(self, write: Callable[[Any], object]) -> None:
        self._write = write

    def handle(self, event: Event) -> None:
        """Write the event's rows."""
        for row in event_rows(event):
            self._write(row)

    def sync(self) -> None:
        """Nothing here outlives a crash or needs to."""

    def close(self) -> None:
        """Nothing is held open."""
