"""Sink protocol, and the event bus that delivers every event to all sinks."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Protocol

from transformer_playground.errors import PlaygroundError, TrainingError
from transformer_playground.training.events import Event, Warned


class SinkBehind(Exception):  # noqa: N818 - not an error of the run
    """Raised by a sink that could not process an event but will retry."""


class Sink(Protocol):
    """A consumer of training events, called from the training thread.

    Subclasses need only `handle`; the other members have defaults.
    """

    # Type checkers treat a protocol method with only a docstring as abstract, hence the returns.

    essential: bool = False
    """Whether training must stop when this sink fails."""

    @abstractmethod
    def handle(self, event: Event) -> None:
        """Process one event; must not block on a reader."""

    def sync(self) -> None:
        """Flush everything to disk; called before a checkpoint is written."""
        return

    def close(self) -> None:
        """Release resources; called after the last event."""
        return


class EventBus:
    """Delivers events to sinks; a failing sink is reported to the others and dropped.

    A sink that raises `SinkBehind` is reported and kept.
    """

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._sinks = list(sinks)

    def emit(self, event: Event) -> None:
        """Deliver `event` to every sink; TrainingError if an essential one fails."""
        self._for_each(lambda sink: sink.handle(event), event.step)

    def sync(self, step: int) -> None:
        """Sync every sink; TrainingError if an essential one fails."""
        self._for_each(lambda sink: sink.sync(), step)

    def close(self) -> None:
        """Close every sink; a failure is reported to the sinks still open."""
        while self._sinks:
            sink = self._sinks.pop()
            try:
                sink.close()
            except Exception as error:  # noqa: BLE001 - the others must be closed too
                self.emit(Warned(step=0, message=f"{type(sink).__name__} did not close: {error}"))

    def _for_each(self, action: Callable[[Sink], None], step: int) -> None:
        for sink in tuple(self._sinks):
            try:
                action(sink)
            except SinkBehind as delay:
                self.emit(Warned(step=step, message=str(delay)))
            except Exception as error:  # noqa: BLE001 - a failing display must not end training
                self._drop(sink, error, step)

    def _drop(self, sink: Sink, error: Exception, step: int) -> None:
        # Reporting a failure can make further sinks fail, so this one may be gone already.
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
