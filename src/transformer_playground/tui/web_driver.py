"""Driver of a console in a browser, which ends with the server that started it."""

import contextlib
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.drivers.web_driver import WebDriver

if TYPE_CHECKING:
    from textual.app import App


class ServedDriver(WebDriver):
    """Textual's driver for browsers, which ends the console when its input ends.

    Textual itself keeps the console running without a server.
    """

    def __init__(self, app: "App[Any]", **options: Any) -> None:
        super().__init__(app, **options)
        self._write = partial(self._write_if_possible)

    def run_input_thread(self) -> None:
        """Read input until the console or its server ends."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            # Unlike a hangup, which `nohup` ignores, it is handled before the first input.
            os.kill(os.getpid(), signal.SIGTERM)

    def _write_if_possible(self, data: bytes, /) -> int:
        # Without a server the console still saves a run in training.
        with contextlib.suppress(OSError):
            return os.write(self.fileno, data)
        return len(data)
