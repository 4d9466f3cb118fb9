"""Further processes that train the same sweep side by side with this one."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Self

_RUN_TP = "from transformer_playground.cli.main import run; run()"
_POLL_SECONDS = 0.2


class Workers:
    """Processes of a `tp` command: `with Workers(...) as workers: ...`; they end with the block.

    Args:
        command: Arguments after `tp`.
        count: Number of processes.
        threads: CPU threads of each.
    """

    def __init__(self, command: Sequence[str], count: int, threads: int) -> None:
        # Without -P a file of the working folder could take the place of a library.
        self._command = [sys.executable, "-P", "-c", _RUN_TP, *command]
        self._count, self._threads = count, threads
        self._processes: list[subprocess.Popen[bytes]] = []
        self._is_terminated = False

    def __enter__(self) -> Self:
        environment = {**os.environ, "OMP_NUM_THREADS": str(self._threads)}
        try:
            for _ in range(self._count):
                # In a session of their own: Ctrl-C reaches this process, which passes it on.
                process = subprocess.Popen(
                    self._command, stdin=subprocess.DEVNULL, env=environment, start_new_session=True
                )
                self._processes.append(process)
        except BaseException:
            self.__exit__()
            raise
        return self

    def wait(self, must_stop: Callable[[], bool]) -> None:
        """Wait until all have ended; as soon as `must_stop` returns true they are asked to."""
        for process in self._processes:
            while process.poll() is None:
                if must_stop():
                    self._terminate()
                try:
                    process.wait(_POLL_SECONDS)
                except subprocess.TimeoutExpired:
                    continue

    def __exit__(self, *_: object) -> None:
        self._terminate()
        for process in self._processes:
            process.wait()

    def _terminate(self) -> None:
        # A second signal would end them without saving.
        if self._is_terminated:
            return
        self._is_terminated = True
        for process in self._processes:
            process.terminate()
