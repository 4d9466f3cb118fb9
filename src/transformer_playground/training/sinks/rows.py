"""Events as the JSON rows that files and `--json` streams carry."""

import dataclasses
from typing import Any

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

    A start is a status row, with a `resume` row before it when the run goes on from a checkpoint;
    readers drop what the resume supersedes.
    """
    if isinstance(event, RunStarted):
        return _start_rows(event)
    row = {"event": _NAMES[type(event)], **dataclasses.asdict(event)}
    if isinstance(event, RunFailed):
        row["status"] = "failed"
    return [row]


def _start_rows(event: RunStarted) -> list[dict[str, Any]]:
    fields = dataclasses.asdict(event)
    resumed_from = fields.pop("resumed_from")
    started = {"event": "status", "status": "running", **fields}
    if resumed_from is None:
        return [started]
    resume = {"event": "resume", "step": event.step, "time": event.time, "checkpoint": resumed_from}
    return [resume, started]
