"""Ctrl-C, SIGTERM and a closed terminal ask training to save and end; a second ends it at once."""

import contextlib
import signal
import sys
import types
from collections.abc import Iterator

from transformer_playground.training.control import TrainingControl

# Not every platform has the signal of a closed terminal.
_STOPPING = tuple(
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class StopRequest:
    """Which signal, if any, asked for the end."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @property
    def exit_code(self) -> int:
        """The shell's convention: 128 plus the signal's number; 0 without one."""
        return 0 if self.signal is None else 128 + self.signal


@contextlib.contextmanager
def stop_on_signals(control: TrainingControl) -> Iterator[StopRequest]:
    """Within the block SIGINT, SIGTERM and SIGHUP stop training through `control`."""
    request = StopRequest()

    def handle(number: int, _frame: types.FrameType | None) -> None:
        if request.signal is not None:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            sys.exit(128 + number)
        request.signal = signal.Signals(number)
        control.stop()

    previous = {each: signal.signal(each, handle) for each in _STOPPING}
    try:
        yield request
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
