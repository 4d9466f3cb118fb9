"""A run of several processes, which train outside the console and answer to its requests."""

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import IO, Any

from transformer_playground.errors import PlaygroundError, TrainingError
from transformer_playground.jsonvalues import as_count, as_object
from transformer_playground.runs.folder import open_run
from transformer_playground.runs.requests import Action, send_request
from transformer_playground.training.control import TrainingControl
from transformer_playground.training.events import (
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    StatusChanged,
    Warned,
)
from transformer_playground.training.processes import RankCommand
from transformer_playground.tui.core.tp_process import Ended

_RUN = "from transformer_playground.cli.rank import run; run()"
_POLL_SECONDS = 0.1


class ChildRun:
    """Trains in a process that starts the others, and passes requests on to it.

    A stop is a signal; the other requests are files of the run, as those of any process.

    Args:
        command: The launch, whose run has an id.
        control: Requests of the console.
        on_event: Receives what the run reports.
    """

    def __init__(
        self, command: RankCommand, control: TrainingControl, on_event: Callable[[Event], object]
    ) -> None:
        self._command, self._control, self._on_event = command, control, on_event
        self._was_paused = False
        self._artifacts: tuple[str, ...] = ()

    def train(self) -> tuple[str, ...]:
        """Train to the end.

        Returns:
            The files that were written afterwards.

        Raises:
            TrainingError: The processes ended with an error.
            OSError: No process can be started.
        """
        # Without -P a file of the working folder could take the place of a library.
        arguments = [sys.executable, "-P", "-c", _RUN, self._command.text()]
        # A file instead of a second pipe: one that nobody reads would block the processes.
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as notes:
            process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=notes.fileno(),
                text=True,
                encoding="utf-8",
                errors="replace",
                # Ctrl-C in the terminal of the console is not meant for it.
                start_new_session=True,
            )
            with process:
                assert process.stdout is not None
                reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
                reader.start()
                self._pass_on_requests(process)
                reader.join()
            notes.seek(0)
            lines = tuple(line for each in notes if (line := each.strip()))
        if process.returncode and not self._control.stopping:
            ended = Ended(process.returncode, "", lines)
            raise TrainingError(ended.problem, ended.hint)
        return self._artifacts

    def _read(self, output: IO[str]) -> None:
        for line in output:
            with contextlib.suppress(ValueError, TypeError):
                row = as_object(json.loads(line))
                if row.get("event") == "summary":
                    self._artifacts = tuple(map(str, row.get("artifacts") or ()))
                elif (event := event_of(row)) is not None:
                    self._on_event(event)

    def _pass_on_requests(self, process: subprocess.Popen[str]) -> None:
        is_stopped = False
        while True:
            try:
                process.wait(_POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if self._control.stopping:
                    if not is_stopped:
                        process.send_signal(signal.SIGTERM)
                    is_stopped = True
                    continue
                self._send_requests()
            else:
                return

    def _send_requests(self) -> None:
        wanted: list[Action] = list(self._control.take().actions)
        if self._control.paused != self._was_paused:
            self._was_paused = self._control.paused
            wanted.append("pause" if self._was_paused else "resume")
        for action in wanted:
            try:
                run = open_run(self._command.runs_dir, self._command.run_id)
                send_request(run, action)
            except PlaygroundError as error:
                self._on_event(Warned(step=0, message=str(error)))


def event_of(row: Mapping[str, Any]) -> Event | None:
    """The event that a row of `tp train --json` reports, as far as a job of the console needs it.

    Raises:
        TypeError: A field of the row is missing.
    """
    kinds: dict[object, type[Event]] = {
        "finished": RunFinished,
        "stopped": RunFinished,
        "failed": RunFailed,
        "paused": StatusChanged,
        "running": RunStarted if "run_id" in row else StatusChanged,
    }
    kind: type[Event] | None = Warned if row.get("event") == "warning" else None
    if row.get("event") == "status":
        kind = kinds.get(row.get("status"))
    if kind is None:
        step = as_count(row.get("step"))
        return None if step is None else Event(step=step)
    names = {field.name for field in fields(kind)}
    values = {name: value for name, value in row.items() if name in names}
    if kind is RunStarted:
        values["resumed_from"] = None
    return kind(**values)
