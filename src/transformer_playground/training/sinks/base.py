"""The contract of a sink, and the hub that hands every event to all of them."""

from collections.abc import Callable, Iterable
from typing import Protocol

from transformer_playground.errors import PlaygroundError, TrainingError
from transformer_playground.training.events import Event, Warned


class SinkBehind(Exception):  # noqa: N818 - not an error of the run
    """Raised by a sink that could not take in an event but will try again: it stays in use."""


class Sink(Protocol):
    """A consumer of training events, called from the training thread."""

    essential: bool
    """Whether training must stop when this sink fails."""

    def handle(self, event: Event) -> None:
        """Take in one event; must not block on a reader."""

    def sync(self) -> None:
        """Make durable what was taken in so far: a checkpoint is about to be written."""

    def close(self) -> None:
        """No more events will come."""


class SinkHub:
    """Delivers events to sinks; one that fails is reported to the others and dropped.

    One that is only behind is reported and kept.
    """

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._sinks = list(sinks)

    def emit(self, event: Event) -> None:
        """Hand `event` to every sink.

        Raises:
            TrainingError: An essential sink failed.
        """
        self._each(lambda sink: sink.handle(event), event.step)

    def sync(self, step: int) -> None:
        """Have every sink make durable what it took in.

        Raises:
            TrainingError: An essential sink failed.
        """
        self._each(lambda sink: sink.sync(), step)

    def close(self) -> None:
        """Close every sink; a failure to close is reported to those still open."""
        while self._sinks:
            sink = self._sinks.pop()
            try:
                sink.close()
            except Exception as error:  # noqa: BLE001 - the others must be closed too
                self.emit(Warned(step=0, message=f"{type(sink).__name__} did not close: {error}"))

    def _each(self, act: Callable[[Sink], None], step: int) -> None:
        for sink in tuple(self._sinks):
            try:
                act(sink)
            except SinkBehind as delay:
                self.emit(Warned(step=step, message=str(delay)))
            except Exception as error:  # noqa: BLE001 - a broken display must not end training
                self._drop(sink, error, step)

    def _drop(self, sink: Sink, error: Exception, step: int) -> None:
        if sink not in self._sinks:
            return
        self._sinks.remove(sink)
        if sink.essential:
            if isinstance(error, PlaygroundError):
                raise TrainingError(error.message, error.hint) from error
            raise TrainingError(f"the run's records cannot be written: {error}.") from error
        self.emit(
            Warned(step=step, message=f"{type(sink).__name__} failed and was dropped: {error}")
        )
