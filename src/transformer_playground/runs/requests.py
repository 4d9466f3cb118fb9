"""Requests to a training process, as small files in its run folder.

Whoever can write the folder can send one, from any machine that shares it: no signals, no network.
The training process removes each file that it reads and answers with a row in `metrics.jsonl`.
"""

import json
import os
import platform
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from transformer_playground.errors import RunError, translate_os_errors
from transformer_playground.files import random_hex, read_regular, refuse_link, replace_json
from transformer_playground.jsonvalues import as_int, as_object, as_text
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.metrics import MetricsReader
from transformer_playground.runs.status import (
    Writer,
    derive_status,
    last_status_row,
    read_writer,
)

Action = Literal["pause", "resume", "stop", "evaluate", "sample", "checkpoint"]
ACTIONS: tuple[Action, ...] = get_args(Action)

SCHEMA_VERSION = 1
_NAME = re.compile(r"(\d{1,20}-[0-9a-f]{8})\.json")
_MOST_BYTES = 4096
# Read at a time, so that a flood of files does not keep the process from its other work.
_MOST_FILES = 64
_LONGEST_SENDER = 253
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Request:
    """A request to a training process.

    Attributes:
        name: Its file without the suffix, which its answer repeats.
        sender: Host that sent it, untrusted text.
    """

    name: str
    action: Action
    sender: str


@dataclass(frozen=True)
class Refused:
    """A file in the folder of requests that is not one for this process; it was removed."""

    name: str
    reason: str


@dataclass(frozen=True)
class Answer:
    """What became of a request: the step at that time, and whether it was carried out."""

    step: int
    done: bool


class SentRequest:
    """A request that was sent to `writer`; `answer` waits for what becomes of it."""

    def __init__(self, run: RunFolder, request: Request, writer: Writer) -> None:
        self.request, self.writer = request, writer
        self._run = run
        self._rows = MetricsReader(run.metrics_path)

    def answer(self) -> Answer:
        """Wait until the training process has carried out the request, or could not.

        Raises:
            RunError: Training ended without an answer.
        """
        while True:
            # Read before the rows, since a process answers before it ends.
            now = read_writer(self._run)
            is_same = now is not None and now.session == self.writer.session
            has_ended = now is None or not (is_same and now.is_alive())
            for row in self._rows.poll().rows:
                if row["event"] == "request" and row.get("request") == self.request.name:
                    return Answer(row["step"], row.get("done") is True)
            if has_ended:
                state = derive_status(self._run).state
                raise RunError(
                    f"The run '{self._run.run_id}' ended before it answered; it is {state}.",
                    f"See {self._run.log_path}",
                )
            time.sleep(_POLL_SECONDS)


def send_request(run: RunFolder, action: Action) -> SentRequest:
    """Write a request into the folder of a run in training.

    Raises:
        RunError: The run is not training, its process does not read requests, or OSError.
    """
    writer = _training_process(run)
    name = f"{time.time_ns()}-{random_hex(4)}"
    request = Request(name, action, platform.node())
    document = {
        "schema_version": SCHEMA_VERSION,
        "action": action,
        # A later process of the run must not obey what was meant for this one.
        "session": writer.session,
        "sender": request.sender,
        "time": time.time(),
    }
    hint = "Requests are files in this folder, so only those who can write it can control the run."
    with translate_os_errors(RunError, f"{run.requests} cannot be written", hint):
        refuse_link(run.requests)
        run.requests.mkdir(exist_ok=True)
        replace_json(run.requests / f"{name}.json", document)
    return SentRequest(run, request, writer)


def pause_or_resume(run: RunFolder) -> Action:
    """The action that pauses a run, or lets a paused one continue."""
    status = last_status_row(run.metrics_path) or {}
    return "resume" if status.get("status") == "paused" else "pause"


def _training_process(run: RunFolder) -> Writer:
    status = derive_status(run)
    writer = status.writer
    if writer is None:
        raise RunError(
            f"The run '{run.run_id}' is not training; it is {status.state}.",
            f"To train on: tp train --resume {run.run_id}",
        )
    if not writer.session:
        raise RunError(
            f"The run '{run.run_id}' is trained by an older version ({writer}), "
            "which reads no requests.",
            "Stop it there, for instance with Ctrl-C, and resume it with this version.",
        )
    return writer


def take_requests(run: RunFolder, session: str, known: set[str]) -> list[Request | Refused]:
    """Read and remove the requests to the writer of a run, oldest first.

    Args:
        run: The run.
        session: Session of its writer; what was meant for another one is refused.
        known: Names that were read before, for files that cannot be removed; changed.
    """
    taken: list[Request | Refused] = []
    for path in _request_files(run.requests, known):
        try:
            taken.append(_read(path, session))
        except FileNotFoundError:
            continue
        except OSError as error:
            taken.append(Refused(path.stem, error.strerror or "it cannot be read"))
        try:
            path.unlink(missing_ok=True)
        except OSError:
            known.add(path.name)
    return taken


def _request_files(folder: Path, known: set[str]) -> Iterator[Path]:
    try:
        refuse_link(folder)
        with os.scandir(folder) as entries:
            names = {entry.name for entry in entries if _NAME.fullmatch(entry.name)} - known
    except OSError:
        # Usually there is no such folder.
        return
    in_order = sorted(names, key=lambda name: (int(name.partition("-")[0]), name))
    yield from (folder / name for name in in_order[:_MOST_FILES])


def _read(path: Path, session: str) -> Request | Refused:
    try:
        document = as_object(json.loads(read_regular(path, _MOST_BYTES)))
    except (ValueError, RecursionError):
        return Refused(path.stem, "it is not valid JSON")
    action: Action | None = next((each for each in ACTIONS if each == document.get("action")), None)
    if as_int(document.get("schema_version")) != SCHEMA_VERSION or action is None:
        return Refused(path.stem, "it is not a request that this version knows")
    if document.get("session") != session:
        return Refused(path.stem, f"'{action}' was meant for an earlier process of this run")
    sender = (as_text(document.get("sender")) or "an unknown host")[:_LONGEST_SENDER]
    return Request(path.stem, action, sender)
