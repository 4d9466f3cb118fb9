"""Sinks that write the files of a run: metrics, samples, TensorBoard scalars and adapters."""

import dataclasses
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_playground.errors import PlaygroundError, RunError
from transformer_playground.runs.folder import RunFolder
from transformer_playground.runs.jsonl import JsonlWriter
from transformer_playground.training.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    RequestAnswered,
    RunFailed,
    RunFinished,
    RunStarted,
    Sampled,
    StatusChanged,
    StepLogged,
    Warned,
)
from transformer_playground.training.sinks.base import Sink, SinkBehind

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from transformer_playground.finetuning.model import AdapterModel

_NAMES: dict[type[Event], str] = {
    StepLogged: "train",
    Evaluated: "eval",
    Sampled: "sample",
    CheckpointSaved: "checkpoint",
    Warned: "warning",
    RequestAnswered: "request",
    StatusChanged: "status",
    RunFinished: "status",
    RunFailed: "status",
}

# Samples kept in memory while the disk is full.
_MOST_WAITING = 1000

_POINTERS = {"last": "last.pt", "best": "best_val.pt"}


def event_rows(event: Event) -> list[dict[str, Any]]:
    """JSON rows of an event: {"event", "step", "time", …}.

    A start is a status row, preceded by a `resume` row if the run resumes from a checkpoint;
    readers then drop the earlier rows of later steps.
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
    if isinstance(event, StepLogged):
        row |= row.pop("system")
    if isinstance(event, Evaluated):
        if event.head_scores is None:
            del row["head_scores"]
        row |= event.highest_scores
    if isinstance(event, RunFailed):
        row["status"] = "failed"
    return [row]


class MetricsSink(Sink):
    """Appends the rows of all events but samples to metrics.jsonl; training stops on failure."""

    essential = True

    def __init__(self, run: RunFolder) -> None:
        self._rows = JsonlWriter(run.metrics_path)

    def handle(self, event: Event) -> None:
        """Append the event's rows."""
        if isinstance(event, Sampled):
            return
        for row in event_rows(event):
            # Unlike the time of day, this clock stands still while the machine sleeps.
            self._rows.append({**row, "monotonic": time.monotonic()})

    def sync(self) -> None:
        """Flush to disk, so that no checkpoint is newer than the rows."""
        self._rows.sync()

    def close(self) -> None:
        """Close the file."""
        self._rows.close()


class SamplesSink(Sink):
    """Appends every sample to samples.jsonl, and the `resume` rows that supersede earlier ones.

    Rows that could not be written are kept and written first at the next event.
    """

    def __init__(self, run: RunFolder) -> None:
        self._rows = JsonlWriter(run.samples_path)
        self._waiting: deque[dict[str, Any]] = deque()

    def handle(self, event: Event) -> None:
        """Append a sample's row; SinkBehind if it must wait."""
        if len(self._waiting) >= _MOST_WAITING:
            self._write()
        match event:
            case RunStarted(resumed_from=str()):
                self._waiting.append(event_rows(event)[0])
            case Sampled():
                (row,) = event_rows(event)
                self._waiting.append({key: row[key] for key in row if key != "event"})
        try:
            self._write()
        except RunError as error:
            raise SinkBehind(error.message) from error

    def sync(self) -> None:
        """Flush to disk, so that no checkpoint is newer than the rows."""
        self._rows.sync()

    def close(self) -> None:
        """Write what waits, and close the file."""
        try:
            self._write()
        finally:
            self._rows.close()

    def _write(self) -> None:
        while self._waiting:
            self._rows.append(self._waiting[0])
            self._waiting.popleft()


class TensorBoardSink(Sink):
    """TensorBoard scalars by step.

    train/loss, lr, tokens_per_sec, step_time_ms and val/loss; the scores of heads and new system
    metrics if they are measured.
    """

    def __init__(self, folder: Path, *, resumed_at: int | None) -> None:
        self._folder = folder
        # purge_step makes TensorBoard hide the rows that a resumed run writes again.
        purge = None if resumed_at is None else resumed_at + 1
        self._writer: SummaryWriter | None = self._open(purge)
        self._system: Mapping[str, float] = {}

    def _open(self, purge_step: int | None = None) -> "SummaryWriter":
        # Importing it takes a second, and runs can do without it.
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(log_dir=str(self._folder), purge_step=purge_step)

    def handle(self, event: Event) -> None:
        """Record the event's scalars."""
        match event:
            case StepLogged():
                self._add(event, "train/loss", event.train_loss)
                self._add(event, "train/lr", event.lr)
                self._add(event, "train/tokens_per_sec", event.tokens_per_sec)
                self._add(event, "train/step_time_ms", event.step_time_ms)
                self._add_system(event)
            case Evaluated():
                self._add(event, "val/loss", event.val_loss)
                for name, score in event.highest_scores.items():
                    self._add(event, f"heads/{name}", score)
            case _:
                return

    def close(self) -> None:
        """Flush and close the event file."""
        if self._writer is not None:
            self._writer.close()

    def _add_system(self, event: StepLogged) -> None:
        # A reading is in several rows of a fast run, and a scalar costs far more than a row.
        if event.system == self._system:
            return
        self._system = event.system
        for name, value in event.system.items():
            self._add(event, f"system/{name}", value)

    def _add(self, event: Event, tag: str, value: float) -> None:
        if self._writer is None:
            self._writer = self._open()
        try:
            self._writer.add_scalar(tag, value, event.step, walltime=event.time)
        except OSError:
            # After an error its writing thread has ended: the next event opens another file.
            self._writer = None
            raise


class AdapterSink(Sink):
    """Writes `adapters/last`, `adapters/best` and, at the end, `adapters/final` in PEFT's format.

    They are written from the checkpoints `last.pt` and `best_val.pt`, so that both hold the same
    weights (EMA weights if enabled). A resumed run writes them again, since it may have been killed
    between checkpoint and adapters.
    """

    def __init__(self, run: RunFolder, model: "AdapterModel") -> None:
        self._run, self._model = run, model
        self._due: set[str] = set()

    def handle(self, event: Event) -> None:
        """Write the adapters of new checkpoints; SinkBehind on failure, the next event retries."""
        match event:
            case RunStarted(resumed_from=str()):
                self._due |= _POINTERS.keys()
            case CheckpointSaved():
                self._due |= set(event.kinds)
            case RunFinished():
                self._due.add("final")
            case _:
                return
        for kind in sorted(self._due):
            self._write(kind)
            self._due.remove(kind)

    def _write(self, kind: str) -> None:
        # This module must load without torch.
        from transformer_playground.checkpoints.loading import averaged_weights, load_payload
        from transformer_playground.finetuning.adapter_io import save_adapter

        pointer = self._run.checkpoints / _POINTERS.get(kind, _POINTERS["last"])
        # There may be no best checkpoint yet.
        if not pointer.exists():
            return
        try:
            weights = averaged_weights(load_payload(pointer))
            save_adapter(self._model, self._run.adapters / kind, weights)
        except (OSError, PlaygroundError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise SinkBehind(f"adapters/{kind} not written: {reason}") from error
