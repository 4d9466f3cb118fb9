"""What state a run is in, derived from its rows and its writer without ever locking."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from transformer_playground.jsonvalues import as_text
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.jsonl import Row, parse_lines
from transformer_playground.runs.lock import Writer, read_writer
from transformer_playground.runs.metrics import is_metrics_row

State = Literal["new", "running", "finished", "stopped", "failed", "interrupted"]

_BLOCK = 1 << 16
_ENDS: dict[object, State] = {"finished": "finished", "stopped": "stopped", "failed": "failed"}


@dataclass(frozen=True)
class RunStatus:
    """State of a run.

    Attributes:
        state: "new" never wrote a row; "interrupted" lost its writer without a last word.
        error: Why it failed.
        pid: The writing process while it runs.
    """

    state: State
    error: str | None = None
    pid: int | None = None


def derive_status(run: RunFolder) -> RunStatus:
    """The state of `run`: its own last word, unless that was "running" and the writer is gone."""
    writer = read_writer(run)
    last_word = last_status_row(run.metrics_path) or {}
    return judge_status(run, last_word.get("status"), last_word.get("error"), writer)


def judge_status(
    run: RunFolder, last_word: object, error: object, writer: Writer | None
) -> RunStatus:
    """The state of `run`, given what its newest `status` row says.

    Args:
        run: The run.
        last_word: The row's `status`; None without such a row.
        error: The row's `error`.
        writer: The writer as it was *before* the row was read: one that has left meanwhile may
            have left a later row.
    """
    end = _ENDS.get(last_word) if isinstance(last_word, str) else None
    if end is not None:
        return RunStatus(end, error=as_text(error))
    if writer is None or not writer.is_alive():
        # It may have come meanwhile, for the row that was read can be its first.
        writer = read_writer(run)
    if writer is not None and writer.is_alive():
        return RunStatus("running", pid=writer.pid)
    if last_word is None and writer is None and not _has_rows(run.metrics_path):
        return RunStatus("new")
    return RunStatus("interrupted")


def last_status_row(path: Path) -> Row | None:
    """The newest whole `status` row of a metrics file, searched from its end."""
    try:
        with path.open("rb") as file:
            for line in _lines_backwards(file):
                if b'"status"' not in line:
                    continue
                for row in parse_lines(line):
                    if row.get("event") == "status" and is_metrics_row(row):
                        return row
    except OSError:
        return None
    return None


def _lines_backwards(file: IO[bytes]) -> Iterator[bytes]:
    start = file.seek(0, os.SEEK_END)
    tail = b""
    is_torn = True  # what follows the last newline is not a row yet
    while start > 0:
        length = min(_BLOCK, start)
        start -= length
        file.seek(start)
        first, *lines = (file.read(length) + tail).split(b"\n")
        if is_torn and lines:
            lines.pop()
            is_torn = False
        yield from reversed(lines)
        tail = first
    if not is_torn:
        yield tail


def _has_rows(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
