"""Ctrl-C and SIGTERM ask training to save and end; a second one ends it at once."""

import contextlib
import signal
import types
from collections.abc import Iterator

from transformer_playground.training.control import TrainingControl


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
    """Within the block SIGINT and SIGTERM stop training through `control`."""
    request = StopRequest()

    def handle(number: int, _frame: types.FrameType | None) -> None:
        if request.signal is not None:
            raise KeyboardInterrupt
        request.signal = signal.Signals(number)
        control.stop()

    previous = {each: signal.signal(each, handle) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for each, handler in previous.items():
            signal.signal(each, handler)
