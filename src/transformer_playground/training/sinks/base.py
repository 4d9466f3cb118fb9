"""Sink protocol, and the event bus that delivers every event to all sinks."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from transformer_playground.errors import PlaygroundError, TrainingError
from transformer_playground.training.events import Event, Warned

# A fault that lasts this many failures in a row ends a sink that is not essential.
MOST_FAILURES = 1000


class SinkBehind(Exception):  # noqa: N818 - not an error of the run
    """Raised by a sink that could not process an event but keeps it and will retry."""


@dataclass
class _Fault:
    """Failures in a row of a sink, and the events lost by them.

    Attributes:
        cause: Type of the first event that failed; the sink may ignore events of other types, so
            that only one of this type shows that it works again.
    """

    cause: object
    failures: int = 0
    missed: int = 0


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
    """Delivers events to sinks; a failing sink is reported to the others and tried again.

    A fault of a disk is reported once, and again when it is over if events were lost. A sink is
    dropped after `MOST_FAILURES` in a row, and at once where no later attempt can succeed.
    """

    def __init__(self, sinks: Iterable[Sink]) -> None:
        self._sinks = list(sinks)
        # By identity of the sink.
        self._faults: dict[int, _Fault] = {}

    def emit(self, event: Event) -> None:
        """Deliver `event` to every sink; TrainingError if an essential one fails."""
        self._for_each(lambda sink: sink.handle(event), event.step, type(event))

    def sync(self, step: int) -> None:
        """Sync every sink; TrainingError if an essential one fails."""
        self._for_each(lambda sink: sink.sync(), step, "sync")

    def close(self) -> None:
        """Close every sink; a failure is reported to the sinks still open."""
        while self._sinks:
            sink = self._sinks.pop()
            try:
                sink.close()
            except Exception as error:  # noqa: BLE001 - the others must be closed too
                self.emit(Warned(step=0, message=f"{type(sink).__name__} did not close: {error}"))

    def _for_each(self, action: Callable[[Sink], None], step: int, kind: object) -> None:
        for sink in tuple(self._sinks):
            try:
                action(sink)
            except Exception as error:  # noqa: BLE001 - a failing display must not end training
                self._report(sink, error, step, kind)
            else:
                self._recover(sink, step, kind)

    def _report(self, sink: Sink, error: Exception, step: int, kind: object) -> None:
        # Reporting a failure can make further sinks fail, so this one may be gone already.
        if sink not in self._sinks:
            return
        if sink.essential:
            self._sinks.remove(sink)
            if isinstance(error, PlaygroundError):
                raise TrainingError(error.message, error.hint) from error
            raise TrainingError(f"the run's records cannot be written: {error}.") from error
        name = type(sink).__name__
        fault = self._faults.setdefault(id(sink), _Fault(kind))
        fault.failures += 1
        fault.missed += not isinstance(error, SinkBehind) and kind != "sync"
        if not _may_pass(error) or fault.failures >= MOST_FAILURES:
            self._sinks.remove(sink)
            message = f"{name} failed and was dropped: {error}"
        elif fault.failures == 1:
            message = f"{name} failed and will be tried again: {error}"
        else:
            return
        self.emit(Warned(step=step, message=message))

    def _recover(self, sink: Sink, step: int, kind: object) -> None:
        fault = self._faults.get(id(sink))
        if fault is None or kind != fault.cause:
            return
        del self._faults[id(sink)]
        if fault.missed:
            message = f"{type(sink).__name__} works again; it missed {fault.missed} events."
            self.emit(Warned(step=step, message=message))


def _may_pass(error: Exception) -> bool:
    """Whether a later attempt can succeed: after a full disk it can, after a closed pipe not."""
    kinds = OSError | PlaygroundError | SinkBehind
    return isinstance(error, kinds) and not isinstance(error, BrokenPipeError)
