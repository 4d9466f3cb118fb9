"""JSON rows of events, and the sinks that write them to metrics.jsonl and samples.jsonl."""

import dataclasses
from typing import Any

from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.jsonl import JsonlWriter
from transformer_playground.training.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    Sampled,
    StatusChanged,
    StepLogged,
    Warned,
)
from transformer_playground.training.sinks.base import Sink

_NAMES: dict[type[Event], str] = {
    StepLogged: "train",
    Evaluated: "eval",
    Sampled: "sample",
    CheckpointSaved: "checkpoint",
    Warned: "warning",
    StatusChanged: "status",
    RunFinished: "status",
    RunFailed: "status",
}


def event_rows(event: Event) -> list[dict[str, Any]]:
    """The rows that record an event: {"event", "step", "time", …}.

    A start is a status row, preceded by a `resume` row if the run continues from a checkpoint;
    readers drop the rows that the resume supersedes.
    """
    fields = dataclasses.asdict(event)
    if isinstance(event, RunStarted):
        checkpoint = fields.pop("resumed_from")
        started = {"event": "status", "status": "running", **fields}
        if checkpoint is None:
            return [started]
        resume = {"step": event.step, "time": event.time, "checkpoint": checkpoint}
        return [{"event": "resume", **resume}, started]
    row = {"event": _NAMES[type(event)], **fields}
    if isinstance(event, RunFailed):
        row["status"] = "failed"
    return [row]


class MetricsSink(Sink):
    """Appends the rows of every event except samples; training stops if it cannot."""

    essential = True

    def __init__(self, run: RunFolder) -> None:
        self._rows = JsonlWriter(run.metrics_path)

    def handle(self, event: Event) -> None:
        """Append the event's rows."""
        if isinstance(event, Sampled):
            return
        for row in event_rows(event):
            self._rows.append(row)

    def sync(self) -> None:
        """Flush to the disk, so that no checkpoint is newer than the rows."""
        self._rows.sync()

    def close(self) -> None:
        """Close the file."""
        self._rows.close()


class SamplesSink(Sink):
    """Appends a row for every sample."""

    def __init__(self, run: RunFolder) -> None:
        self._rows = JsonlWriter(run.samples_path)

    def handle(self, event: Event) -> None:
        """Append a sample's row."""
        if isinstance(event, Sampled):
            for row in event_rows(event):
                self._rows.append({key: row[key] for key in row if key != "event"})

    def sync(self) -> None:
        """Flush to the disk, so that no checkpoint is newer than the rows."""
        self._rows.sync()

    def close(self) -> None:
        """Close the file."""
        self._rows.close()
